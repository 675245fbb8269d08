"""Checkpoints after each epoch, so that a training that is killed can go on."""

import math
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
from absl import logging

from vxm_tf.files.atomic import replace_atomically
from vxm_tf.files.csv_file import write_csv
from vxm_tf.files.errors import InputError
from vxm_tf.files.json_file import read_json, write_json
from vxm_tf.training.trainer import RegistrationTrainer

STATE_FILE = "state.json"
# Scores, lower for better networks, that choose the best network while no epoch has the monitored score.
FALLBACKS = ("val_loss", "loss")


class TrainingDiverged(ValueError):
    """The loss or a weight became NaN or infinite."""


class DivergenceCheck(keras.callbacks.Callback):
    """Ends a training whose loss or weights became NaN or infinite, before anything is scored or saved.

    Args:
        directory: output folder of the training, for the message.
    """

    def __init__(self, directory: str | os.PathLike) -> None:
        super().__init__()
        self.directory = Path(directory)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        weights = self.model.network.get_weights()
        if math.isfinite((logs or {}).get("loss", 0.0)) and all(np.isfinite(weight).all() for weight in weights):
            return
        raise TrainingDiverged(
            f"The loss became NaN or infinite in epoch {epoch + 1}. The files in {self.directory} are those of "
            f"epoch {epoch}. Lower --learning_rate, or raise --weight."
        )


class TrainingState(keras.callbacks.Callback):
    """Saves the network, the weights with the optimiser's state, and the log after each epoch.

    Every file is written under a temporary name and renamed; `state.json`, written last, names the weights
    that belong to it. A training that is killed at any moment goes on from the last whole epoch.

    The best network is that of the best score by `monitor`. An epoch whose score is NaN has none; while no epoch has
    one, `val_loss` decides, or else `loss`.

    Files in `directory`: `last.keras`, `best.keras` (by `monitor`), `state.json`, `state-<epoch>.npz`, `log.csv`.

    Args:
        directory: output folder of the training.
        monitor: name of the score that chooses the best network.
        mode: "max" if a higher score is better, "min" if a lower one is.
        patience: number of epochs without a better score after which training stops; 0 never stops.
    """

    def __init__(self, directory: str | os.PathLike, *, monitor: str, mode: str, patience: int = 0) -> None:
        super().__init__()
        self.directory = Path(directory)
        self.monitor = monitor
        self.sign = 1.0 if mode == "max" else -1.0
        self.patience = patience
        self.history: list[dict[str, float]] = []

    @property
    def epoch(self) -> int:
        """Number of epochs done."""
        return len(self.history)

    @property
    def stopped(self) -> bool:
        """Whether patience has run out."""
        best = self.best
        return bool(self.patience and best is not None and self.epoch - 1 - best >= self.patience)

    @property
    def best(self) -> int | None:
        """Index of the best epoch, the first of equally good ones; None before any epoch has a score."""
        for name, sign in ((self.monitor, self.sign), *((name, -1.0) for name in FALLBACKS)):
            scores = [sign * row.get(name, math.nan) for row in self.history]
            defined = [score for score in scores if not math.isnan(score)]
            if defined:
                return scores.index(max(defined))
        return None

    def restore(self, trainer: RegistrationTrainer) -> bool:
        """Restore trainer and history as they were after the last whole epoch.

        Returns:
            Whether there was an epoch to restore.

        Raises:
            InputError: the state is damaged.
        """
        path = self.directory / STATE_FILE
        if not path.exists():
            return False
        state = read_json(path)
        weights = self.directory / state["weights"]
        variables = _variables(trainer)
        try:
            with np.load(weights, allow_pickle=False) as archive:
                values = [archive[name] for name in archive.files]
            if [value.shape for value in values] != [tuple(variable.shape) for variable in variables]:
                raise ValueError("it belongs to another network")
        except Exception as error:
            raise InputError(
                f"{weights}: cannot be restored ({error}). Remove {path} to start anew; last.keras and best.keras stay "
                "usable with --initial_model."
            ) from error
        for variable, value in zip(variables, values):
            variable.assign(value)
        self.history = state["history"]
        return True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        row = {"epoch": epoch + 1, **{name: float(value) for name, value in (logs or {}).items()}}
        self.history.append(row)
        if math.isnan(row.get(self.monitor, math.nan)):
            logging.warning(
                "Epoch %d has no %s; %s decide in its place.", epoch + 1, self.monitor, " or ".join(FALLBACKS)
            )
        network = self.model.network
        try:
            if self.best == self.epoch - 1:
                replace_atomically(self.directory / "best.keras", network.save)
            replace_atomically(self.directory / "last.keras", network.save)
            self._write_state()
        except InputError as error:
            # A full disk must not end a training of days; the files of earlier epochs are whole.
            logging.error("Epoch %d could not be saved, training goes on. %s", epoch + 1, error)
        if self.stopped:
            logging.info("No better %s for %d epochs: stopping.", self.monitor, self.patience)
            self.model.stop_training = True

    def _write_state(self) -> None:
        name = f"state-{self.epoch:05d}.npz"
        # Not Keras' HDF5, which crashes the whole process on a full disk.
        values = [np.asarray(variable) for variable in _variables(self.model)]
        replace_atomically(self.directory / name, lambda file: np.savez(file, *values))
        write_csv(self.directory / "log.csv", self.history)
        write_json(self.directory / STATE_FILE, {"weights": name, "history": self.history})
        for old in self.directory.glob("state-*.npz"):
            if old.name != name:
                old.unlink()


def _variables(trainer: RegistrationTrainer) -> list[keras.Variable]:
    """All variables that training changes: weights, the optimiser's state, and that of a random generator."""
    if not trainer.optimizer.built:
        trainer.optimizer.build(trainer.trainable_variables)
    generator = getattr(trainer, "seed_generator", None)
    return [*trainer.network.variables, *trainer.optimizer.variables, *([generator.state] if generator else [])]
