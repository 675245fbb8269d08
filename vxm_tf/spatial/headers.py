"""The grid that a file's header describes, with warnings where the header is incomplete or contradicts itself."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.spatialimages import HeaderDataError

from vxm_tf.files.errors import InputError
from vxm_tf.files.opening import ANALYZE
from vxm_tf.files.placement import has_place, read_header
from vxm_tf.files.units import spacing_of_axes, unit_of
from vxm_tf.files.volumes import Volume
from vxm_tf.spatial.grid import Grid, apply_affine, check_affine, same_grid

# Largest distance, in millimetres, between a corner's positions by two affines of one header that count as equal.
DISAGREEMENT_MM = 0.1


def grid_of(volume: Volume) -> Grid:
    """The grid of a volume that was read from a file.

    A `UserWarning` states the assumption if the header stores no position or contradicts itself:

    - no affine (NPZ, or NIfTI without sform and qform): spacing from the file, else 1 mm; axes R, A, S;
    - an Analyze file: axes L, A, S, as in SPM and FSL, around the origin that SPM stores, else around the middle;
    - sform and qform more than 0.1 mm apart, or an invalid qform: the sform is used;
    - units of metres or micrometres: converted to millimetres.

    Args:
        volume: an image `[*spatial, channels]` or a label map `[*spatial]` with two or three axes.

    Raises:
        InputError: an affine that is singular or not finite, an unknown unit, or a voxel size that is not positive.
    """
    shape = volume.spatial_shape
    try:
        if volume.source is None:
            return Grid(shape, _bare_affine(volume, len(shape)))
        affine = np.array(volume.source.affine, "float64")
        if isinstance(volume.source, nibabel.Nifti1Image):
            affine = _nifti_affine(volume.path, volume.source, affine, shape)
        return Grid(shape, _plane(affine, volume.path) if len(shape) == 2 else affine)
    except InputError as error:
        raise InputError(f"{volume.path}: {error}") from None


def share_grid(first: Volume, second: Volume) -> bool:
    """Whether two volumes from files lie on one grid, so that one can be laid on the other voxel by voxel.

    Shapes must be equal and, where both files store their position, voxels must lie at the same places; see
    `vxm_tf.spatial.grid.same_grid`. A file without a position (NPZ, NIfTI with neither sform nor qform) is compared by
    its shape alone.

    Args:
        first: an image or a label map.
        second: an image or a label map.

    Raises:
        InputError: a header that `grid_of` refuses.
    """
    if first.spatial_shape != second.spatial_shape:
        return False
    return not (has_place(first) and has_place(second)) or same_grid(grid_of(first), grid_of(second))


def stated_grid(path: str | os.PathLike, axes: int) -> tuple[tuple[float, ...] | None, str | None]:
    """Return (voxel size in mm, orientation) of a file's first axes; a value that is not stored is None.

    Raises:
        InputError: a header that cannot be read or, if the file stores its position, one that `grid_of` refuses.
    """
    header = read_header(path, axes)
    if not has_place(header):
        spacing = header.spacing_mm
        return spacing and _rounded(spacing_of_axes(spacing, axes)[:axes]), None
    with warnings.catch_warnings():
        # Registration warns of an incomplete header; here the warning would be repeated for every scan.
        warnings.simplefilter("ignore")
        grid = grid_of(header)
    return _rounded(grid.spacing_mm), grid.orientation


def says_same(one: Sequence[float] | str, other: Sequence[float] | str) -> bool:
    """Whether two voxel sizes agree within 1 %, or two orientations are equal; both come from `stated_grid`."""
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    return len(one) == len(other) and np.allclose(one, other, rtol=0.01)


def check_axial(volume: Volume, path: str | os.PathLike) -> None:
    """Raise `InputError` if an image with two axes is not an axial slice: 2-D transform files hold no other plane.

    Args:
        volume: the image.
        path: the transform file to be written, for messages.
    """
    if volume.source is None or len(volume.spatial_shape) != 2:
        return
    if sorted(nibabel.io_orientation(volume.source.affine)[:2, 0]) != [0, 1]:
        raise InputError(
            f"{path}: a transform of slices can be written for axial planes only, and {volume.path} is none. Write "
            "--displacement, in voxels, instead."
        )


def _rounded(spacing_mm: Sequence[float]) -> tuple[float, ...]:
    # Headers hold float32, whose further digits are noise.
    return tuple(float(f"{size:.5g}") for size in spacing_mm)


def _bare_affine(volume: Volume, ndim: int) -> np.ndarray:
    spacing = spacing_of_axes(volume.spacing_mm or (1.0,), ndim)
    if len(spacing) != ndim or min(spacing) <= 0:
        raise InputError(f"spacing_mm is one positive number for each of {ndim} axes, or one; got {spacing}.")
    lack = "holds its voxel size but no place in space" if volume.spacing_mm else "holds neither voxel size nor place"
    warnings.warn(
        f"{volume.path}: {lack}; taken as voxels of {' x '.join(f'{s:g}' for s in spacing)} mm with axes to the "
        "right, anterior and superior from the origin.",
        stacklevel=4,
    )
    return np.diag([*spacing, 1.0])


def _nifti_affine(path: Path, image: nibabel.Nifti1Image, affine: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    header = image.header
    unit, mm_per_unit = unit_of(header)
    scale = np.diag([*[mm_per_unit] * 3, 1.0])
    sform, qform = header.get_sform(coded=True)[0], _qform(path, header)
    if image.extra.get(ANALYZE):
        warnings.warn(
            f"{path}: is an Analyze file, which stores no orientation: left and right cannot be told from it. Taken as "
            "SPM takes it, with axes to the left, anterior and superior around its middle; compare with a NIfTI file.",
            stacklevel=4,
        )
    elif sform is None and qform is None:
        warnings.warn(
            f"{path}: has neither sform nor qform, so its place in space is unknown; taken with its voxel size "
            "and axes to the right, anterior and superior from the origin.",
            stacklevel=4,
        )
        affine = np.diag([*_zooms(header), 1.0])
    elif sform is not None and qform is not None:
        _compare(path, scale @ sform, scale @ qform, shape)
    if mm_per_unit != 1.0:
        warnings.warn(f"{path}: its header is in units of a {unit}; converted to millimetres.", stacklevel=4)
    return scale @ affine


def _zooms(header: Any) -> list[float]:
    """Voxel sizes along three axes, in the header's unit."""
    sizes = [abs(float(size)) for size in header.get_zooms()[:3]]
    return sizes + [1.0] * (3 - len(sizes))


def _qform(path: Path, header: Any) -> np.ndarray | None:
    try:
        return header.get_qform(coded=True)[0]
    except (ValueError, HeaderDataError) as error:
        warnings.warn(f"{path}: its qform makes no sense ({error}); the sform is used.", stacklevel=5)
        return None


def _compare(path: Path, sform: np.ndarray, qform: np.ndarray, shape: Sequence[int]) -> None:
    size = np.array([*shape, *[1] * (3 - len(shape))])
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in size])).reshape(3, -1).T
    apart = np.linalg.norm(apply_affine(sform, corners) - apply_affine(qform, corners), axis=1).max()
    if apart > DISAGREEMENT_MM:
        warnings.warn(
            f"{path}: its sform and its qform place the same voxel up to {apart:.3g} mm apart; the sform is "
            "used, as most tools do.",
            stacklevel=5,
        )


def _plane(affine: np.ndarray, path: Path) -> np.ndarray:
    """The affine `[3, 3]` of an image with two axes, in the two world axes that span its plane."""
    check_affine(affine)
    rows = np.sort(nibabel.io_orientation(affine)[:2, 0]).astype(int)
    plane = np.eye(3)
    plane[:2, :2], plane[:2, 2] = affine[rows, :2], affine[rows, 3]
    lengths = np.linalg.norm(affine[:3, :2], axis=0)
    if np.any(np.linalg.norm(plane[:2, :2], axis=0) < 0.999 * lengths):
        warnings.warn(
            f"{path}: its plane is tilted against the world's axes; taken with its voxel size alone.",
            stacklevel=4,
        )
        return np.diag([*lengths, 1.0])
    return plane
