"""How far a few steps of optimisation would still move a registration: little for a sound one, which is at rest.

Each step solves, around every coarse voxel, for the shift that brings the moved image's edges onto the fixed image's
(Lucas and Kanade, "An Iterative Image Registration Technique with an Application to Stereo Vision", IJCAI 1981). Edges
are compared after their local mean and contrast are removed, so brightness and contrast have no effect.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from vxm_tf.trust.gate.pair_view import TINY, View, or_everything

STEPS = 4
"""Number of steps with each window."""
# Relative to the size of the foreground: windows within which a shift is constant, each with the Gaussian that smooths
# the images first; the Gaussian that smooths the shifts after each step; and the margin around the foreground. Wide
# windows find large errors, narrow ones measure what is left of them.
LEVELS = ((1 / 4, 1 / 12), (1 / 12, 1 / 60))
SMOOTHING, MARGIN = 1 / 20, 1 / 4
# Added to the contrast of edges of the order of 1, and to the strength of their slopes relative to its mean, so that
# places without edges stay.
FLAT, STIFFNESS = 1e-3, 0.1
PERCENTILE = 75


def unrest_mm(views: Sequence[View]) -> float:
    """Millimetres by which a few steps of optimisation would still move a registration.

    Args:
        views: channels of the pair on one grid, whose edges move together.

    Returns:
        The length that a quarter of the foreground exceeds (75th percentile).
    """
    view = views[0]
    content = np.any([view.content for view in views], axis=0)
    box = _box(content, view.window(MARGIN))
    inside = or_everything(content[box])
    shift = np.zeros((inside.ndim, *inside.shape), "float32")
    for part, blur in LEVELS:
        pairs = [[_edges(image[box], view.window(blur, 0.6)) for image in (each.moved, each.fixed)] for each in views]
        shift = _followed(shift, pairs, inside, view.window(part), view.window(SMOOTHING))
    lengths = np.linalg.norm(np.moveaxis(shift, 0, -1)[inside] @ view.linear.T, axis=-1)
    return float(np.percentile(lengths, PERCENTILE))


def _followed(
    shift: np.ndarray,
    pairs: Sequence[Sequence[np.ndarray]],
    inside: np.ndarray,
    window: Sequence[float],
    smoothing: Sequence[float],
) -> np.ndarray:
    """A shift `[ndim, *spatial]`, in coarse voxels, after a few more steps of moved edges towards fixed edges."""
    fixed = [_standardised(edges, window) for _, edges in pairs]
    slopes = [_slopes(image) for image in fixed]
    inverse = _inverse(slopes, window, inside)
    places = np.indices(inside.shape, "float32")
    for _ in range(STEPS):
        pull = np.zeros_like(places)
        for (moved, _), goal, slope in zip(pairs, fixed, slopes, strict=True):
            here = ndimage.map_coordinates(moved, places + shift, order=1, mode="nearest")
            pull += slope * (goal - _standardised(here, window))
        pull = np.stack([_smooth(component, window) for component in pull], axis=-1)
        shift = shift + np.moveaxis((inverse @ pull[..., None])[..., 0], -1, 0)
        shift = np.stack([_smooth(component, smoothing) for component in shift])
    return shift


def _box(content: np.ndarray, margin: Sequence[float]) -> tuple[slice, ...]:
    """Slices of the smallest box around a mask, with a margin in voxels along each axis."""
    places = np.argwhere(or_everything(content))
    return tuple(
        slice(max(first - round(more), 0), last + 1 + round(more))
        for first, last, more in zip(places.min(axis=0), places.max(axis=0), margin, strict=True)
    )


def _edges(image: np.ndarray, blur: Sequence[float]) -> np.ndarray:
    """Root of the length of a smoothed image's slope, in which weak edges count beside strong ones."""
    return np.sqrt(ndimage.gaussian_gradient_magnitude(image, blur))


def _smooth(image: np.ndarray, sigma: Sequence[float]) -> np.ndarray:
    return ndimage.gaussian_filter(image, sigma, truncate=3.0)


def _standardised(image: np.ndarray, sigma: Sequence[float]) -> np.ndarray:
    """An image less its local mean, divided by its local standard deviation."""
    centred = image - _smooth(image, sigma)
    return centred / np.sqrt(_smooth(centred * centred, sigma) + FLAT)


def _slopes(image: np.ndarray) -> np.ndarray:
    """Derivative of an image along each axis, `[ndim, *spatial]`; 0 along an axis of one voxel."""
    return np.stack(
        [np.gradient(image, axis=axis) if size > 1 else np.zeros_like(image) for axis, size in enumerate(image.shape)]
    )


def _inverse(slopes: Sequence[np.ndarray], window: Sequence[float], inside: np.ndarray) -> np.ndarray:
    """Inverse of the windowed sum of slope times slope, made regular, `[*spatial, ndim, ndim]`."""
    ndim = inside.ndim
    matrix = np.empty((*inside.shape, ndim, ndim), "float32")
    for row in range(ndim):
        for column in range(row, ndim):
            product = sum(slope[row] * slope[column] for slope in slopes)
            matrix[..., row, column] = matrix[..., column, row] = _smooth(product, window)
    mean = float(np.trace(matrix, axis1=-2, axis2=-1)[inside].mean()) / ndim
    return np.linalg.inv(matrix + (STIFFNESS * mean + TINY) * np.eye(ndim, dtype="float32"))
