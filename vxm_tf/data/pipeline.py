"""The tf.data pipeline, which makes batches of image pairs from pairs of indices."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from vxm_tf.data.atlas import Atlas
from vxm_tf.data.pair_grid import laid_image, laid_labels, pair_grid
from vxm_tf.data.scan_store import ScanStore
from vxm_tf.data.synthetic.augmentation import augmented
from vxm_tf.data.synthetic.label_maps import LabelMaps
from vxm_tf.data.synthetic.synthesis import synthetic_pair
from vxm_tf.machine import threads
from vxm_tf.ops.tensors import Shape, Tensor
from vxm_tf.spatial.grid import Grid, same_grid


def image_pair(store: ScanStore, moving: int, fixed: int, atlas: Atlas | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return (moving image, fixed image) on one grid, each `[*spatial, channels]`.

    Scans on different grids are laid on the fixed scan's voxels through their headers, see `pair_grid`. Where a header
    states no position and shapes differ, both are centred on the smallest grid that holds them. Edges are repeated.

    Args:
        store: the scans.
        moving: index of the moving scan; a negative one stands for the atlas.
        fixed: index of the fixed scan; a negative one stands for the atlas.
        atlas: the atlas; None if no index is negative.
    """
    onto = _pair_grid(store, moving, fixed, atlas)
    first, second = (
        np.asarray(laid_image(_image_of(store, i, atlas), _grid_of(store, i, atlas), onto)) for i in (moving, fixed)
    )
    return first, second


def label_pair(
    store: ScanStore, moving: int, fixed: int, atlas: Atlas | None = None
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return (moving label map, fixed label map) on the grid of `image_pair`, int32; None unless both scans have one.

    Labels lie there by nearest neighbour, and are 0 beyond their maps.

    Args:
        store: see `image_pair`.
        moving: see `image_pair`.
        fixed: see `image_pair`.
        atlas: see `image_pair`.
    """
    maps = [_labels_of(store, index, atlas) for index in (moving, fixed)]
    onto = _pair_grid(store, moving, fixed, atlas)
    laid = [
        None if m is None else laid_labels(m, _grid_of(store, i, atlas), onto) for m, i in zip(maps, (moving, fixed))
    ]
    return None if laid[0] is None or laid[1] is None else (laid[0], laid[1])


def _pair_grid(store: ScanStore, moving: int, fixed: int, atlas: Atlas | None) -> Grid | tuple[int, ...]:
    shapes = [_image_of(store, index, atlas).shape[:-1] for index in (moving, fixed)]
    return pair_grid(_grid_of(store, moving, atlas), _grid_of(store, fixed, atlas), *shapes)


def _image_of(store: ScanStore, index: int, atlas: Atlas | None) -> np.ndarray:
    return store.image(index) if index >= 0 else _given(atlas, index).image


def _labels_of(store: ScanStore, index: int, atlas: Atlas | None) -> np.ndarray | None:
    return store.labels(index) if index >= 0 else _given(atlas, index).labels


def _grid_of(store: ScanStore, index: int, atlas: Atlas | None) -> Grid | None:
    return store.grid(index) if index >= 0 else _given(atlas, index).grid


def _given(atlas: Atlas | None, index: int) -> Atlas:
    if atlas is None:
        raise ValueError(f"Index {index} stands for the atlas, but there is none.")
    return atlas


def pair_shape(store: ScanStore, atlas: Atlas | None = None) -> tuple[int | None, ...]:
    """The spatial shape of the pairs of a store and an atlas; None for all axes where it varies."""
    shape = store.image_shape
    if atlas is None or None in shape:
        return shape
    grids = [store.grid(index) for index in range(len(store))]
    placed = next((grid for grid in grids if grid is not None), None)
    alike = atlas.grid is None or placed is None or same_grid(placed, atlas.grid)
    return shape if atlas.image.shape[:-1] == shape and alike else (None,) * len(shape)


def training_dataset(
    store: ScanStore,
    pairs: ArrayLike,
    batch_size: int,
    atlas: Atlas | None = None,
    *,
    augmentations: Sequence[str] = (),
    left_right: int | None = None,
    seed: int = 0,
    first: int = 0,
) -> tf.data.Dataset:
    """Batches `{"moving", "fixed"}`, float32 `[batch, *spatial, channels]`, in the order of `pairs`.

    Loading runs in parallel and ahead of the training step. Where shapes differ, the images of one batch
    are padded with zeros to the largest.

    Args:
        store: the scans.
        pairs: integers `[n, 2]`, (moving, fixed), already shuffled.
        batch_size: pairs per step; an incomplete last batch is left out.
        atlas: the atlas, for negative indices.
        augmentations: names, see `augmented`; with one seed, the k-th pair is changed identically in every run.
        left_right: the left-right axis, which "flip" mirrors; None for no flips.
        seed: seed of the augmentations.
        first: number of the first pair, for a training that is resumed.
    """

    def load(number: int, moving: int, fixed: int) -> dict[str, np.ndarray]:
        images: Sequence[np.ndarray] = image_pair(store, moving, fixed, atlas)
        if augmentations:
            images = augmented(images, augmentations, np.random.default_rng([seed, first + number]), left_right)
        return dict(zip(("moving", "fixed"), images))

    return _batches(load, pairs, batch_size, ("moving", "fixed"), (*pair_shape(store, atlas), store.channels))


def synthetic_dataset(
    populations: Sequence[LabelMaps],
    pairs: ArrayLike,
    batch_size: int,
    *,
    shape: Sequence[int],
    spacing_mm: float,
    seed: int,
    first: int = 0,
) -> tf.data.Dataset:
    """Batches of `synthetic_pair`, in the order of `pairs`; with one seed, the k-th pair is identical in every run.

    Args:
        populations: one or several sets of label maps.
        pairs: integers `[n, 3]`, (population, moving, fixed), already shuffled.
        batch_size: pairs per step; an incomplete last batch is left out.
        shape: spatial shape of the images.
        spacing_mm: voxel size of the images along all axes, in millimetres.
        seed: seed of contrasts, deformations and noise.
        first: number of the first pair, for a training that is resumed.
    """

    def load(number: int, population: int, moving: int, fixed: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng([seed, first + number])
        return synthetic_pair(populations[population], moving, fixed, shape, spacing_mm, rng)

    return _batches(load, pairs, batch_size, ("moving", "fixed", "moving_target", "fixed_target"), (*shape, 1))


def _batches(
    load: Callable[..., dict[str, np.ndarray]],
    pairs: ArrayLike,
    batch_size: int,
    names: Sequence[str],
    element_shape: Shape,
) -> tf.data.Dataset:
    """Batches of `load(number, *pair)`, a dict with keys `names`, made in parallel and ahead of the training step."""

    def arrays_of(number: np.ndarray, pair: np.ndarray) -> list[np.ndarray]:
        loaded = load(int(number), *(int(index) for index in pair))
        return [loaded[name] for name in names]

    def element(number: Tensor, pair: Tensor) -> dict[str, Tensor]:
        arrays = tf.numpy_function(arrays_of, [number, pair], [tf.float32] * len(names))
        return {name: tf.ensure_shape(array, element_shape) for name, array in zip(names, arrays)}

    dataset = tf.data.Dataset.from_tensor_slices(np.asarray(pairs, "int64")).enumerate()
    dataset = dataset.map(element, num_parallel_calls=threads(), deterministic=True)
    if None in element_shape:
        dataset = dataset.padded_batch(batch_size, drop_remainder=True)
    else:
        dataset = dataset.batch(batch_size, drop_remainder=True)
    return dataset.prefetch(tf.data.AUTOTUNE)
