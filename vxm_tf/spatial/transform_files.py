"""Transforms in the files of ITK/ANTs, FSL, FreeSurfer, AFNI, BIDS X5, greedy, NiftyReg and SPM, by name and content.

Whatever the file's own direction, units and axes, `read_transform` returns and `write_transform` takes maps of fixed
points to moving points in world millimetres, RAS+.
"""

import os
import warnings

import numpy as np

from vxm_tf.files.atomic import check_output_file
from vxm_tf.files.errors import InputError
from vxm_tf.spatial.formats import afni, freesurfer, fsl, itk, lta, position_fields, text_matrices, x5
from vxm_tf.spatial.grid import Grid, same_grid
from vxm_tf.spatial.transform_formats import EXTENSIONS_OF, FORMATS, NIFTI, THREE_AXES_ONLY, extension_of, format_of
from vxm_tf.spatial.transforms import DisplacementField, Transform, flattened

__all__ = ["FORMATS", "check_belongs", "check_transform_output", "read_transform", "write_transform"]

# Smallest fraction of an image that a displacement field must cover to belong to the image.
_LEAST_COVERED = 0.5


def read_transform(
    path: str | os.PathLike,
    *,
    format: str | None = None,
    moving_grid: Grid | None = None,
    fixed_grid: Grid | None = None,
) -> Transform:
    """The transform in a file.

    Args:
        path: the file.
        format: "itk", "fsl", "freesurfer", "afni", "x5", "greedy", "niftyreg" or "spm"; None decides by the extension,
            for NIfTI by the intent and its name, for `.mat`, `.txt` and `.h5` by the content. A 4 x 4 matrix in text
            needs the format, unless it is spaced as FLIRT spaces it.
        moving_grid: grid of the moving image, which FSL's files do not hold.
        fixed_grid: grid of the fixed image, which FLIRT's matrices do not hold.

    Returns:
        An `AffineTransform`, a `DisplacementField` or a `Chain`, from fixed to moving space.

    Raises:
        ValueError: unknown format.
        InputError: a file that is missing, damaged or of no known format, or a grid that is needed but missing.
    """
    format = format_of(path, format, exists=True)
    if format == "itk":
        return itk.read_itk(path)
    if format == "fsl":
        return fsl.read_fsl(path, moving_grid, fixed_grid)
    if format == "freesurfer":
        return lta.read_lta(path) if extension_of(path) == ".lta" else freesurfer.read_freesurfer_warp(path)
    if format == "afni":
        return afni.read_afni(path, moving_grid, fixed_grid)
    if format == "x5":
        return x5.read_x5(path)
    if format == "spm":
        return position_fields.read_spm_field(path)
    if extension_of(path) not in NIFTI:
        return text_matrices.read_ras_matrix(path)
    # greedy writes displacements as ITK does.
    return itk.read_itk(path) if format == "greedy" else position_fields.read_niftyreg_field(path)


def write_transform(
    path: str | os.PathLike,
    transform: Transform,
    fixed_grid: Grid,
    *,
    format: str | None = None,
    moving_grid: Grid | None = None,
) -> None:
    """Write a transform, whole or not at all.

    `.h5` and `.x5` store each part of a chain; other dense files hold one field on the fixed image's grid.

    Args:
        path: the file to write.
        transform: transform from fixed to moving space; it must be affine for `.mat`, `.txt`, `.tfm`, `.lta` and `.1D`.
        fixed_grid: grid of the fixed image.
        format: name of a format, see `read_transform`; None means "itk" for NIfTI, `.h5` and `.mat`.
        moving_grid: grid of the moving image, which "fsl" and `.mgz` need.

    Raises:
        ValueError: unknown format.
        InputError: a name that does not fit the format, a transform that does not fit the file, a grid that is needed
            but missing, or a path that cannot be written.
    """
    format = format_of(path, format)
    if format == "itk":
        itk.write_itk(path, transform, fixed_grid)
    elif format == "fsl":
        fsl.write_fsl(path, transform, fixed_grid, moving_grid)
    elif format == "freesurfer":
        if extension_of(path) == ".lta":
            lta.write_lta(path, transform, fixed_grid, moving_grid)
        else:
            freesurfer.write_freesurfer_warp(path, transform, fixed_grid, moving_grid)
    elif format == "afni":
        afni.write_afni(path, transform, fixed_grid, moving_grid)
    elif format == "x5":
        x5.write_x5(path, transform, fixed_grid)
    elif format == "spm":
        position_fields.write_spm_field(path, transform, fixed_grid)
    elif extension_of(path) not in NIFTI:
        text_matrices.write_ras_matrix(path, transform, format)
    elif format == "greedy":
        itk.write_itk(path, transform, fixed_grid)
    else:
        position_fields.write_niftyreg_field(path, transform, fixed_grid)


def check_transform_output(
    path: str | os.PathLike, format: str | None = None, ndim: int = 3, *, affine: bool = False
) -> str:
    """Raise an error before long work, rather than after it, if `write_transform` cannot write to `path`.

    Args:
        path: the file to write; its folder is created if it is missing.
        format: name of a format, see `write_transform`.
        ndim: number of axes of the transform.
        affine: whether the transform is affine.

    Returns:
        The name of the format.

    Raises:
        ValueError: unknown format.
        InputError: a name that does not fit the format or the transform, a missing package, or a path that cannot be
            written.
    """
    format = format_of(path, format)
    if ndim != 3 and format in THREE_AXES_ONLY:
        raise InputError(f"{path}: {format} transforms have three axes; the images have {ndim}. Use format itk.")
    if not affine and extension_of(path) in EXTENSIONS_OF[format][1]:
        dense = ", ".join(EXTENSIONS_OF[format][0])
        raise InputError(f"{path}: holds an affine matrix only; for a displacement field choose one of {dense}.")
    if format == "x5":
        x5.x5_module(path)
    check_output_file(path)
    return format


def check_belongs(transform: Transform, fixed_grid: Grid, path: str | os.PathLike) -> None:
    """Raise `InputError` unless a transform can belong to an image.

    An affine transform fits any image. A displacement field fits if it covers at least half of the image's field of
    view, moved by the transforms before it in a chain. A `UserWarning` is issued if a field on another grid than the
    image's has to be interpolated, which is valid but rarely intended.

    Args:
        transform: the transform, from fixed to moving space.
        fixed_grid: grid of the fixed image.
        path: the transform's file, for messages.

    Raises:
        InputError: another number of axes, or a field that covers less than half of the image.
    """
    if transform.ndim != fixed_grid.ndim:
        raise InputError(f"{path}: has {transform.ndim} axes, the fixed image {fixed_grid.ndim}.")
    points = _sample_points(fixed_grid)
    for number, part in enumerate(flattened(transform)):
        if isinstance(part, DisplacementField):
            covered = float(part.grid.contains(points).mean())
            if covered < _LEAST_COVERED:
                raise InputError(
                    f"{path}: its displacement field covers {covered:.0%} of the fixed image in world space, so it "
                    f"belongs to another image. It lies on {_described(part.grid)}, the image on "
                    f"{_described(fixed_grid)}. Give the transform of this image, or check both headers."
                )
            if number == 0 and not same_grid(part.grid, fixed_grid):
                warnings.warn(
                    f"{path}: its displacement field lies on {_described(part.grid)}, not on the fixed image's grid, "
                    f"{_described(fixed_grid)}; it covers {covered:.0%} of the image and is interpolated.",
                    stacklevel=2,
                )
        points = part.map(points)


def _sample_points(grid: Grid, along_axis: int = 20) -> np.ndarray:
    """Points spread evenly over a field of view, `[n, ndim]`, in millimetres."""
    axes = [(np.arange(along_axis) + 0.5) / along_axis * size - 0.5 for size in grid.shape]
    return grid.to_world(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, grid.ndim))


def _described(grid: Grid) -> str:
    size, spacing = " x ".join(map(str, grid.shape)), " x ".join(f"{s:.3g}" for s in grid.spacing_mm)
    centre = ", ".join(f"{c:.0f}" for c in grid.centre_mm)
    return f"{size} voxels of {spacing} mm around ({centre})"
