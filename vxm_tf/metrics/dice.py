"""Dice overlap of two label images."""

from collections.abc import Iterable

import numpy as np

# Looking up a label's index in a table is several times faster than a search, but atlases such as Allen's have ids
# near 10^9, for which a table would be too large.
_TABLE_SIZE = 2**24


def dice(moved_labels: np.ndarray, fixed_labels: np.ndarray, labels: Iterable[int]) -> dict[int, float]:
    """Dice overlap 2|A and B| / (|A| + |B|) of each label.

    A and B are the sets of voxels with that label in the two images (Dice, Ecology 1945).

    Args:
        moved_labels: integers `[*spatial]`, any number of axes.
        fixed_labels: integers, the shape of `moved_labels`.
        labels: the ids to measure, each 0 or more; see `labels_in`.

    Returns:
        `{label: Dice}` in the order of `labels`, from 0 (disjoint) to 1 (identical). A label in only one of
        the images gets 0; a label in neither gets NaN, so average with `np.nanmean`.

    Raises:
        ValueError: shapes that differ, labels that are not integers, or negative ids.

    Example:

    >>> import numpy as np
    >>> from vxm_tf import metrics
    >>> metrics.dice(np.array([[1, 1, 2]]), np.array([[1, 0, 2]]), labels=(1, 2))
    {1: 0.6666666666666666, 2: 1.0}
    """
    moved_labels = _check_labels(moved_labels, "moved_labels")
    fixed_labels = _check_labels(fixed_labels, "fixed_labels")
    check_same_shape(moved_labels, fixed_labels)
    wanted = [int(label) for label in labels]
    ids = np.unique(np.array(wanted, dtype=np.int64))
    if not wanted:
        return {}
    if ids[0] < 0:
        raise ValueError(f"Label ids are 0 or more; got {ids[0]} in labels.")
    num_bins = len(ids) + 1
    joint = _indices(moved_labels, ids) * num_bins + _indices(fixed_labels, ids)
    counts = np.bincount(joint.ravel(), minlength=num_bins**2).reshape(num_bins, num_bins)
    total = (counts.sum(axis=0) + counts.sum(axis=1))[1:]
    overlap = 2.0 * np.diagonal(counts)[1:] / np.where(total > 0, total, np.nan)
    by_id = dict(zip(ids.tolist(), overlap.tolist(), strict=True))
    return {label: by_id[label] for label in wanted}


def labels_in(*label_arrays: np.ndarray) -> tuple[int, ...]:
    """Sorted ids, without 0, that are present in any of the label images.

    Args:
        *label_arrays: integer arrays, which may differ in shape.

    Raises:
        ValueError: labels that are not integers, or negative ids.

    Example:

    >>> import numpy as np
    >>> from vxm_tf import metrics
    >>> metrics.labels_in(np.array([0, 41, 2]), np.array([2, 0, 17]))
    (2, 17, 41)
    """
    present: set[int] = set()
    for array in label_arrays:
        present.update(np.unique(_check_labels(array, "A label array")).tolist())
    return tuple(sorted(int(label) for label in present if label))


def check_same_shape(moved_labels: np.ndarray, fixed_labels: np.ndarray) -> None:
    """Raise `ValueError` unless both label images have the same shape."""
    if moved_labels.shape != fixed_labels.shape:
        raise ValueError(
            f"moved_labels and fixed_labels lie on one grid; got shapes {moved_labels.shape} and "
            f"{fixed_labels.shape}. Warp the moving labels onto the fixed grid first, and drop batch and channel axes."
        )


def _check_labels(labels: np.ndarray, name: str) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iub":
        raise ValueError(
            f"{name} must hold integers; got {labels.dtype}. Where a file stores labels as floats, use "
            "np.rint(labels).astype('int32')."
        )
    if labels.size and labels.min() < 0:
        raise ValueError(f"Label ids are 0 or more; {name} holds {labels.min()}.")
    return labels


def _indices(labels: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """1 + the position of each voxel's label in the sorted `ids`, or 0 for any other label."""
    labels = labels.astype(np.int64)
    beyond = int(ids[-1]) + 1
    if beyond < _TABLE_SIZE:
        table = np.zeros(beyond + 1, dtype=np.int64)
        table[ids] = np.arange(1, len(ids) + 1)
        return table[np.minimum(labels, beyond)]
    position = np.minimum(np.searchsorted(ids, labels), len(ids) - 1)
    return np.where(ids[position] == labels, position + 1, 0)
