"""Scalars and pictures of a training for TensorBoard."""

import importlib.util
import os
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from absl import logging

from vxm_tf.data import Atlas, ScanStore
from vxm_tf.data.pipeline import image_pair
from vxm_tf.report import registration_panel


def tensorboard_callbacks(
    directory: str | os.PathLike,
    store: ScanStore | None,
    pairs: Sequence[tuple[int, int]],
    atlas: Atlas | None = None,
) -> list[keras.callbacks.Callback]:
    """The callbacks that write for TensorBoard; none, and a line in the log, if it is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        logging.info("TensorBoard is not installed: no event files. `pip install vxm-tf[tensorboard]` adds them.")
        return []
    return [TensorBoardPanels(directory, store, pairs[:2], atlas)]


class TensorBoardPanels(keras.callbacks.Callback):
    """Writes the log's scalars after each epoch, and a panel of pictures for each of the given pairs.

    Args:
        directory: folder for the event files.
        store: scans of the pairs; None writes no pictures.
        pairs: (moving, fixed) indices into the store; a negative index stands for the atlas.
        atlas: the atlas, if there is one.
    """

    def __init__(
        self,
        directory: str | os.PathLike,
        store: ScanStore | None,
        pairs: Sequence[tuple[int, int]],
        atlas: Atlas | None = None,
    ) -> None:
        super().__init__()
        import tensorflow as tf

        self.summary, self.errors = tf.summary, tf.errors
        self.writer = tf.summary.create_file_writer(str(directory))
        self.store = store
        self.pairs = pairs
        self.atlas = atlas

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        panels = [] if self.store is None else [self._panel(self.store, *pair) for pair in self.pairs]
        try:
            self._write(epoch + 1, logs or {}, panels)
        except self.errors.OpError as error:
            # A full disk must not end a training of days.
            logging.error("Epoch %d is missing in TensorBoard, training goes on. %s", epoch + 1, error.message)

    def _write(self, step: int, scalars: dict[str, Any], panels: list[np.ndarray]) -> None:
        with self.writer.as_default(step=step):
            for name, value in scalars.items():
                self.summary.scalar(name, value)
            for index, panel in enumerate(panels):
                self.summary.image(f"registration/{index}", panel[None])
        self.writer.flush()

    def _panel(self, store: ScanStore, moving: int, fixed: int) -> np.ndarray:
        moving_image, fixed_image = image_pair(store, moving, fixed, self.atlas)
        answer = self.model.predict_on_batch({"moving": moving_image[None], "fixed": fixed_image[None]})
        moved, displacement = (np.asarray(answer[name][0]) for name in ("moved", "displacement"))
        return registration_panel(moving_image, fixed_image, moved, displacement)
