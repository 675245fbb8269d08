"""Affine registration of two scans, anywhere in the world, with SimpleITK."""

import numpy as np
from scipy import linalg

from vxm_tf.files.errors import InputError
from vxm_tf.registration.affine.ascent import Refinement, simpleitk
from vxm_tf.registration.affine.scan import Scan, lattice_of, scan_of
from vxm_tf.registration.affine.search import Similarity, coarse_search, starts
from vxm_tf.spatial import AffineTransform, Grid

# Degrees of freedom: names of the stages, one after the other.
STAGES = {
    3: {
        6: ("rigid",),
        7: ("rigid", "similarity"),
        9: ("rigid", "similarity", "scales"),
        12: ("rigid", "similarity", "affine"),
    },
    2: {3: ("rigid",), 4: ("rigid", "similarity"), 6: ("rigid", "similarity", "affine")},
}
PLANE_DOF = {7: 4, 12: 6}
# Voxels of the coarse, middle and fine lattices, for 2-D and 3-D.
VOXELS = {2: (2000, 8000, 32000), 3: (8000, 60000, 400000)}
FINE_STEPS = (0.005, 2e-5)
# Points compared in the rigid, the middle and the fine stage.
SAMPLES = (8000, 16000, 50000)
LARGEST_SCALE = 3.0


def register_affine(
    moving, moving_grid, fixed, fixed_grid, *, dof=12, moving_mask=None, fixed_mask=None, seed=0, progress=None
) -> AffineTransform:
    """The affine transform that takes fixed to moving world.

    Mutual information (Mattes et al., SPIE 2001) is maximised over a coarse set of positions and rotations, then with
    gradients: rigid, similarity, affine, and last on finer voxels there and back. Scans need neither overlap in the
    world nor share spacing, orientation, contrast or field of view. One input has one result: samples are seeded,
    sums run in one order.

    Args:
        moving: image `[*spatial]`, 2-D or 3-D, any intensities.
        moving_grid: `Grid` of the moving image.
        fixed: image `[*spatial]`.
        fixed_grid: `Grid` of the fixed image.
        dof: 6 rigid, 7 with one scale, 9 with a scale along each axis of the fixed image, 12 affine. In the plane
            3 rigid, 4 with one scale, 6 affine; 7 and 12 are then read as 4 and 6.
        moving_mask: bool, on the moving grid: what to compare.
        fixed_mask: bool, on the fixed grid: what to compare.
        seed: of the samples.
        progress: called with the name of each stage.

    Returns:
        `AffineTransform`, millimetres, RAS+.

    Raises:
        ValueError: unknown `dof`, or arrays that do not fit.
        InputError: SimpleITK is not installed, or nothing plausible was found: no overlap, or a volume that changes
            by more than a factor of 3.

    Example:

    >>> import numpy as np
    >>> from vxm_tf.data.synthetic.phantoms import phantom
    >>> from vxm_tf.spatial import Grid
    >>> image, grid = phantom((48, 48)).image, Grid((48, 48), np.eye(3))
    >>> elsewhere = Grid((48, 48), np.array([[1.0, 0.0, 30.0], [0.0, 1.0, -20.0], [0.0, 0.0, 1.0]]))
    >>> register_affine(image, elsewhere, image, grid, dof=3).matrix.round(1)[:, -1].tolist()
    [30.0, -20.0, 1.0]
    """
    stages = _stages(dof, fixed_grid.ndim)
    _check(moving, moving_grid, moving_mask, "moving")
    _check(fixed, fixed_grid, fixed_mask, "fixed")
    if moving_grid.ndim != fixed_grid.ndim:
        raise ValueError(f"Both images have 2 or both have 3 axes; got {moving_grid.ndim} and {fixed_grid.ndim}.")
    simpleitk()
    scans = scan_of(moving, moving_grid, moving_mask), scan_of(fixed, fixed_grid, fixed_mask)
    matrix = _registered(*scans, stages, seed, progress or (lambda text: None))
    return AffineTransform(scans[0].frame_to_world @ matrix @ np.linalg.inv(scans[1].frame_to_world))


def _registered(moving, fixed, stages, seed, report):
    """The transform from the fixed to the moving frame."""
    coarse, middle = (_lattices(moving, fixed, voxels) for voxels in VOXELS[fixed.ndim][:2])
    pivot = coarse[1].centre_of_mass_mm()
    report("starting positions")
    scaled = len(stages) > 1
    candidates = coarse_search(Similarity(*coarse), starts(moving, fixed, *coarse, scaled), pivot)
    similarity, refined = Similarity(*middle), Refinement(*middle, pivot, seed)
    report("rigid")
    candidates += [refined(matrix, _first_kind(matrix), SAMPLES[0], (0.02, 1e-3)) for matrix in candidates]
    matrix = max((candidate for candidate in candidates if candidate is not None), key=similarity)
    for kind in stages[1:]:
        report(kind)
        matrix = _better(similarity, matrix, refined(matrix, kind, SAMPLES[1], (0.02, 5e-4)))
    report(f"{stages[-1]}, fine")
    matrix = _better(similarity, matrix, _fine(moving, fixed, matrix, stages[-1], seed))
    _check_plausible(matrix, similarity)
    return matrix


def _fine(moving, fixed, matrix, kind, seed):
    """The mean of the refinements there and back.

    Mutual information on the object enlarges it, by 4 to 10 % of a brain's volume; there and back err alike.
    """
    found = _fine_step(moving, fixed, matrix, kind, seed)
    # Turns and stretches along axes have no mean of their own kind.
    if found is None or kind == "scales":
        return found
    back = _fine_step(fixed, moving, np.linalg.inv(found), kind, seed)
    return found if back is None else halfway(found, np.linalg.inv(back))


def _fine_step(moving, fixed, matrix, kind, seed):
    lattices = _lattices(moving, fixed, VOXELS[fixed.ndim][-1])
    pivot = lattices[1].centre_of_mass_mm()
    if fixed.background is not None:
        # Without the way back, a rim of background keeps the size.
        lattices = lattices[0], lattices[1].without_background(rim=2 if kind == "scales" else 0)
    return Refinement(*lattices, pivot, seed)(matrix, kind, SAMPLES[-1], FINE_STEPS)


def halfway(first, second) -> np.ndarray:
    """The transform between two that are close: rigid if both are, and the same from either end."""
    step = linalg.logm(np.linalg.inv(first) @ second).real
    return first @ linalg.expm(step / 2)


def _first_kind(matrix):
    """A start of another size keeps it."""
    return "rigid" if np.isclose(np.linalg.det(matrix[:-1, :-1]), 1, rtol=1e-2) else "similarity"


def _better(similarity, before, after):
    """What came out of a refinement, unless it went astray."""
    lost = after is None or similarity(after) < 0.9 * similarity(before)
    return before if lost else after


def _stages(dof, ndim):
    stages = STAGES[ndim]
    wanted = PLANE_DOF.get(dof, dof) if ndim == 2 else dof
    if wanted not in stages:
        raise ValueError(f"dof of {ndim}-D images is one of {', '.join(map(str, stages))}; got {dof}.")
    return stages[wanted]


def _check(image, grid: Grid, mask, name):
    if np.shape(image) != grid.shape or grid.ndim not in (2, 3):
        raise ValueError(
            f"The {name} image is 2-D or 3-D, without channels, and has the shape of its grid, {grid.shape}; got shape "
            f"{np.shape(image)}."
        )
    if np.min(image) == np.max(image):
        raise ValueError(f"The {name} image has one value everywhere, {np.min(image):g}; it cannot be aligned.")
    if mask is not None and (np.shape(mask) != grid.shape or not np.any(mask)):
        raise ValueError(
            f"The {name} mask covers some of the image's {grid.shape} voxels; got shape {np.shape(mask)} with "
            f"{np.count_nonzero(mask)} voxels inside."
        )


def _lattices(moving: Scan, fixed: Scan, voxels):
    """Both scans on voxels of one size: so many in the fixed one, but no more than the finer scan has."""
    first, last = fixed.extent_mm()
    margin = 0.05 * float(np.mean(last - first))
    volume = np.prod(last - first + (2 * margin if fixed.background is not None else 0))
    spacing = max((volume / voxels) ** (1 / fixed.ndim), min(moving.spacing_mm, fixed.spacing_mm))
    spacing = float(f"{spacing:.2g}")
    return lattice_of(moving, spacing, 4 * margin), lattice_of(fixed, spacing, margin)


def _check_plausible(matrix, similarity):
    volume, overlap = float(np.linalg.det(matrix[:-1, :-1])), similarity.overlap(matrix)
    if not 1 / LARGEST_SCALE < volume < LARGEST_SCALE or overlap < 0.05:
        raise InputError(
            "No plausible affine alignment was found: the best one changes the volume by a factor of "
            f"{volume:.2f} and {100 * overlap:.0f} % of the fixed image would lie in the moving one. Check that these "
            "are scans of the same part of the body and that their voxel sizes are right."
        )
