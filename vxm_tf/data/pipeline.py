"""The tf.data pipeline: pairs of indices in, batches of image pairs out."""

import numpy as np
import tensorflow as tf

from vxm_tf.data.padding import common_shape, pad_to
from vxm_tf.data.synthetic.augmentation import augmented
from vxm_tf.data.synthetic.synthesis import synthetic_pair


def image_pair(store, moving: int, fixed: int, atlas=None):
    """Two images on one grid, each `[*spatial, channels]`; a negative index stands for the atlas.

    Where their shapes differ both are centred on the smallest grid that holds them, edges repeated.
    """
    images = [atlas if index < 0 else store.image(index) for index in (moving, fixed)]
    shape = common_shape(*(image.shape[:-1] for image in images))
    return tuple(np.asarray(pad_to(image, shape)) for image in images)


def pair_shape(store, atlas=None) -> tuple:
    """The spatial shape of every pair of a store, None for every axis where it varies."""
    shape = store.image_shape
    return shape if atlas is None or atlas.shape[:-1] == shape else (None,) * len(shape)


def training_dataset(
    store, pairs, batch_size: int, atlas=None, *, augmentations=(), left_right=None, seed: int = 0, first: int = 0
):
    """Batches `{"moving", "fixed"}`, float32 `[batch, *spatial, channels]`, in the order of `pairs`.

    Loading runs in parallel and ahead of the training step. Where shapes differ, the images of one batch
    are padded with zeros to the largest.

    Args:
        store: a `ScanStore`.
        pairs: integers `[n, 2]`, already shuffled.
        batch_size: pairs a step; an incomplete last batch is left out.
        atlas: image for negative indices, `[*spatial, channels]`.
        augmentations: names, see `augmented`; pair k of a seed is changed alike in every run.
        left_right: the axis to flip.
        seed: of the augmentations.
        first: number of the first pair, for a training that goes on.
    """

    def load(number, moving, fixed):
        images = image_pair(store, moving, fixed, atlas)
        if augmentations:
            images = augmented(images, augmentations, np.random.default_rng([seed, first + number]), left_right)
        return dict(zip(("moving", "fixed"), images))

    return _batches(load, pairs, batch_size, ("moving", "fixed"), (*pair_shape(store, atlas), store.channels))


def synthetic_dataset(populations, pairs, batch_size: int, *, shape, spacing_mm: float, seed: int, first: int = 0):
    """Batches of `synthetic_pair`, in the order of `pairs`; pair k of a seed is the same in every run.

    Args:
        populations: `LabelMaps`, one or several.
        pairs: integers `[n, 3]`, (population, moving, fixed), already shuffled.
        batch_size: pairs a step; an incomplete last batch is left out.
        shape: of the images.
        spacing_mm: their voxel size.
        seed: of everything random.
        first: number of the first pair, for a training that goes on.
    """

    def load(number, population, moving, fixed):
        rng = np.random.default_rng([seed, first + number])
        return synthetic_pair(populations[population], moving, fixed, shape, spacing_mm, rng)

    return _batches(load, pairs, batch_size, ("moving", "fixed", "moving_target", "fixed_target"), (*shape, 1))


def _batches(load, pairs, batch_size, names, element_shape):
    """Batches of `load(number, *pair)`, a dict of `names`, made in parallel and ahead of the training step."""

    def arrays_of(number, pair):
        loaded = load(int(number), *(int(index) for index in pair))
        return [loaded[name] for name in names]

    def element(number, pair):
        arrays = tf.numpy_function(arrays_of, [number, pair], [tf.float32] * len(names))
        return {name: tf.ensure_shape(array, element_shape) for name, array in zip(names, arrays)}

    dataset = tf.data.Dataset.from_tensor_slices(np.asarray(pairs, "int64")).enumerate()
    dataset = dataset.map(element, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    if None in element_shape:
        dataset = dataset.padded_batch(batch_size, drop_remainder=True)
    else:
        dataset = dataset.batch(batch_size, drop_remainder=True)
    return dataset.prefetch(tf.data.AUTOTUNE)
