"""Whether a displacement folds anywhere, by the criteria of a digital diffeomorphism, and how regular it is."""

import dataclasses
import math

import numpy as np

from vxm_tf import metrics
from vxm_tf.spatial import DisplacementField, Grid
from vxm_tf.spatial.transforms import slabs, voxel_displacement


@dataclasses.dataclass(frozen=True)
class Criterion:
    """One finite-difference Jacobian determinant over the voxels of an image, 1 where nothing is deformed.

    Attributes:
        failing_voxels: where it is 0 or less.
        smallest: of all voxels.
        largest: likewise.
    """

    failing_voxels: int
    smallest: float
    largest: float

    @classmethod
    def of(cls, determinant):
        """Of some voxels."""
        failing = np.count_nonzero(~(determinant > 0.0))
        return cls(int(failing), float(determinant.min()), float(determinant.max()))

    def __add__(self, other):
        smallest, largest = min(self.smallest, other.smallest), max(self.largest, other.largest)
        return Criterion(self.failing_voxels + other.failing_voxels, smallest, largest)


@dataclasses.dataclass(frozen=True)
class InverseConsistency:
    """How far |inverse(transform(p)) - p| is from 0, over the voxels p that the transform keeps inside the moving grid.

    Attributes:
        mean_mm: in millimetres.
        percentile_95_mm: likewise.
        max_mm: likewise.
        inside: the part of all voxels that this is about, 0 to 1.
    """

    mean_mm: float
    percentile_95_mm: float
    max_mm: float
    inside: float


@dataclasses.dataclass(frozen=True)
class Certificate:
    """What `certify` found.

    Attributes:
        passes: whether nothing folds: every corner and middle determinant is above 0 at every voxel, so the
            displacement is a digital diffeomorphism.
        failing_voxels: at which one of them is not.
        shape: number of voxels along each axis of the displacement.
        spacing_mm: their size.
        non_diffeomorphic_volume: see `metrics.non_diffeomorphic_volume`; 0 if it passes.
        smallest_determinant: of all corners and middles; local volume after deformation over before.
        largest_determinant: likewise.
        log_jacobian_std: see `metrics.log_jacobian_std`.
        criteria: a `Criterion` for each name in `metrics.simplex_determinants`, and "000" ("00" in 2-D) for central
            differences, which overlook folds and decide nothing.
        inverse_consistency: an `InverseConsistency`; None without an inverse, or if no voxel stays inside.
    """

    passes: bool
    failing_voxels: int
    shape: tuple
    spacing_mm: tuple
    non_diffeomorphic_volume: float
    smallest_determinant: float
    largest_determinant: float
    log_jacobian_std: float
    criteria: dict
    inverse_consistency: InverseConsistency | None = None


@dataclasses.dataclass(frozen=True)
class PairCertificate:
    """Certificates of a transform and of its inverse.

    Attributes:
        transform: certificate of the transform from fixed to moving space, on the fixed image's grid.
        inverse_transform: certificate of its inverse, on the moving image's grid; None if there was no inverse.
    """

    transform: Certificate
    inverse_transform: Certificate | None = None

    @property
    def passes(self) -> bool:
        """Whether neither direction folds anywhere."""
        return self.transform.passes and (self.inverse_transform is None or self.inverse_transform.passes)


def certify(displacement, inverse_displacement=None, spacing_mm=1.0) -> Certificate:
    """Whether x -> x + u(x) folds anywhere, and how regular it is.

    The criteria are those of Liu et al., "On Finite Difference Jacobian Computation in Deformable Image
    Registration" (IJCV 2024, arXiv 2212.06060), computed in float64: see `metrics.simplex_determinants`. Central
    differences continue the displacement beyond the image in the same way, so "000" is the mean of the corners;
    `metrics.fold_fraction` takes one-sided differences at the border instead.

    Args:
        displacement: `[*spatial, ndim]`, 1 to 3 axes, in voxels, `ij` order.
        inverse_displacement: the same for the other direction, on the same grid.
        spacing_mm: voxel size, one number or one for each axis.

    Raises:
        ValueError: see `metrics.jacobian_determinant`; an inverse of another shape; other voxel sizes than one or as
            many as axes.

    Example: one voxel jumps over its neighbour, which central differences do not see.

    >>> import numpy as np
    >>> from vxm_tf.trust import certify
    >>> displacement = np.zeros((5, 5, 2), "float32")
    >>> displacement[2, 2, 0] = 1.5
    >>> certificate = certify(displacement)
    >>> certificate.passes, certificate.smallest_determinant, certificate.criteria["00"].smallest
    (False, -0.5, 0.25)
    """
    displacement = np.asarray(displacement)
    spacing_mm = spacing_of_axes(spacing_mm, displacement.ndim - 1)
    certificate = _of_one_direction(displacement, spacing_mm)
    if inverse_displacement is None:
        return certificate
    if np.shape(inverse_displacement) != displacement.shape:
        shapes = f"{np.shape(inverse_displacement)} and {displacement.shape}"
        raise ValueError(f"A displacement and its inverse have one shape, on one grid; got {shapes}.")
    grid = Grid(displacement.shape[:-1], np.diag([*spacing_mm, 1.0]))
    fields = [DisplacementField(grid, np.asarray(u) * spacing_mm) for u in (displacement, inverse_displacement)]
    return dataclasses.replace(certificate, inverse_consistency=inverse_consistency(*fields, grid))


def certify_transform(transform: DisplacementField, inverse=None, moving_grid: Grid | None = None) -> Certificate:
    """`certify` of a field in world millimetres, in voxels of its own grid.

    Args:
        transform: from fixed to moving space.
        inverse: from moving to fixed space.
        moving_grid: of the moving image; must be given with an inverse.
    """
    certificate = _of_one_direction(voxel_displacement(transform), transform.grid.spacing_mm)
    return certificate if inverse is None else undone(certificate, transform, inverse, moving_grid)


def undone(certificate: Certificate, transform: DisplacementField, inverse, moving_grid: Grid) -> Certificate:
    """The certificate of a transform, with how well an inverse undoes it."""
    return dataclasses.replace(certificate, inverse_consistency=inverse_consistency(transform, inverse, moving_grid))


def inverse_consistency(transform: DisplacementField, inverse, moving_grid: Grid) -> InverseConsistency | None:
    """How well one transform undoes another, see `InverseConsistency`; None if no voxel stays inside."""
    residuals = []
    for start, stop in slabs(transform.grid.shape):
        points = transform.grid.slab_points(start, stop)
        moved = points + transform.displacement_mm[start:stop]
        inside = moving_grid.contains(moved)
        residuals.append(np.linalg.norm(inverse.map(moved[inside]) - points[inside], axis=-1))
    residuals = np.concatenate(residuals)
    if not residuals.size:
        return None
    measures = residuals.mean(), np.percentile(residuals, 95), residuals.max()
    return InverseConsistency(*map(float, measures), residuals.size / math.prod(transform.grid.shape))


def spacing_of_axes(spacing_mm, ndim) -> tuple:
    """Voxel size along each axis, from one number for all or one for each."""
    sizes = np.atleast_1d(np.asarray(spacing_mm, "float64")).tolist()
    if len(sizes) not in (1, ndim) or not all(0.0 < size < np.inf for size in sizes):
        raise ValueError(f"spacing_mm is one positive number, or one for each of {ndim} axes; got {spacing_mm}.")
    return tuple(sizes * ndim if len(sizes) == 1 else sizes)


def _of_one_direction(displacement, spacing_mm):
    displacement = np.asarray(displacement, "float64")
    criteria, failing = _criteria(displacement)
    simplices = [criterion for name, criterion in criteria.items() if name != _central(displacement)]
    return Certificate(
        passes=not failing,
        failing_voxels=failing,
        shape=displacement.shape[:-1],
        spacing_mm=tuple(spacing_mm),
        non_diffeomorphic_volume=metrics.non_diffeomorphic_volume(displacement) if failing else 0.0,
        smallest_determinant=min(criterion.smallest for criterion in simplices),
        largest_determinant=max(criterion.largest for criterion in simplices),
        log_jacobian_std=metrics.log_jacobian_std(displacement),
        criteria=criteria,
    )


def _criteria(displacement):
    """(`{name: Criterion}`, number of voxels where one besides central differences fails)."""
    *shape, ndim = displacement.shape
    found, failing, central = {}, np.zeros(shape, bool), np.zeros(shape)
    for name, part, determinant in metrics.simplex_determinants(displacement):
        criterion = Criterion.of(determinant)
        found[name] = found[name] + criterion if name in found else criterion
        failing[part] |= ~(determinant > 0.0)
        if not name.endswith("*"):
            # A determinant is linear in each column, and a central difference is the mean of forward and backward.
            central[part] += determinant / 2**ndim
    return {_central(displacement): Criterion.of(central), **found}, int(np.count_nonzero(failing))


def _central(displacement):
    return "0" * displacement.shape[-1]
