"""What can be measured of a registration without labels: how alike, how noisy, how complete, how deformed.

Lengths are in parts of the size of what the fixed image shows, the edge of a cube of its volume, so that a measure is
much the same at 1 mm and at 2 mm, for a brain and for a hippocampus.
"""

import dataclasses

import numpy as np
from scipy import ndimage

from vxm_tf.metrics import foreground, jacobian_determinant, local_correlation

# Voxels along the edge of that cube in which alikeness is looked at; a head of 2 mm has twice as many.
COARSE = 30
WINDOW, MIRROR_WINDOW, DEEP = 1 / 20, 1 / 8, 1 / 20
# A voxel whose volume changes by more than this factor is strongly deformed.
STRONG = 2.5
# Below this there is nothing but rounding.
_TINY = 1e-5


@dataclasses.dataclass(frozen=True)
class View:
    """A pair as it is measured: coarse, without channels, from 0 to 1.

    Attributes:
        moving, fixed, moved: float `[*spatial]`.
        moving_content, fixed_content, moved_content: bool `[*spatial]`, what is no background.
        displacement: `[*spatial, ndim]` in coarse voxels.
        size: edge of the cube as large as the fixed content, in coarse voxels.
    """

    moving: np.ndarray
    fixed: np.ndarray
    moved: np.ndarray
    moving_content: np.ndarray
    fixed_content: np.ndarray
    moved_content: np.ndarray
    displacement: np.ndarray
    size: float

    @property
    def content(self):
        """Of the fixed or the moved image; everything, if neither has any."""
        return _or_everything(self.fixed_content | self.moved_content)


def measures_of(moving, fixed, displacement, uncertainty=None, spacing_mm=1.0) -> dict:
    """Every measure by name; see `gate_limits.LIMITS` for what each means.

    Args:
        moving, fixed: float `[*spatial, channels]`, on one grid, finite.
        displacement: `[*spatial, ndim]`, in voxels.
        uncertainty: anything with `displacement_std_mm`, `[*spatial]`; None leaves it out.
        spacing_mm: geometric mean of the voxel size.
    """
    images = [_scaled(image) for image in (moving, fixed)]
    view = _view(*images, displacement)
    return {
        "moving_empty": float(np.ptp(images[0]) < _TINY),
        "fixed_empty": float(np.ptp(images[1]) < _TINY),
        "noise": max(_noise(image) for image in images),
        **_likeness(view),
        **_completeness(view),
        **_places(view),
        **_deformation(view),
        **_uncertainty(uncertainty, images[1], spacing_mm),
    }


def _scaled(image):
    """One channel, the mean of all, its 0.5th percentile 0 and its 99.5th 1; 0 where it is constant."""
    image = np.asarray(image, "float32").mean(axis=-1)
    low, high = np.percentile(image, (0.5, 99.5))
    if high - low < _TINY:
        low, high = float(image.min()), float(image.max())
    return np.clip((image - low) / max(high - low, _TINY), 0.0, 1.0) if high - low >= _TINY else np.zeros_like(image)


def _or_everything(content):
    return content if content.any() else np.ones_like(content)


def _centre(content):
    return np.mean(np.argwhere(_or_everything(content)), axis=0)


def _view(moving, fixed, displacement):
    content = foreground(fixed, 1.0)
    size = max(int(content.sum()), 1) ** (1 / fixed.ndim)
    factor = max(1, min(round(size / COARSE), min(fixed.shape) // 4))
    moving, fixed = _shrunk(moving, factor), _shrunk(fixed, factor)
    components = [_shrunk(component, factor) for component in np.moveaxis(np.asarray(displacement, "float32"), -1, 0)]
    field = np.stack(components, axis=-1) / factor
    places = np.moveaxis(field, -1, 0) + np.indices(fixed.shape)
    moved = ndimage.map_coordinates(moving, places, order=1, mode="nearest")
    contents = [foreground(image) for image in (moving, fixed, moved)]
    return View(moving, fixed, moved, *contents, field, size / factor)


def _shrunk(array, factor):
    """Means of blocks of so many voxels along each axis; what is left over at the end is left out."""
    whole = array[tuple(slice(0, n // factor * factor) for n in array.shape)]
    blocks = [n for size in whole.shape for n in (size // factor, factor)]
    return whole.reshape(blocks).mean(axis=tuple(range(1, 2 * array.ndim, 2)))


def _noise(image):
    """Standard deviation of what changes from voxel to voxel along every axis, over the contrast of the content.

    Second differences along all axes at once leave next to nothing of edges and all of white noise; their median
    absolute value over 0.6745 is its standard deviation.
    """
    content = foreground(image, 1.0)
    if not content.any():
        return 0.0
    rough = image
    for axis in range(image.ndim):
        rough = ndimage.convolve1d(rough, np.array([1.0, -2.0, 1.0]) / np.sqrt(6.0), axis=axis)
    smooth = ndimage.gaussian_filter(image, 1.0)[content]
    contrast = np.subtract(*np.percentile(smooth, (95, 5)))
    return float(np.median(np.abs(rough[content])) / 0.6745 / max(contrast, 0.05))


def _likeness(view):
    fixed, moved = (ndimage.gaussian_filter(image, 0.3) for image in (view.fixed, view.moved))
    edges = [np.sqrt(ndimage.gaussian_gradient_magnitude(image, 0.6)) for image in (view.fixed, view.moved)]
    window = max(view.size * WINDOW, 0.8)
    return {
        "similarity": float(local_correlation(moved, fixed, window)[view.content].mean()),
        "edges": float(local_correlation(*edges, window)[view.content].mean()),
    }


def _completeness(view):
    """Parts of the one content that have no counterpart in the other, before anything is deformed."""
    moving, fixed = view.moving_content, view.fixed_content
    return {"missing": _missing(fixed, moving, view.size), "extra": _missing(moving, fixed, view.size)}


def _missing(content, other, size):
    """The part of `content` far from `other`, if `other` is smaller by that much too; else it is only elsewhere."""
    if not content.any():
        return 0.0
    if not other.any():
        return 1.0
    far = ndimage.distance_transform_edt(~other)[content] > DEEP * size
    return float(max(min(far.mean(), 1.0 - other.sum() / content.sum()), 0.0))


def _places(view):
    """How much better the moving image would fit if it were mirrored or turned, before anything is deformed."""
    window = max(view.size * MIRROR_WINDOW, 0.8)
    smooth = [ndimage.gaussian_filter(image, window) for image in (view.moving, view.fixed)]
    either = _or_everything(view.moving_content | view.fixed_content)
    centre, own = (_centre(content) for content in (view.fixed_content, view.moving_content))
    found = {"fit": _correlation(*(image[either] for image in smooth))}
    for axis in range(view.fixed.ndim):
        halves = [(image - _mirrored(image, axis, centre[axis]))[either] for image in smooth]
        found[f"mirror_{axis}"] = -_correlation(*halves, centred=False)
        mirrored = _mirrored(smooth[0], axis, centre[axis])
        found[f"mirror_fit_{axis}"] = _correlation(mirrored[either], smooth[1][either])
    turned = (_correlation(image[either], smooth[1][either]) for image in _turned(smooth[0], own))
    found["turned_fit"] = max(turned, default=-1.0)
    return found


def _mirrored(image, axis, centre):
    """Mirrored about a place on an axis."""
    shift = np.zeros(image.ndim)
    shift[axis] = 2 * centre - (image.shape[axis] - 1)
    return ndimage.shift(np.flip(image, axis), shift, order=1, mode="nearest")


def _turned(image, centre):
    """The image turned about a place in each plane, both ways."""
    for first in range(image.ndim):
        for second in range(first + 1, image.ndim):
            for angle in np.radians((-90, -60, -30, 30, 60, 90, 180)):
                matrix = np.eye(image.ndim)
                matrix[first, first] = matrix[second, second] = np.cos(angle)
                matrix[first, second], matrix[second, first] = -np.sin(angle), np.sin(angle)
                yield ndimage.affine_transform(image, matrix, centre - matrix @ centre, order=1, mode="nearest")


def _correlation(a, b, centred=True):
    if centred:
        a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale > _TINY else 0.0


def _deformation(view):
    inside = _or_everything(view.fixed_content)
    vectors = view.displacement[inside].astype("float64")
    lengths = np.linalg.norm(vectors, axis=-1) / view.size
    strong = folded = 0.0
    if min(view.fixed.shape) > 1:
        determinant = jacobian_determinant(view.displacement)[inside]
        strong = float(np.mean((determinant > STRONG) | (determinant < 1 / STRONG)))
        folded = float(np.mean(determinant <= 0.0))
    return {
        "displacement": float(np.percentile(lengths, 95)),
        "volume_change": strong,
        "folds": folded,
        "turn_degrees": _turn(np.argwhere(inside), vectors),
    }


def _uncertainty(uncertainty, fixed, spacing_mm):
    if uncertainty is None:
        return {}
    content = _or_everything(foreground(fixed, 1.0))
    size_mm = content.sum() ** (1 / fixed.ndim) * spacing_mm
    return {"uncertainty": float(np.percentile(uncertainty.displacement_std_mm[content], 95) / size_mm)}


def _turn(points, vectors):
    """Degrees of the rotation that comes closest to points -> points + vectors (Kabsch)."""
    if points.shape[-1] == 1 or len(points) < 4:
        return 0.0
    centred = points - points.mean(axis=0)
    moved = points + vectors
    u, _, v = np.linalg.svd(centred.T @ (moved - moved.mean(axis=0)))
    signs = np.ones(len(v))
    signs[-1] = np.sign(np.linalg.det(u @ v)) or 1.0
    rotation = u @ np.diag(signs) @ v
    ndim = len(rotation)
    return float(np.degrees(np.arccos(np.clip((np.trace(rotation) - (ndim - 2)) / 2.0, -1.0, 1.0))))
