"""Provenance of a result: hashes of the files that were read and written, and versions of the software."""

import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras

from vxm_tf._version import __version__
from vxm_tf.files.checksum import sha256_of
from vxm_tf.models.saved import model_path
from vxm_tf.workflows.register_config import NO_MODEL


def software() -> dict[str, str]:
    """Versions that numbers may depend on."""
    return {
        "vxm_tf": __version__,
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "python": platform.python_version(),
    }


def hash_of(source: str) -> str | None:
    """SHA-256 of a file, as "sha256:..."; None for an image that was passed in memory, or a file that is gone since."""
    return sha256_of(source) if Path(source).is_file() else None


def hash_of_model(model: str) -> str | None:
    """SHA-256 of a model's file, as "sha256:..."; None without a model, or for one that was passed in memory."""
    return None if model == NO_MODEL else hash_of(str(model_path(model)))


def file_record(path: str, digest: str | None) -> dict[str, str | None]:
    """The entry of one file in a certificate: its path and its SHA-256 in hexadecimal digits, None if unknown."""
    return {"path": str(path), "sha256": digest and digest.removeprefix("sha256:")}


def file_records(config: Any, names: Iterable[str]) -> dict[str, dict]:
    """The entries of all files that a configuration names under these fields."""
    paths = {name: getattr(config, name) for name in names if getattr(config, name)}
    return {name: file_record(path, hash_of(path)) for name, path in paths.items()}
