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

        self.summary = tf.summary
        self.writer = tf.summary.create_file_writer(str(directory))
        self.store = store
        self.pairs = pairs
        self.atlas = atlas

    def on_epoch_end(self, epoch, logs=None):
        with self.writer.as_default(step=epoch + 1):
            for name, value in (logs or {}).items():
                self.summary.scalar(name, value)
            for index, (moving, fixed) in enumerate(self.pairs):
                self.summary.image(f"registration/{index}", self._panel(moving, fixed)[None])
        self.writer.flush()

    def _panel(self, moving, fixed):
        images = image_pair(self.store, moving, fixed, self.atlas)
        answer = self.model.predict_on_batch({"moving": images[0][None], "fixed": images[1][None]})
        moved, displacement = (np.asarray(answer[name][0]) for name in ("moved", "displacement"))
        return registration_panel(*images, moved, displacement)
