"""Numbered versions below a model's base folder: the rule that selects which are served, and a version in memory."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from vxm_tf.files.errors import InputError

FILE = "saved_model.pb"


@dataclasses.dataclass(frozen=True)
class Policy:
    """Rule that selects which versions are served.

    Attributes:
        numbers: versions that are served; the latest one if empty.
        every: whether all versions are served.
    """

    numbers: frozenset[int] = frozenset()
    every: bool = False

    @classmethod
    def parse(cls, text: str) -> "Policy":
        """Return the policy that "latest", "all" or numbers with commas between stand for.

        Raises:
            InputError: anything else.

        Example:
            >>> Policy.parse("1,2").wanted({1, 2, 3})
            {1, 2}
        """
        if text in ("latest", "all"):
            return cls(every=text == "all")
        parts = [part.strip() for part in text.split(",")]
        if not all(part.isascii() and part.isdigit() for part in parts):
            raise InputError(f"Versions are all, latest or numbers with commas between, such as 1,2; got {text!r}.")
        return cls(frozenset(map(int, parts)))

    def wanted(self, present: set[int]) -> set[int]:
        """Return those of the versions on disk that should be served."""
        if self.every:
            return set(present)
        return set(present & self.numbers) if self.numbers else {max(present)} if present else set()


LATEST = Policy()


@dataclasses.dataclass(frozen=True)
class Signature:
    """One signature of a SavedModel.

    Attributes:
        inputs: type and shape of each input, by name.
        definition: the protocol buffer of the signature in the SavedModel.
        function: takes and returns tensors by name; None if the signature has no function.
    """

    inputs: dict[str, tf.TensorSpec]
    definition: meta_graph_pb2.SignatureDef
    function: Callable[..., dict[str, tf.Tensor]] | None


class LoadedVersion:
    """A version in memory, for as long as a request or the model refers to it.

    Args:
        number: number of the version.
        folder: folder with the SavedModel.

    Attributes:
        signatures: `Signature` by name.

    Raises:
        Exception: any error that TensorFlow raises on files that are no SavedModel.
    """

    def __init__(self, number: int, folder: Path):
        self.number = number
        # The functions of the signatures do not keep the variables alive that they read.
        self._loaded = tf.saved_model.load(str(folder))
        definitions = saved_model_pb2.SavedModel.FromString((folder / FILE).read_bytes()).meta_graphs[0].signature_def
        functions = self._loaded.signatures
        self.signatures = {
            name: Signature(_inputs(definition), definition, functions[name] if name in functions else None)
            for name, definition in definitions.items()
        }


def _inputs(definition: meta_graph_pb2.SignatureDef) -> dict[str, tf.TensorSpec]:
    return {
        name: tf.TensorSpec(tf.TensorShape(info.tensor_shape), tf.as_dtype(info.dtype))
        for name, info in sorted(definition.inputs.items())
    }


def versions_on_disk(base_path: Path) -> set[int]:
    """Return the numbers of the subfolders that hold a SavedModel; empty where the folder cannot be read."""
    try:
        names = [entry.name for entry in base_path.iterdir() if (entry / FILE).is_file()]
    except OSError:
        return set()
    return {int(name) for name in names if name.isascii() and name.isdigit() and str(int(name)) == name}


def fingerprint(folder: Path) -> frozenset[tuple[str, int, int]]:
    """Return names, sizes and times of a folder's files, which change while somebody copies into it."""
    found = set()
    try:
        for path in folder.rglob("*"):
            status = path.stat()
            found.add((str(path), status.st_size, status.st_mtime_ns))
    except OSError:
        found.add(("unreadable", 0, 0))
    return frozenset(found)
