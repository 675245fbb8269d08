"""Numbered versions below a model's base folder, and which of them are served."""

import dataclasses
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from vxm_tf.serving.rest.signature import Signature

FILE = "saved_model.pb"


@dataclasses.dataclass(frozen=True)
class Policy:
    """Which versions are served.

    Attributes:
        numbers: only these; the latest one if empty.
        every: all there are.
    """

    numbers: frozenset[int] = frozenset()
    every: bool = False

    @classmethod
    def parse(cls, text: str) -> "Policy":
        """From "latest", "all" or numbers with commas between.

        Raises:
            ValueError: anything else.

        Example:
            >>> Policy.parse("1,2").wanted({1, 2, 3})
            {1, 2}
        """
        if text in ("latest", "all"):
            return cls(every=text == "all")
        parts = [part.strip() for part in text.split(",")]
        if not all(part.isascii() and part.isdigit() for part in parts):
            raise ValueError(f"Versions are all, latest or numbers with commas between, such as 1,2; got {text!r}.")
        return cls(frozenset(map(int, parts)))

    def wanted(self, present: set[int]) -> set[int]:
        """Those of the versions on disk that are to be served."""
        if self.every:
            return set(present)
        return set(present & self.numbers) if self.numbers else {max(present)} if present else set()


LATEST = Policy()


def versions_on_disk(base_path: Path) -> set[int]:
    """Numbers of the subfolders that hold a SavedModel; empty where the folder cannot be read."""
    try:
        names = [entry.name for entry in base_path.iterdir() if (entry / FILE).is_file()]
    except OSError:
        return set()
    return {int(name) for name in names if name.isascii() and name.isdigit() and str(int(name)) == name}


def fingerprint(folder: Path) -> frozenset:
    """Names, sizes and times of a folder's files: changes while somebody copies into it."""
    found = set()
    try:
        for path in folder.rglob("*"):
            status = path.stat()
            found.add((str(path), status.st_size, status.st_mtime_ns))
    except OSError:
        found.add(("unreadable", 0, 0))
    return frozenset(found)


class LoadedVersion:
    """A version in memory, for as long as a request or the model holds on to it.

    Args:
        number: of the version.
        folder: with the SavedModel.

    Raises:
        Exception: whatever TensorFlow raises on files that are no SavedModel.
    """

    def __init__(self, number: int, folder: Path):
        self.number = number
        # The functions of the signatures do not keep the variables alive that they read.
        self._loaded = tf.saved_model.load(str(folder))
        definitions = saved_model_pb2.SavedModel.FromString((folder / FILE).read_bytes()).meta_graphs[0].signature_def
        functions = self._loaded.signatures
        self.signatures = {
            name: Signature.of(definition, functions[name] if name in functions else None)
            for name, definition in definitions.items()
        }
