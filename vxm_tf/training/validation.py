"""How good the network is after each epoch, on pairs it was not trained on."""

import keras
import numpy as np

from vxm_tf.data.padding import pad_to
from vxm_tf.data.pipeline import image_pair
from vxm_tf.data.warping import warp_labels
from vxm_tf.metrics import dice, fold_fraction, labels_in


class PairValidation(keras.callbacks.Callback):
    """Adds to the epoch's log: val_loss, val_similarity, val_fold_fraction and, with labels, val_dice.

    Dice is the mean over labels and pairs of label maps moved by nearest neighbour; the labels are those
    that the fixed or the moving map holds, background apart.

    Args:
        store: `ScanStore` of the validation scans.
        pairs: (moving, fixed) indices; a negative fixed index stands for the atlas.
        atlas: image `[*spatial, channels]` for negative indices.
        atlas_labels: its label map `[*spatial]`, if there is one.
    """

    def __init__(self, store, pairs, *, atlas=None, atlas_labels=None):
        super().__init__()
        self.store = store
        self.pairs = pairs
        self.atlas = atlas
        self.atlas_labels = atlas_labels

    def on_epoch_end(self, epoch, logs=None):
        rows = [self._score(moving, fixed) for moving, fixed in self.pairs]
        if logs is not None and rows:
            names = dict.fromkeys(name for row in rows for name in row)
            logs.update({f"val_{name}": float(np.nanmean([row.get(name, np.nan) for row in rows])) for name in names})

    def _score(self, moving, fixed):
        images = dict(zip(("moving", "fixed"), image_pair(self.store, moving, fixed, self.atlas)))
        batch = {name: image[None] for name, image in images.items()}
        answer = {name: np.asarray(value) for name, value in self.model.predict_on_batch(batch).items()}
        similarity = float(self.model.similarity(batch["fixed"], answer["moved"]))
        regularity = float(np.mean(self.model.regularity(answer[self.model.field_name])))
        displacement = answer["displacement"][0]
        row = {"loss": similarity + self.model.weight * regularity, "similarity": similarity}
        row["fold_fraction"] = fold_fraction(displacement)
        maps = [self._labels(index, displacement.shape[:-1]) for index in (moving, fixed)]
        if all(labels is not None for labels in maps):
            scores = dice(warp_labels(maps[0], displacement), maps[1], labels_in(*maps))
            row["dice"] = float(np.nanmean(list(scores.values()))) if scores else np.nan
        return row

    def _labels(self, index, shape):
        labels = self.atlas_labels if index < 0 else self.store.labels(index)
        return None if labels is None else pad_to(labels, shape, mode="constant")
