"""What a file's header says of where its voxels lie, and what is wrong with it."""

import warnings

import nibabel
import numpy as np

from vxm_tf.files.volumes import Volume, VolumeError
from vxm_tf.spatial.grid import Grid, apply_affine, check_affine

MM_PER_UNIT = {"unknown": 1.0, "mm": 1.0, "meter": 1000.0, "micron": 0.001}
# Two affines of one header that place a corner further apart than this do not say the same.
DISAGREEMENT_MM = 0.1


def grid_of(volume: Volume) -> Grid:
    """The grid of a volume that was read from a file.

    Warns (`UserWarning`) where the header leaves the place open or contradicts itself, and says what is assumed:

    - no affine (NPZ, or NIfTI without sform and qform): spacing from the file, else 1 mm; axes R, A, S;
    - sform and qform more than 0.1 mm apart: the sform counts;
    - units of metres or micrometres: converted to millimetres.

    Args:
        volume: an image `[*spatial, channels]` or a label map `[*spatial]` with two or three axes.

    Raises:
        VolumeError: an affine that is singular or not finite.
    """
    shape = volume.spatial_shape
    if volume.source is None:
        return Grid(shape, _bare_affine(volume, len(shape)))
    affine = np.array(volume.source.affine, "float64")
    if isinstance(volume.source, nibabel.Nifti1Image):
        affine = _nifti_affine(volume, affine, shape)
    try:
        return Grid(shape, _plane(affine, volume) if len(shape) == 2 else affine)
    except VolumeError as error:
        raise VolumeError(f"{volume.path}: {error}") from None


def _bare_affine(volume, ndim):
    spacing = volume.spacing_mm or (1.0,) * ndim
    said = "holds its voxel size but no place in space" if volume.spacing_mm else "holds neither voxel size nor place"
    warnings.warn(
        f"{volume.path}: {said}; taken as voxels of {' x '.join(f'{s:g}' for s in spacing[:ndim])} mm with axes to the "
        "right, anterior and superior from the origin.",
        stacklevel=3,
    )
    return np.diag([*spacing[:ndim], 1.0])


def _nifti_affine(volume, affine, shape):
    header = volume.source.header
    forms = {name: getattr(header, f"get_{name}")(coded=True) for name in ("sform", "qform")}
    known = [matrix for matrix, code in forms.values() if code > 0 and matrix is not None]
    if not known:
        warnings.warn(
            f"{volume.path}: has neither sform nor qform, so its place in space is unknown; taken with its voxel size "
            "and axes to the right, anterior and superior from the origin.",
            stacklevel=4,
        )
        affine = np.diag([*np.abs(header.get_zooms()[:3]), *[1.0] * (3 - len(header.get_zooms()[:3])), 1.0])
    elif len(known) == 2:
        _compare(volume, *known, shape)
    unit = header.get_xyzt_units()[0]
    if unit not in MM_PER_UNIT:
        raise VolumeError(f"{volume.path}: its unit of length is {unit!r}; expected one of {', '.join(MM_PER_UNIT)}.")
    if MM_PER_UNIT[unit] != 1.0:
        warnings.warn(f"{volume.path}: its header is in units of a {unit}; converted to millimetres.", stacklevel=4)
    return np.diag([*[MM_PER_UNIT[unit]] * 3, 1.0]) @ affine


def _compare(volume, sform, qform, shape):
    size = np.array([*shape, *[1] * (3 - len(shape))])
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in size])).reshape(3, -1).T
    apart = np.linalg.norm(apply_affine(sform, corners) - apply_affine(qform, corners), axis=1).max()
    if apart > DISAGREEMENT_MM:
        warnings.warn(
            f"{volume.path}: its sform and its qform place the same voxel up to {apart:.3g} mm apart; the sform is "
            "used, as most tools do.",
            stacklevel=5,
        )


def _plane(affine, volume):
    """The affine of an image with two axes, in the two world axes that its plane lies along."""
    check_affine(affine)
    rows = np.sort(nibabel.io_orientation(affine)[:2, 0]).astype(int)
    plane = np.eye(3)
    plane[:2, :2], plane[:2, 2] = affine[np.ix_(rows, (0, 1))], affine[rows, 3]
    lengths = np.linalg.norm(affine[:3, :2], axis=0)
    if np.any(np.linalg.norm(plane[:2, :2], axis=0) < 0.999 * lengths):
        warnings.warn(
            f"{volume.path}: its plane is tilted against the world's axes; taken with its voxel size alone.",
            stacklevel=4,
        )
        return np.diag([*lengths, 1.0])
    return plane
