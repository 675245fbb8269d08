"""`model_card.json`: what an engineer who meets a served model must know of it."""

import dataclasses
from pathlib import Path

import keras
import tensorflow as tf

from vxm_tf._version import __version__
from vxm_tf.files.checksum import sha256_of
from vxm_tf.files.json_file import read_json, write_json
from vxm_tf.serving.signatures import normalization
from vxm_tf.spatial.working_grid import GridSettings

FILE_NAME = "model_card.json"
INTENSITIES = {
    "percentile": "any; the 0.5th percentile becomes 0 and the 99.5th 1, clipped to [0, 1]",
    "minmax": "any; the smallest value becomes 0 and the largest 1",
    "freesurfer": "0 or more; the 99.5th percentile becomes 114/255",
    "none": "in [0, 1] already",
}
UNITS = {
    "displacement": "voxels of the fixed grid, axes in the array's order: moved(x) = moving(x + displacement(x))",
    "transform_bytes": "millimetres, LPS, on the fixed image's grid, from fixed to moving, as ITK reads it",
}


@dataclasses.dataclass(frozen=True)
class Origin:
    """What a network's file does not say itself.

    Attributes:
        model: the `.keras` file that is exported, for its hash; empty for none.
        training_data: what it learned from, in words.
        metrics: JSON file with results, such as `summary.json` of `evaluate.py`; empty for none.
    """

    model: str = ""
    training_data: str = ""
    metrics: str = ""


def model_card(network, folder, version: int, weights: str, names, origin: Origin) -> dict:
    """The card of an exported version, plain values.

    Args:
        network: as it was exported.
        folder: with the SavedModel.
        version: its number.
        weights: precision that they are stored in.
        names: of the signatures.
        origin: where the network comes from.

    Raises:
        InputError: metrics that cannot be read.
    """
    config = network.get_config()
    method, grid = normalization(network), GridSettings.recorded(network.metadata)
    return {
        "version": version,
        "network": {
            "kind": type(network).__name__,
            "parameters": int(network.count_params()),
            "weights": weights,
            "settings": {k: v for k, v in config.items() if k not in ("metadata", "dtype", "trainable", "outputs")},
        },
        "signatures": list(names),
        "grid": {k: v for k, v in dataclasses.asdict(grid).items() if v is not None} or None,
        "intensities": {"normalization": method, "expected": INTENSITIES.get(method, method)},
        "intensities_of": {
            "register, displacement_only, inverse": "normalised by the caller",
            "register_bytes, register_nifti": "as stored; normalised in the graph",
        },
        "units": UNITS,
        "training_data": origin.training_data or "not recorded",
        "training_settings": _training_settings(origin.model),
        "metrics": _metrics(origin.metrics),
        "software": {"vxm_tf": __version__, "keras": keras.__version__, "tensorflow": tf.__version__},
        "sha256": {"model": sha256_of(origin.model) if origin.model else None, **_hashes(folder)},
    }


def write_card(card, *folders):
    """Write a card into folders, each file whole or not at all."""
    for folder in folders:
        Path(folder).mkdir(exist_ok=True)
        write_json(Path(folder) / FILE_NAME, card)


def _hashes(folder):
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): sha256_of(path) for path in files}


def _training_settings(model):
    """What `train.py` wrote beside the model, without the folders of the machine that it ran on."""
    path = Path(model).parent / "config.json"
    if not model or not path.is_file():
        return None
    settings = read_json(path)
    return {k: v for k, v in settings.items() if not (isinstance(v, str) and "/" in v)}


def _metrics(path):
    """Means by method if the file has them, else all that it holds."""
    if not path:
        return None
    found = read_json(path)
    methods = found.get("methods") if isinstance(found, dict) else None
    return {name: result.get("mean", result) for name, result in methods.items()} if methods else found
