"""Served models: loads their versions, finds them by number or label, and replaces them while requests run."""

import threading
from collections.abc import Iterable
from pathlib import Path

from absl import logging

from vxm_tf.files.errors import InputError
from vxm_tf.serving.rest.errors import RequestError, invalid
from vxm_tf.serving.rest.versions import LATEST, LoadedVersion, Policy, fingerprint, versions_on_disk


class Model:
    """One model: a base folder whose numbered subfolders are SavedModels.

    Args:
        name: name of the model in the addresses of requests.
        base_path: the base folder.
        policy: rule that selects the served versions.
        labels: version number of each label; these versions are served beside those of the policy.

    Raises:
        InputError: no folder, no version, a label without one, or a version that does not load.
    """

    def __init__(self, name: str, base_path: str | Path, policy: Policy = LATEST, labels: dict[str, int] | None = None):
        self.name = name
        self.base_path = Path(base_path)
        self.policy = policy
        self.labels = dict(labels or {})
        # Replaced as a whole and never changed, so that requests read it without a lock.
        self._versions: dict[int, LoadedVersion] = {}
        # State of each version, and the error message if it failed.
        self._states: dict[int, tuple[str, str]] = {}
        self._failed: dict[int, frozenset] = {}
        self._load_first()

    def find(self, number: int | None = None, label: str | None = None) -> LoadedVersion:
        """Return a version by number, by label, or the latest.

        Raises:
            RequestError: 404 for a number, 400 for a label that is not served.
        """
        versions = self._versions
        if label is not None:
            if label not in self.labels or self.labels[label] not in versions:
                raise invalid(f"Unrecognized servable version label: {label}")
            number = self.labels[label]
        number = max(versions) if number is None else number
        if number not in versions:
            raise RequestError(404, f"Servable not found for request: Specific({self.name}, {number})")
        return versions[number]

    def states(self) -> list[tuple[int, str, str]]:
        """Return (version, state, error message) of each version, the latest first."""
        return [(number, *state) for number, state in sorted(self._states.copy().items(), reverse=True)]

    def refresh(self) -> None:
        """Load new versions from the base folder and drop those that are no longer wanted; failures go to the log.

        A dropped version lives until the last request that uses it has ended.
        """
        present = versions_on_disk(self.base_path)
        if not present:
            return
        for number in sorted(self._wanted(present) - set(self._versions)):
            self._try_to_load(number)
        loaded = set(self._versions)
        keep = self._wanted(present) & loaded
        if not self.policy.wanted(present) & loaded:
            # The wanted version does not load, so the one in use stays.
            keep.add(max(loaded))
        for number in loaded - keep:
            self._states[number] = ("END", "")
            logging.info("Model %s: version %d is no longer served.", self.name, number)
        self._versions = {number: version for number, version in self._versions.items() if number in keep}

    def _wanted(self, present: set[int]) -> set[int]:
        return self.policy.wanted(present) | (present & set(self.labels.values()))

    def _load_first(self) -> None:
        if not self.base_path.is_dir():
            raise InputError(f"{self.base_path}: no such folder. Give the model's base folder, which holds 1/, 2/, ...")
        present = versions_on_disk(self.base_path)
        if not present:
            raise InputError(f"{self.base_path}: no version in this folder; expected <number>/saved_model.pb in it.")
        missing = (self.policy.numbers | set(self.labels.values())) - present
        if missing:
            there = ", ".join(map(str, sorted(present)))
            raise InputError(f"{self.base_path}: no version {min(missing)} in this folder; it holds {there}.")
        for number in sorted(self._wanted(present)):
            self._try_to_load(number)
            if number not in self._versions:
                reason = self._states[number][1]
                raise InputError(f"{self.base_path / str(number)}: not a SavedModel that loads ({reason}).")

    def _try_to_load(self, number: int) -> None:
        folder = self.base_path / str(number)
        found = fingerprint(folder)
        if self._failed.get(number) == found:
            return
        self._states[number] = ("LOADING", "")
        try:
            version = LoadedVersion(number, folder)
        except Exception as error:  # Damaged files can raise any exception, which must not end the server.
            reason = str(error).strip().split("\n")[0] or type(error).__name__
            self._failed[number] = found
            self._states[number] = ("END", reason)
            logging.warning("Model %s: version %d does not load and is passed over: %s", self.name, number, reason)
            return
        self._failed.pop(number, None)
        self._states[number] = ("AVAILABLE", "")
        self._versions = {**self._versions, number: version}
        logging.info("Model %s: version %d is served.", self.name, number)


class Watcher:
    """Checks for new versions of models periodically, in a thread.

    Args:
        models: models to refresh.
        seconds: seconds between two checks.
    """

    def __init__(self, models: Iterable[Model], seconds: float):
        self._models = list(models)
        self._seconds = seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="model watcher", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a version that is being loaded is finished first."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(self._seconds):
            for model in self._models:
                try:
                    model.refresh()
                except Exception:  # A failed check must not end the thread.
                    logging.exception("Model %s: its folder cannot be read.", model.name)
