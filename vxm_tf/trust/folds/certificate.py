"""Certificates that state whether a displacement folds anywhere and how regular it is."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from vxm_tf import metrics
from vxm_tf.files.units import spacing_of_axes
from vxm_tf.spatial import DisplacementField, Grid, Transform
from vxm_tf.spatial.transforms import slabs, voxel_displacement


@dataclasses.dataclass(frozen=True)
class Criterion:
    """Summary of an image's Jacobian determinants by one finite-difference scheme; 1 where nothing is deformed.

    Attributes:
        failing_voxels: number of voxels where the determinant is 0 or less.
        smallest: smallest determinant of all voxels.
        largest: largest determinant of all voxels.
    """

    failing_voxels: int
    smallest: float
    largest: float

    @classmethod
    def of(cls, determinant: np.ndarray) -> "Criterion":
        """The summary of an array of determinants, one for each voxel."""
        failing = np.count_nonzero(~(determinant > 0.0))
        return cls(int(failing), float(determinant.min()), float(determinant.max()))

    def __add__(self, other: "Criterion") -> "Criterion":
        smallest, largest = min(self.smallest, other.smallest), max(self.largest, other.largest)
        return Criterion(self.failing_voxels + other.failing_voxels, smallest, largest)


@dataclasses.dataclass(frozen=True)
class InverseConsistency:
    """Length of inverse(transform(p)) - p, over the voxels p that the transform keeps inside the moving grid.

    Attributes:
        mean_mm: mean length, in millimetres.
        percentile_95_mm: 95th percentile of the length, in millimetres.
        max_mm: largest length, in millimetres.
        inside: fraction of all voxels that stay inside the moving grid and are measured, 0 to 1.
    """

    mean_mm: float
    percentile_95_mm: float
    max_mm: float
    inside: float


@dataclasses.dataclass(frozen=True)
class Certificate:
    """Statement of whether a displacement folds anywhere, made by `certify`.

    Attributes:
        passes: whether nothing folds: every corner and middle determinant is above 0 at every voxel, so the
            displacement is a digital diffeomorphism.
        failing_voxels: number of voxels at which one of these determinants is 0 or less.
        shape: number of voxels along each axis of the displacement.
        spacing_mm: voxel size along each axis, in millimetres.
        non_diffeomorphic_volume: see `metrics.non_diffeomorphic_volume`; 0 if the displacement passes.
        smallest_determinant: smallest determinant of all corners and middles, the local volume after the deformation
            divided by the volume before.
        largest_determinant: largest determinant of all corners and middles.
        log_jacobian_std: see `metrics.log_jacobian_std`.
        criteria: a `Criterion` for each name in `metrics.simplex_determinants`, and "000" ("00" in 2-D) for central
            differences, which overlook folds and do not affect `passes`.
        inverse_consistency: an `InverseConsistency`; None without an inverse, or if no voxel stays inside.
    """

    passes: bool
    failing_voxels: int
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    non_diffeomorphic_volume: float
    smallest_determinant: float
    largest_determinant: float
    log_jacobian_std: float
    criteria: dict[str, Criterion]
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


def certify(
    displacement: np.ndarray,
    inverse_displacement: np.ndarray | None = None,
    spacing_mm: float | Sequence[float] = 1.0,
) -> Certificate:
    """State whether x -> x + u(x) folds anywhere, and how regular it is.

    The criteria are those of Liu et al., "On Finite Difference Jacobian Computation in Deformable Image
    Registration" (IJCV 2024, arXiv 2212.06060), computed in float64: see `metrics.simplex_determinants`. Central
    differences continue the displacement beyond the image in the same way, so "000" is the mean of the corners;
    `metrics.fold_fraction` takes one-sided differences at the border instead.

    Args:
        displacement: `[*spatial, ndim]`, 1 to 3 axes, in voxels, `ij` order.
        inverse_displacement: displacement of the inverse, on the same grid.
        spacing_mm: voxel size, one number or one for each axis.

    Raises:
        ValueError: see `metrics.jacobian_determinant`; an inverse of another shape; a number of voxel sizes that is
            neither one nor the number of axes.

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
    spacing_mm = checked_spacing(spacing_mm, displacement.ndim - 1)
    certificate = _of_one_direction(displacement, spacing_mm)
    if inverse_displacement is None:
        return certificate
    if np.shape(inverse_displacement) != displacement.shape:
        shapes = f"{np.shape(inverse_displacement)} and {displacement.shape}"
        raise ValueError(f"A displacement and its inverse have one shape, on one grid; got {shapes}.")
    grid = Grid(displacement.shape[:-1], np.diag([*spacing_mm, 1.0]))
    there, back = (DisplacementField(grid, np.asarray(u) * spacing_mm) for u in (displacement, inverse_displacement))
    return dataclasses.replace(certificate, inverse_consistency=inverse_consistency(there, back, grid))


def certify_transform(
    transform: DisplacementField, inverse: Transform | None = None, moving_grid: Grid | None = None
) -> Certificate:
    """Certify a displacement field in world space, on its own grid; see `certify`.

    Args:
        transform: field from fixed to moving space.
        inverse: transform from moving to fixed space; None leaves the inverse consistency out.
        moving_grid: grid of the moving image; needed with an inverse.

    Raises:
        ValueError: an inverse without the grid of the moving image.
    """
    certificate = _of_one_direction(voxel_displacement(transform), transform.grid.spacing_mm)
    if inverse is None:
        return certificate
    if moving_grid is None:
        raise ValueError("The inverse consistency of a transform needs moving_grid, the grid of the moving image.")
    return undone(certificate, transform, inverse, moving_grid)


def undone(
    certificate: Certificate, transform: DisplacementField, inverse: Transform, moving_grid: Grid
) -> Certificate:
    """Add to a transform's certificate the inverse consistency of the transform and an inverse."""
    return dataclasses.replace(certificate, inverse_consistency=inverse_consistency(transform, inverse, moving_grid))


def inverse_consistency(
    transform: DisplacementField, inverse: Transform, moving_grid: Grid
) -> InverseConsistency | None:
    """Measure how well one transform undoes another, see `InverseConsistency`; None if no voxel stays inside."""
    lengths = []
    for start, stop in slabs(transform.grid.shape):
        points = transform.grid.slab_points(start, stop)
        moved = points + transform.displacement_mm[start:stop]
        inside = moving_grid.contains(moved)
        lengths.append(np.linalg.norm(inverse.map(moved[inside]) - points[inside], axis=-1))
    residuals = np.concatenate(lengths)
    if not residuals.size:
        return None
    return InverseConsistency(
        mean_mm=float(residuals.mean()),
        percentile_95_mm=float(np.percentile(residuals, 95)),
        max_mm=float(residuals.max()),
        inside=residuals.size / math.prod(transform.grid.shape),
    )


def checked_spacing(spacing_mm: float | Sequence[float], ndim: int) -> tuple[float, ...]:
    """Voxel size along each axis, from one number for all axes or one for each.

    Raises:
        ValueError: another number of sizes, or a size that is not positive and finite.
    """
    sizes = np.atleast_1d(np.asarray(spacing_mm, "float64")).tolist()
    if len(sizes) not in (1, ndim) or not all(0.0 < size < np.inf for size in sizes):
        raise ValueError(f"spacing_mm is one positive number, or one for each of {ndim} axes; got {spacing_mm}.")
    return spacing_of_axes(sizes, ndim)


def _of_one_direction(displacement: np.ndarray, spacing_mm: Sequence[float]) -> Certificate:
    """The certificate of a displacement without its inverse."""
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


def _criteria(displacement: np.ndarray) -> tuple[dict[str, Criterion], int]:
    """(`{name: Criterion}`, number of voxels where a criterion other than central differences fails)."""
    *shape, ndim = displacement.shape
    criteria: dict[str, Criterion] = {}
    failing, central = np.zeros(shape, bool), np.zeros(shape)
    for name, part, determinant in metrics.simplex_determinants(displacement):
        criterion = Criterion.of(determinant)
        criteria[name] = criteria[name] + criterion if name in criteria else criterion
        failing[part] |= ~(determinant > 0.0)
        if not name.endswith("*"):
            # A determinant is linear in each column, and a central difference is the mean of forward and backward.
            central[part] += determinant / 2**ndim
    return {_central(displacement): Criterion.of(central), **criteria}, int(np.count_nonzero(failing))


def _central(displacement: np.ndarray) -> str:
    """Name of the criterion of central differences."""
    return "0" * displacement.shape[-1]
