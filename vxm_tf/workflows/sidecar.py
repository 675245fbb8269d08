"""The JSON file beside a transform: what made it, from what, how long it took and how good it is."""

import dataclasses

import numpy as np

from vxm_tf.files.checksum import sha256_of
from vxm_tf.files.json_file import write_json
from vxm_tf.workflows.output_names import beside, names_of_pair
from vxm_tf.workflows.certify_transform import software
from vxm_tf.workflows.register_config import NO_MODEL
from vxm_tf.models.saved import model_path


def write_sidecar(config, result, summary):
    """Write it beside `config.transform`, and one beside `config.inverse_transform`.

    Args:
        config: a `RegisterConfig` with every output named.
        result: a `RegistrationResult`.
        summary: seconds and measures, plain values.
    """
    spaces = [names.space for names in names_of_pair(config.moving, config.fixed)]
    sources = {name: sha256_of(getattr(config, name)) for name in ("moving", "fixed")}
    said = {
        "Type": "nonlinear",
        "Units": "mm",
        "Sources": [config.moving, config.fixed],
        "SourceHashes": sources,
        "ModelHash": None if config.model == NO_MODEL else sha256_of(model_path(config.model)),
        "AffineFixedToMovingRAS": np.round(result.affine.matrix, 8).tolist(),
        "WorkingGrid": {
            "shape": list(result.working_grid.shape),
            "spacing_mm": [round(size, 6) for size in result.working_grid.spacing_mm],
            "orientation": result.working_grid.orientation,
        },
        "Settings": dataclasses.asdict(config),
        "Metrics": summary,
        "Verdict": dataclasses.asdict(result.verdict),
        "Software": software(),
    }
    for path, (first, last) in ((config.transform, spaces), (config.inverse_transform, spaces[::-1])):
        write_json(beside(path, ".json"), {"FromSpace": first, "ToSpace": last, **said})
