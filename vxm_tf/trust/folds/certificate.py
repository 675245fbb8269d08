"""Certificates that state whether a displacement folds anywhere and how regular it is."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from vxm_tf import metrics
from vxm_tf.files.units import spacing_of_axes
from vxm_tf.spatial import DisplacementField, Grid, Transform
from vxm_tf.spatial.transforms import voxel_displacement
from vxm_tf.trust.folds.inverse_consistency import InverseConsistency, inverse_consistency
from vxm_tf.trust.folds.trilinear import Trilinear, trilinear


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


NOTHING = Criterion(0, np.inf, -np.inf)


@dataclasses.dataclass(frozen=True)
class Certificate:
    """Statement of whether a displacement folds anywhere, made by `certify`.

    Attributes:
        passes: whether nothing folds, by both criteria: every tetrahedral determinant is above 0, and every determinant
            of the trilinearly interpolated map is proven to be above 0.
        tetrahedral: determinants of the tetrahedra at the corners and in the middle of every cube of voxels, for all
            families of `criteria` except central differences; the displacement is a digital diffeomorphism if none
            fails.
        trilinear: determinants of x + u(x) if u is interpolated linearly along each axis, as most tools do.
        shape: number of voxels along each axis of the displacement.
        spacing_mm: voxel size along each axis, in millimetres.
        non_diffeomorphic_volume: see `metrics.non_diffeomorphic_volume`; 0 if no tetrahedron fails.
        log_jacobian_std: see `metrics.log_jacobian_std`.
        criteria: a `Criterion` for each name in `metrics.simplex_determinants`, and "000" ("00" in 2-D) for central
            differences, which overlook folds and do not affect `passes`.
        inverse_consistency: an `InverseConsistency`; None without an inverse, or if no voxel stays inside.
    """

    passes: bool
    tetrahedral: Criterion
    trilinear: Trilinear
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    non_diffeomorphic_volume: float
    log_jacobian_std: float
    criteria: dict[str, Criterion]
    inverse_consistency: InverseConsistency | None = None

    @property
    def failing_voxels(self) -> int:
        """Number of voxels at which a tetrahedral determinant is 0 or less."""
        return self.tetrahedral.failing_voxels

    @property
    def smallest_determinant(self) -> float:
        """Smallest tetrahedral determinant: local volume after the deformation divided by the volume before."""
        return self.tetrahedral.smallest

    @property
    def largest_determinant(self) -> float:
        """Largest tetrahedral determinant."""
        return self.tetrahedral.largest

    @property
    def summary(self) -> str:
        """Both criteria with their counts and smallest determinants, in a clause."""
        tetrahedra, between = self.tetrahedral, self.trilinear
        failing = f"FOLDS at {tetrahedra.failing_voxels} voxels" if tetrahedra.failing_voxels else "folds nowhere"
        parts = [f"tetrahedral: {failing}, determinants {tetrahedra.smallest:.3g} to {tetrahedra.largest:.3g}"]
        if between.failing_cubes:
            place = ", ".join(f"{position:.4g}" for position in between.place)
            parts.append(f"trilinear: FOLDS in {between.failing_cubes} cubes, {between.smallest:.3g} at ({place})")
        if between.undecided_cubes:
            parts.append(f"trilinear: NOT PROVEN in {between.undecided_cubes} cubes, {between.smallest:.3g}")
        if not between.unproven_cubes:
            parts.append(f"trilinear: proven to fold nowhere, determinants above {between.bound:.3g}")
        return "; ".join(parts)


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

    There are two criteria, and a displacement passes if it meets both:

    - tetrahedral: it is a digital diffeomorphism in the sense of Liu et al., "On Finite Difference Jacobian Computation
      in Deformable Image Registration" (IJCV 2024, arXiv 2212.06060); see `metrics.simplex_determinants`.
    - trilinear: interpolated linearly along each axis, its Jacobian determinant is above 0 between the voxels too; see
      `vxm_tf.trust.folds.trilinear`. In 1-D and 2-D this follows from the first.

    Together they prove that x + u(x), u interpolated linearly and continued beyond the image as its edge value, takes
    no two points to one. A rounding error is never taken for a proof. Central differences continue the displacement in
    the same way; `metrics.fold_fraction` takes one-sided differences at the border instead.

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
    displacement = np.asarray(displacement)
    criteria, tetrahedral = _criteria(displacement)
    between = trilinear(displacement)
    failing = tetrahedral.failing_voxels
    return Certificate(
        passes=not failing and not between.unproven_cubes,
        tetrahedral=tetrahedral,
        trilinear=between,
        shape=displacement.shape[:-1],
        spacing_mm=tuple(spacing_mm),
        non_diffeomorphic_volume=metrics.non_diffeomorphic_volume(displacement, "float64") if failing else 0.0,
        log_jacobian_std=metrics.log_jacobian_std(displacement),
        criteria=criteria,
    )


def _criteria(displacement: np.ndarray) -> tuple[dict[str, Criterion], Criterion]:
    """(`{name: Criterion}`, `Criterion` of all except central differences together)."""
    central_name = "0" * (displacement.ndim - 1)
    criteria: dict[str, Criterion] = {}
    failing = 0
    for _, determinants in itertools.groupby(metrics.simplex_determinants(displacement, "float64"), lambda one: one[1]):
        fails, central = np.array(False), np.array(0.0)
        for name, _, determinant in determinants:
            criteria[name] = criteria.get(name, NOTHING) + Criterion.of(determinant)
            fails = fails | ~(determinant > 0.0)
            if not name.endswith("*"):
                # A determinant is linear in each column, and a central difference is the mean of forward and backward.
                central = central + determinant / 2 ** len(central_name)
        criteria[central_name] = criteria.get(central_name, NOTHING) + Criterion.of(central)
        failing += int(np.count_nonzero(fails))
    simplices = [criterion for name, criterion in criteria.items() if name != central_name]
    smallest, largest = min(one.smallest for one in simplices), max(one.largest for one in simplices)
    return criteria, Criterion(failing, smallest, largest)
