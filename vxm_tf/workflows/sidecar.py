"""The JSON file beside a transform: its sources, settings, run times and measures."""

import dataclasses
from typing import Any

import numpy as np

from vxm_tf.files.json_file import write_json
from vxm_tf.registration import RegistrationResult, RegistrationSettings
from vxm_tf.spatial.background import background_values
from vxm_tf.workflows.certificate_record import settings_record
from vxm_tf.workflows.output_names import beside, names_of_pair
from vxm_tf.workflows.provenance import hash_of, hash_of_model, software
from vxm_tf.workflows.register_config import RegisterConfig


def write_sidecars(
    config: RegisterConfig, settings: RegistrationSettings, result: RegistrationResult, metrics: dict[str, Any]
) -> None:
    """Write the JSON files beside `config.transform` and `config.inverse_transform`.

    Args:
        config: files of the registration, with every output named.
        settings: settings of the registration.
        result: result of the registration.
        metrics: seconds and measures, plain values.
    """
    spaces = [names.space for names in names_of_pair(config.moving, config.fixed)]
    record = {
        "Type": "nonlinear",
        "Units": "mm",
        "Sources": [config.moving, config.fixed],
        "SourceHashes": {"moving": hash_of(config.moving), "fixed": hash_of(config.fixed)},
        "ModelHash": hash_of_model(config.model),
        "AffineFixedToMovingRAS": np.round(result.affine.matrix, 8).tolist(),
        "WorkingGrid": {
            "shape": list(result.working_grid.shape),
            "spacing_mm": [round(size, 6) for size in result.working_grid.spacing_mm],
            "orientation": result.working_grid.orientation,
        },
        "FillValues": {
            "moved": [result.fill_value] if result.fill_value is not None else background_values(result.moving.array),
            "fixed_moved": background_values(result.fixed.array),
        },
        "Settings": settings_record(config, settings),
        "Metrics": metrics,
        "Verdict": dataclasses.asdict(result.verdict()),
        "Software": software(),
    }
    for path, (first, last) in ((config.transform, spaces), (config.inverse_transform, spaces[::-1])):
        write_json(beside(path, ".json"), {"FromSpace": first, "ToSpace": last, **record})
