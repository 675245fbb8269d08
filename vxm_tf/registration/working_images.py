"""Two images prepared for registration: masked, reoriented, and resampled onto one working grid."""

import dataclasses
import math
from typing import TypeAlias

import numpy as np

from vxm_tf.data import normalize
from vxm_tf.data.normalization import fill_outside
from vxm_tf.files.errors import InputError
from vxm_tf.models import RegistrationNetwork, input_settings
from vxm_tf.registration.optimization.pyramid import MIN_VOXELS
from vxm_tf.registration.settings import RegistrationSettings
from vxm_tf.spatial import AffineTransform, Grid, SpatialImage, resample
from vxm_tf.spatial.intensity_window import windowed
from vxm_tf.spatial.resampling import smoothed_for
from vxm_tf.spatial.working_grid import GridSettings, content_box, isotropic_spacing_mm, working_grid

# Without a network, the time of a step grows with the number of voxels; this many take about half a second on two
# cores.
MAX_WORKING_VOXELS = 1_200_000
MARGIN_VOXELS = 8
# Of a chosen voxel size: 4 GiB for one image in float32.
MOST_VOXELS = 2**30

Masks: TypeAlias = tuple[np.ndarray | None, np.ndarray | None]
"""Bool `[*spatial]` of the moving and of the fixed image, None for all of it."""
ImagePair: TypeAlias = tuple[np.ndarray, np.ndarray]
"""Moving and fixed image on one grid, float32 `[*spatial, channels]`."""


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedPair:
    """Two images ready to be registered: masked, and reoriented so that the files' order of axes has no effect.

    Attributes:
        moving: the moving image.
        fixed: the fixed image.
        masks: their masks, on their grids.
        network: the network that will register them; None without one.
        settings: settings of the registration.
        grid_choice: the recorded or chosen properties of the grid to register on.
    """

    moving: SpatialImage
    fixed: SpatialImage
    masks: Masks
    network: RegistrationNetwork | None
    settings: RegistrationSettings
    grid_choice: GridSettings

    def working_grid(self) -> Grid:
        """The grid that the pair is registered on."""
        grid = self._chosen_grid()
        optimises = self.settings.refine > 0 or (self.network is None and self.settings.refine < 0)
        return _long_enough(grid) if optimises else grid

    def _chosen_grid(self) -> Grid:
        fixed, settings, choice = self.fixed, self.settings, self.grid_choice
        if self.network is None:
            fixed = fixed.reoriented(settings.orientation) if settings.orientation else fixed
            box = content_box(fixed.array)
            spacing = isotropic_spacing_mm(fixed.grid, box, MAX_WORKING_VOXELS, settings.spacing_mm)
            choice = GridSettings(spacing_mm=spacing, orientation=settings.orientation or None)
            return working_grid(fixed.grid, box, choice, MARGIN_VOXELS)
        if choice.spacing_mm is None and choice.orientation is None and choice.shape is None:
            return fixed.grid
        whole = tuple((0, size - 1) for size in fixed.grid.shape)
        return working_grid(fixed.grid, content_box(fixed.array) if choice.shape else whole, choice)

    def working_images(self, grid: Grid, affine: AffineTransform) -> ImagePair:
        """Both images on a grid, the moving one after the affine part, normalised as the network was trained."""
        return (
            self._normalized(self.moving, self.masks[0], "moving", grid, affine),
            self._normalized(self.fixed, self.masks[1], "fixed", grid, None),
        )

    def _normalized(
        self, image: SpatialImage, mask: np.ndarray | None, role: str, grid: Grid, affine: AffineTransform | None
    ) -> np.ndarray:
        inside = None if mask is None else _mask_on_grid(image.with_array(mask), role, grid, affine)
        return normalize(_on_grid(image, grid, affine), normalization_of(self.network), inside)


def prepared_pair(
    moving: SpatialImage,
    fixed: SpatialImage,
    masks: Masks,
    network: RegistrationNetwork | None,
    settings: RegistrationSettings,
) -> PreparedPair:
    """The pair prepared for registration; see `PreparedPair`.

    Raises:
        InputError: an unusable mask, or a window or mask in which an image has one value.
    """
    choice = grid_settings(network, fixed, settings)
    windows = settings.moving_window or settings.window, settings.fixed_window or settings.window
    images = [
        _masked(windowed(image, window, mask), mask, normalization_of(network))
        for image, window, mask in zip((moving, fixed), windows, masks)
    ]
    if choice.orientation:
        # From here on nothing depends on the order of axes in the files.
        images = [_rounded(image.reoriented("RAS")) for image in images]
        masks = (_mask_reoriented(moving, masks[0]), _mask_reoriented(fixed, masks[1]))
    return PreparedPair(images[0], images[1], masks, network, settings, choice)


def normalization_of(network: RegistrationNetwork | None) -> str:
    """Name of the method that normalises images for a network, or for optimisation without one."""
    return input_settings(network)["normalization"] if network else "percentile"


def grid_settings(
    network: RegistrationNetwork | None, fixed: SpatialImage, settings: RegistrationSettings
) -> GridSettings:
    """Properties of the working grid: the model's record, else the settings, else those of the fixed image."""
    recorded = GridSettings.recorded(network.metadata) if network else GridSettings()
    if settings.spacing_mm > 0 and not recorded.spacing_mm:
        _check_spacing(settings.spacing_mm, fixed)
    spacing = recorded.spacing_mm or ((settings.spacing_mm,) * fixed.grid.ndim if settings.spacing_mm > 0 else None)
    orientation = recorded.orientation or settings.orientation or (None if network else "RAS"[: fixed.grid.ndim])
    return GridSettings(recorded.shape, spacing, orientation)


def _check_spacing(spacing_mm: float, fixed: SpatialImage) -> None:
    """Raise `InputError` for a voxel size in another unit than millimetres, with which memory would not suffice."""
    extent_mm = [size * spacing for size, spacing in zip(fixed.grid.shape, fixed.grid.spacing_mm)]
    voxels = math.prod(extent / spacing_mm for extent in extent_mm)
    if voxels > MOST_VOXELS or spacing_mm > max(extent_mm):
        raise InputError(
            f"spacing_mm is a voxel size in millimetres; {spacing_mm:g} makes {voxels:.3g} voxels of {fixed.name}, "
            f"whose field of view is {' x '.join(f'{extent:.4g}' for extent in extent_mm)} mm."
        )


def _long_enough(grid: Grid) -> Grid:
    """A grid with at least as many voxels along each axis as optimisation needs, the new ones before and after."""
    missing = np.maximum(0, MIN_VOXELS - np.array(grid.shape))
    if not missing.any():
        return grid
    affine = grid.affine.copy()
    affine[:-1, -1] = grid.to_world(-(missing // 2))
    return Grid(tuple(missing + grid.shape), affine)


def _masked(image: SpatialImage, mask: np.ndarray | None, normalization: str) -> SpatialImage:
    """An image without what lies outside its mask; see `fill_outside`.

    Args:
        image: the image, float `[*spatial, channels]`.
        mask: bool `[*spatial]`; None for the whole image.
        normalization: name of the method that will normalise the image.

    Raises:
        InputError: a mask of another shape, an empty mask, or one in which every channel has one value.
    """
    if mask is None:
        return image
    if mask.shape != image.grid.shape or mask.dtype != bool or not mask.any():
        raise InputError(
            f"A mask of {image.name} is bool of shape {image.grid.shape} with at least one voxel inside; got "
            f"{mask.dtype} of shape {mask.shape} with {np.count_nonzero(mask)} voxels inside."
        )
    inside = image.array[mask]
    if np.all(inside.min(axis=0) == inside.max(axis=0)):
        raise InputError(
            f"Every voxel inside the mask of {image.name} has one value, {inside.flat[0]:g}, so there is nothing to "
            "align. Is the mask that of another image?"
        )
    return image.with_array(fill_outside(image.array, mask, normalization))


def _mask_reoriented(image: SpatialImage, mask: np.ndarray | None) -> np.ndarray | None:
    return None if mask is None else image.with_array(mask).reoriented("RAS").array


def _rounded(image: SpatialImage) -> SpatialImage:
    """An image whose grid is free of the headers' rounding errors, which optimisation would amplify.

    Headers hold float32, so the same position differs in the last digits when axes are stored in another order. The
    grid is rounded to a thousandth of a millimetre, or of a smaller voxel, for the estimate of the transform only;
    images are moved on their exact grids.
    """
    affine = image.grid.affine.copy()
    smaller = max(0, -math.floor(math.log10(min(image.grid.spacing_mm)) + 1e-9) - 1)
    affine[:-1, :-1], affine[:-1, -1] = affine[:-1, :-1].round(6 + smaller), affine[:-1, -1].round(3 + smaller)
    return SpatialImage(image.array, Grid(image.grid.shape, affine))


def _mask_on_grid(mask: SpatialImage, role: str, grid: Grid, affine: AffineTransform | None) -> np.ndarray:
    share = _on_grid(mask.with_array(mask.array[..., None].astype("float32")), grid, affine)[..., 0]
    # A mask thinner than a voxel of the grid reaches one half nowhere.
    inside = share >= 0.5 if np.any(share >= 0.5) else share > 0.0
    if not inside.any():
        raise InputError(
            f"The mask of the {role} image covers nothing of the grid that the images are aligned on. Check that it "
            "belongs to this image, or bring the images together with --affine register."
        )
    return inside


def _on_grid(image: SpatialImage, grid: Grid, affine: AffineTransform | None) -> np.ndarray:
    """An image resampled onto a grid by one interpolation, without detail finer than the grid."""
    there = image.grid if affine is None else Grid(image.grid.shape, affine.inverse().matrix @ image.grid.affine)
    smooth = smoothed_for(image.array, there, grid)
    # Beyond the field of view the edge value is repeated, as in training: an artificial background would be an edge to
    # align.
    return resample(smooth, there, grid, fill_value=None)
