"""Affine registration of two scans, wherever they lie in world space, with SimpleITK."""

from collections.abc import Callable

import numpy as np

from vxm_tf.files.errors import InputError
from vxm_tf.registration.affine.anchored import AnchoredCorrelation
from vxm_tf.registration.affine.ascent import AffineAscent, ascend_both_ways, simpleitk
from vxm_tf.registration.affine.gauss_newton import climb
from vxm_tf.registration.affine.local_correlation import LocalCorrelation
from vxm_tf.registration.affine.scan import Lattice, Scan, lattice_of, scan_of, without_background
from vxm_tf.registration.affine.search import Similarity, coarse_search, starts
from vxm_tf.spatial import AffineTransform, Grid

# Stages, one after the other, for each number of axes and of degrees of freedom.
STAGES = {
    3: {
        6: ("rigid",),
        7: ("rigid", "similarity"),
        9: ("rigid", "similarity", "scales"),
        12: ("rigid", "similarity", "affine"),
    },
    2: {3: ("rigid",), 4: ("rigid", "similarity"), 6: ("rigid", "similarity", "affine")},
}
# Degrees of freedom in 2-D that replace numbers that exist only in 3-D.
PLANE_DOF = {7: 4, 12: 6}
# Number of voxels of the coarse, middle and fine lattices, for 2-D and 3-D.
VOXELS = {2: (2000, 8000, 32000), 3: (8000, 60000, 700000)}
# Number of points of the rigid and of later ascents of mutual information, and first and last step length; see
# `AffineAscent`.
SAMPLES, ASCENT_STEPS = (8000, 16000), (0.02, 1e-3)
# Largest number of steps of an ascent of the local correlation, and of such ascents on one lattice.
STEPS, ROUNDS = 6, 2
# Distance in voxels up to which two transforms of a lattice count as one.
ALIKE = 0.25
# Factor by which an answer has to be judged better than one near the headers' position to replace it, for crops.
CLEARLY = 1.1
LARGEST_SCALE = 3.0


def register_affine(
    moving: np.ndarray,
    moving_grid: Grid,
    fixed: np.ndarray,
    fixed_grid: Grid,
    *,
    dof: int = 12,
    moving_mask: np.ndarray | None = None,
    fixed_mask: np.ndarray | None = None,
    seed: int = 0,
    progress: Callable[[str], object] | None = None,
) -> AffineTransform:
    """Find the affine transform from fixed to moving world space that aligns two scans.

    Mutual information (Mattes et al., SPIE 2001) is maximised over a coarse set of positions and rotations, then over
    rigid transforms. From there, and from the headers' own position, the local correlation of both directions is
    maximised over rigid, similarity and affine transforms, on finer and finer voxels. Mutual information is maximised
    alone too, for contrasts whose local correlation misleads. The product of both measures chooses, and the headers'
    position is not given up for a transform that it calls worse. Two crops, whose borders show as much as their
    middles, stay near that position unless another one is clearly better. The scans need neither overlap in world space
    nor share spacing, orientation, contrast or field of view. The same input always gives the same result: samples are
    seeded, and sums run in one order.

    Args:
        moving: image `[*spatial]` or `[*spatial, channels]`, 2-D or 3-D, any intensities. All channels count.
        moving_grid: `Grid` of the moving image.
        fixed: image `[*spatial]` or `[*spatial, channels]`. Channels are compared one by one, or each with each where
            the moving image has another number of them.
        fixed_grid: `Grid` of the fixed image.
        dof: 6 rigid, 7 with one scale, 9 with a scale along each axis of the fixed image, 12 affine. In 2-D, 3 rigid, 4
            with one scale, 6 affine; 7 and 12 are then read as 4 and 6.
        moving_mask: voxels of the moving image to compare, bool `[*spatial]`; None for all.
        fixed_mask: voxels of the fixed image to compare, bool `[*spatial]`; None for all.
        seed: seed of the sampled points.
        progress: called with the name of each stage as it begins.

    Returns:
        `AffineTransform`, millimetres, RAS+.

    Raises:
        ValueError: arrays that do not fit.
        InputError: unknown `dof`, SimpleITK is not installed, or no plausible transform was found, since the images
            would not overlap or the volume would change by more than a factor of 3.

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
    matrix = _registered(scans[0], scans[1], stages, seed, progress or (lambda stage: None))
    return AffineTransform(scans[0].frame_to_world @ matrix @ np.linalg.inv(scans[1].frame_to_world))


def _registered(
    moving: Scan, fixed: Scan, stages: tuple[str, ...], seed: int, report: Callable[[str], object]
) -> np.ndarray:
    """The transform from the fixed to the moving frame, `[ndim + 1, ndim + 1]`."""
    coarse, middle, fine = (_lattices(moving, fixed, voxels) for voxels in VOXELS[fixed.ndim])
    pivot = coarse[1].centre_of_mass_mm()
    report("starting positions")
    positions = starts(moving, fixed, coarse[0], coarse[1], scaled=len(stages) > 1)
    candidates = coarse_search(Similarity(*coarse), positions, pivot)
    similarity = Similarity(*middle)
    report("rigid")
    ascent = AffineAscent(middle[0], middle[1], pivot, similarity.most_alike(candidates[0]), seed)
    climbed = [ascent(matrix, _first_kind(matrix), SAMPLES[0], ASCENT_STEPS) for matrix in candidates]
    found = max(candidates + [matrix for matrix in climbed if matrix is not None], key=similarity)
    finalists, header = [found, positions[0]], positions[0]
    for kind in stages:
        if kind != "rigid":
            report(kind)
        finalists = [_climbed(coarse, matrix, kind, pivot) for matrix in finalists]
    finalists = [_climbed(middle, matrix, stages[-1], pivot) for matrix in _unlike(finalists, middle[1])]
    ascended = _ascended(ascent, found, stages[1:])
    report(f"{stages[-1]}, fine")
    best = max([*finalists, ascended], key=lambda matrix: _judged(matrix, similarity, middle))
    # Objects in an empty background, such as brains without a skull, overlap better by mutual information alone.
    whole = moving.background is not None and fixed.background is not None and stages[-1] != "scales"
    if whole or best is ascended:
        objects = without_background(moving, fine[0]), without_background(fixed, fine[1])
        last = [ascended, ascend_both_ways(fine, objects, ascended, stages[-1], ascent.channels, seed)]
    else:
        last = [_climbed(fine, best, stages[-1], pivot)]
    best = max([*last, header], key=lambda matrix: _judged(matrix, similarity, middle))
    if moving.is_crop and fixed.is_crop:
        near = header
        for lattices, kind in ((middle, stages[0]), (middle, stages[-1]), (fine, stages[-1])):
            near = _climbed(lattices, near, kind, pivot, anchor=header)
        if _judged(best, similarity, middle) < CLEARLY * _judged(near, similarity, middle):
            best = near
    _check_plausible(best, similarity)
    return best


def _climbed(
    lattices: tuple[Lattice, Lattice],
    matrix: np.ndarray,
    kind: str,
    pivot: np.ndarray,
    anchor: np.ndarray | None = None,
) -> np.ndarray:
    """The transform of the highest local correlation, whose contrast is learnt anew while that improves it."""
    for _ in range(ROUNDS):
        measure = LocalCorrelation(*lattices, matrix)
        if anchor is not None:
            measure = AnchoredCorrelation(*lattices, matrix, anchor)
        before, matrix = matrix, climb(measure, matrix, kind, pivot, STEPS)
        if not _unlike([before, matrix], lattices[1])[1:]:
            break
    return matrix


def _ascended(ascent: AffineAscent, matrix: np.ndarray, kinds: tuple[str, ...]) -> np.ndarray:
    """The transform of the highest mutual information over kinds of transform, one after the other."""
    for kind in kinds:
        after = ascent(matrix, kind, SAMPLES[1], ASCENT_STEPS)
        matrix = matrix if after is None else after
    return matrix


def _judged(matrix: np.ndarray, similarity: Similarity, lattices: tuple[Lattice, Lattice]) -> float:
    """A measure of transforms that is high only where mutual information and local correlation both are."""
    return max(similarity(matrix), 0.0) * LocalCorrelation(*lattices, matrix)(matrix)


def _unlike(matrices: list[np.ndarray], lattice: Lattice) -> list[np.ndarray]:
    """The transforms without those that move the lattice's points nearly as an earlier one does."""
    points = lattice.points()[:, ::97]
    chosen: list[np.ndarray] = []
    for matrix in matrices:
        moves = [(matrix - other)[:-1] @ np.vstack([points, np.ones_like(points[:1])]) for other in chosen]
        if all(np.abs(move).max() > ALIKE * lattice.spacing_mm for move in moves):
            chosen.append(matrix)
    return chosen


def _first_kind(matrix: np.ndarray) -> str:
    """Kind of the first ascent: rigid, or similarity for a start that scales, so that it keeps its scale."""
    return "rigid" if np.isclose(np.linalg.det(matrix[:-1, :-1]), 1, rtol=1e-2) else "similarity"


def _stages(dof: int, ndim: int) -> tuple[str, ...]:
    """Kinds of transform to search, one after the other."""
    stages = STAGES[ndim]
    wanted = PLANE_DOF.get(dof, dof) if ndim == 2 else dof
    if wanted not in stages:
        raise InputError(f"dof of {ndim}-D images is one of {', '.join(map(str, stages))}; got {dof}.")
    return stages[wanted]


def _check(image: np.ndarray, grid: Grid, mask: np.ndarray | None, name: str) -> None:
    """Raise `ValueError` for an image or a mask that cannot be registered."""
    shape = np.shape(image)
    if shape[: grid.ndim] != grid.shape or len(shape) > grid.ndim + 1 or 0 in shape or grid.ndim not in (2, 3):
        raise ValueError(
            f"The {name} image is 2-D or 3-D and has the shape of its grid, {grid.shape}, and perhaps an axis of "
            f"channels behind; got shape {shape}."
        )
    if np.min(image) == np.max(image):
        raise ValueError(f"The {name} image has one value everywhere, {np.min(image):g}; it cannot be aligned.")
    if mask is not None and (np.shape(mask) != grid.shape or not np.any(mask)):
        raise ValueError(
            f"The {name} mask covers some of the image's {grid.shape} voxels; got shape {np.shape(mask)} with "
            f"{np.count_nonzero(mask)} voxels inside."
        )


def _lattices(moving: Scan, fixed: Scan, voxels: int) -> tuple[Lattice, Lattice]:
    """Moving and fixed lattice of one voxel size: about `voxels` in the fixed one, none smaller than the scans'."""
    first, last = fixed.extent_mm()
    margin = 0.05 * float(np.mean(last - first))
    volume = np.prod(last - first + (2 * margin if fixed.background is not None else 0))
    spacing = max((volume / voxels) ** (1 / fixed.ndim), min(moving.spacing_mm, fixed.spacing_mm))
    spacing = float(f"{spacing:.2g}")
    # Neighbourhoods that hold the object's edge are complete in both.
    return lattice_of(moving, spacing, 4 * margin + 4 * spacing), lattice_of(fixed, spacing, margin + 4 * spacing)


def _check_plausible(matrix: np.ndarray, similarity: Similarity) -> None:
    """Raise `InputError` for a transform that changes the volume too much or leaves no overlap."""
    volume, overlap = float(np.linalg.det(matrix[:-1, :-1])), similarity.overlap(matrix)
    if not 1 / LARGEST_SCALE < volume < LARGEST_SCALE or overlap < 0.05:
        raise InputError(
            "No plausible affine alignment was found: the best one changes the volume by a factor of "
            f"{volume:.2f} and {100 * overlap:.0f} % of the fixed image would lie in the moving one. Check that these "
            "are scans of the same part of the body and that their voxel sizes are right."
        )
