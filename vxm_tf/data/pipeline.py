"""The tf.data pipeline: pairs of indices in, batches of image pairs out."""

import numpy as np
import tensorflow as tf

from vxm_tf.data.padding import common_shape, pad_to


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


def training_dataset(store, pairs, batch_size: int, atlas=None) -> tf.data.Dataset:
    """Batches `{"moving", "fixed"}`, float32 `[batch, *spatial, channels]`, in the order of `pairs`.

    Loading runs in parallel and ahead of the training step. Where shapes differ, the images of one batch
    are padded with zeros to the largest.

    Args:
        store: a `ScanStore`.
        pairs: integers `[n, 2]`, already shuffled.
        batch_size: pairs a step; an incomplete last batch is left out.
        atlas: image for negative indices, `[*spatial, channels]`.
    """
    shape = pair_shape(store, atlas)
    element_shape = (*shape, store.channels)

    def load(pair):
        moving, fixed = tf.numpy_function(
            lambda p: image_pair(store, int(p[0]), int(p[1]), atlas), [pair], [tf.float32, tf.float32]
        )
        return {"moving": tf.ensure_shape(moving, element_shape), "fixed": tf.ensure_shape(fixed, element_shape)}

    dataset = tf.data.Dataset.from_tensor_slices(np.asarray(pairs, "int64"))
    dataset = dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    if None in shape:
        dataset = dataset.padded_batch(batch_size, drop_remainder=True)
    else:
        dataset = dataset.batch(batch_size, drop_remainder=True)
    return dataset.prefetch(tf.data.AUTOTUNE)
