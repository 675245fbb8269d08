"""Scalars and pictures of a training for TensorBoard."""

import importlib.util

import keras
import numpy as np
from absl import logging

from vxm_tf.data.pipeline import image_pair
from vxm_tf.report import registration_panel


def tensorboard_callbacks(directory, store, pairs, atlas=None) -> list:
    """The callbacks, or none with a word of advice where TensorBoard is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        logging.info("TensorBoard is not installed: no event files. `pip install vxm-tf[tensorboard]` adds them.")
        return []
    return [TensorBoardPanels(directory, store, pairs[:2], atlas)]


class TensorBoardPanels(keras.callbacks.Callback):
    """After each epoch the log's scalars, and for some pairs moving, fixed, moved, warped grid, differences.

    Args:
        directory: for the event files.
        store: `ScanStore` of the pairs.
        pairs: (moving, fixed) indices.
        atlas: image for negative indices.
    """

    def __init__(self, directory, store, pairs, atlas=None):
        super().__init__()
        import tensorflow as tf

        self.summary, self.errors = tf.summary, tf.errors
        self.writer = tf.summary.create_file_writer(str(directory))
        self.store = store
        self.pairs = pairs
        self.atlas = atlas

    def on_epoch_end(self, epoch, logs=None):
        panels = [self._panel(moving, fixed) for moving, fixed in self.pairs]
        try:
            self._write(epoch + 1, logs or {}, panels)
        except self.errors.OpError as error:
            # A full disk must not end a training of days.
            logging.error("Epoch %d is missing in TensorBoard, training goes on. %s", epoch + 1, error.message)

    def _write(self, step, scalars, panels):
        with self.writer.as_default(step=step):
            for name, value in scalars.items():
                self.summary.scalar(name, value)
            for index, panel in enumerate(panels):
                self.summary.image(f"registration/{index}", panel[None])
        self.writer.flush()

    def _panel(self, moving, fixed):
        images = image_pair(self.store, moving, fixed, self.atlas)
        answer = self.model.predict_on_batch({"moving": images[0][None], "fixed": images[1][None]})
        moved, displacement = (np.asarray(answer[name][0]) for name in ("moved", "displacement"))
        return registration_panel(*images, moved, displacement)
