"""`model_card.json`: grid, intensities, units, origin and checksums of a served model."""

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from vxm_tf._version import __version__
from vxm_tf.files.checksum import sha256_of
from vxm_tf.files.json_file import read_json, write_json
from vxm_tf.models import RegistrationNetwork
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
    "inverse_displacement": "as displacement, on the grid of both images: fixed_moved(x) = fixed(x + "
    "inverse_displacement(x)); solved, so that both displacements, one after the other, leave a voxel in place",
    "labels": "ids, whole numbers of 32 bits, which come back unchanged",
    "transform_bytes": "millimetres, LPS, on the fixed image's grid, from fixed to moving, as ITK reads it",
}


@dataclasses.dataclass(frozen=True)
class Origin:
    """Origin of a network, which its weights do not record.

    Attributes:
        model: the `.keras` file that is exported, for its hash; empty for none.
        training_data: description of the training data, in words.
        metrics: JSON file with results, such as `summary.json` of `evaluate.py`; empty for none.
    """

    model: str = ""
    training_data: str = ""
    metrics: str = ""


def model_card(
    network: RegistrationNetwork,
    folder: str | os.PathLike,
    version: int,
    weights: str,
    names: Iterable[str],
    origin: Origin,
) -> dict[str, Any]:
    """The card of an exported version, as values that JSON can hold.

    Args:
        network: the exported network.
        folder: folder of the SavedModel.
        version: number of the version.
        weights: precision in which the weights are stored.
        names: names of the signatures.
        origin: model file, training data and results.

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


def write_card(card: dict[str, Any], *folders: str | os.PathLike) -> None:
    """Write a card into each of the folders; each file is written whole or not at all."""
    for folder in folders:
        Path(folder).mkdir(exist_ok=True)
        write_json(Path(folder) / FILE_NAME, card)


def _hashes(folder: str | os.PathLike) -> dict[str, str]:
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): sha256_of(path) for path in files}


def _training_settings(model: str) -> dict[str, Any] | None:
    """Settings that `train.py` wrote beside the model, without the paths of the machine that it ran on."""
    path = Path(model).parent / "config.json"
    if not model or not path.is_file():
        return None
    settings = read_json(path)
    return {k: v for k, v in settings.items() if not (isinstance(v, str) and "/" in v)}


def _metrics(path: str) -> Any:
    """Means of each method if the file has them, else its whole content."""
    if not path:
        return None
    content = read_json(path)
    methods = content.get("methods") if isinstance(content, dict) else None
    return {name: result.get("mean", result) for name, result in methods.items()} if methods else content
