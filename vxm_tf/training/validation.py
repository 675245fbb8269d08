"""Validation after each epoch, on pairs that the network is not trained on."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np

from vxm_tf.data import Atlas, ScanStore, image_pair, label_pair
from vxm_tf.data.warping import warp_labels
from vxm_tf.metrics import dice, fold_fraction, labels_in


class PairValidation(keras.callbacks.Callback):
    """Adds to the epoch's log: val_loss, val_similarity, val_fold_fraction and, with labels, val_dice.

    Dice is the mean over labels and pairs of label maps moved by nearest neighbour; it counts every label of the fixed
    or the moving map except the background.

    Args:
        store: validation scans.
        pairs: (moving, fixed) indices; a negative index stands for the atlas.
        atlas: the atlas, if there is one.
    """

    def __init__(
        self,
        store: ScanStore,
        pairs: Sequence[tuple[int, int]],
        *,
        atlas: Atlas | None = None,
    ) -> None:
        super().__init__()
        self.store = store
        self.pairs = pairs
        self.atlas = atlas

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        rows = [self._score(moving, fixed) for moving, fixed in self.pairs]
        if logs is not None and rows:
            names = dict.fromkeys(name for row in rows for name in row)
            logs.update({f"val_{name}": _mean(row.get(name, np.nan) for row in rows) for name in names})

    def _score(self, moving: int, fixed: int) -> dict[str, float]:
        images = dict(zip(("moving", "fixed"), image_pair(self.store, moving, fixed, self.atlas)))
        batch = {name: image[None] for name, image in images.items()}
        answer = {name: np.asarray(value) for name, value in self.model.predict_on_batch(batch).items()}
        similarity = float(self.model.similarity(batch["fixed"], answer["moved"]))
        regularity = float(np.mean(self.model.regularity(answer[self.model.field_name])))
        displacement = answer["displacement"][0]
        row = {"loss": similarity + self.model.weight * regularity, "similarity": similarity}
        row["fold_fraction"] = fold_fraction(displacement)
        maps = label_pair(self.store, moving, fixed, self.atlas)
        if maps is not None:
            moving_labels, fixed_labels = maps
            ids = labels_in(moving_labels, fixed_labels)
            row["dice"] = _mean(dice(warp_labels(moving_labels, displacement), fixed_labels, ids).values())
        return row


def _mean(values: Iterable[float]) -> float:
    """The mean of the values that are defined; NaN if none is."""
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")
