"""What a registration says, in world space: transforms both ways, and what they move."""

import dataclasses
import functools

import numpy as np

from vxm_tf.metrics import fold_fraction, jacobian_determinant, log_jacobian_std, non_diffeomorphic_volume
from vxm_tf.trust.folds.certificate import Certificate, certify_transform
from vxm_tf.trust.folds.repair import repair_transform
from vxm_tf.trust.gate.verdict import Verdict, judge
from vxm_tf.trust.uncertainty.spread import Uncertainty
from vxm_tf.spatial import AffineTransform, Chain, DisplacementField, Grid, Inversion, SpatialImage, dense, invert, resample
from vxm_tf.spatial.inversion import measured
from vxm_tf.spatial.transforms import voxel_displacement


@dataclasses.dataclass(frozen=True, eq=False)
class RegistrationResult:
    """How one image aligns with another, in world space.

    Attributes:
        moving, fixed: the images, as they came.
        affine: the affine part, fixed to moving world.
        field: the deformable part, applied to points first, on the fixed image's grid.
        working_grid: what was registered on.
        working_displacement: on it, `[*spatial, ndim]` in its voxels.
        inverse_start: a first guess of the inverse, a transform.
        seconds: of the parts, by name.
        steps: of optimisation done.
        repair: a `TransformRepair`; None if no repair was asked for.
        uncertainty: on the working grid; None if it was not asked for.
        structures: label of the moving image's segmentation to the `Interval` of its volume once moved, mm^3; empty
            without segmentation or uncertainty.
        working_images: moving and fixed as they were registered, float32 `[*spatial, channels]` on the working grid,
            the moving one through the affine part.
        similarity: what refining makes alike; "mi" says that the images are of unlike contrast.
    """

    moving: SpatialImage
    fixed: SpatialImage
    affine: AffineTransform
    field: DisplacementField
    working_grid: Grid
    working_displacement: np.ndarray
    inverse_start: object
    seconds: dict
    steps: int = 0
    repair: object = None
    uncertainty: Uncertainty | None = None
    structures: dict = dataclasses.field(default_factory=dict)
    working_images: tuple = ()
    similarity: str = "lncc"

    @property
    def is_affine(self) -> bool:
        """Whether nothing was deformed."""
        return not np.any(self.working_displacement)

    @property
    def chain(self) -> Chain:
        """Fixed to moving world as its two parts, deformation and then affine, or as the affine alone."""
        return Chain((self.affine,)) if self.is_affine else Chain((self.field, self.affine))

    @functools.cached_property
    def transform(self) -> DisplacementField:
        """Fixed to moving world as one field on the fixed image's grid."""
        return dense(self.chain, self.fixed.grid)

    @functools.cached_property
    def inversion(self) -> Inversion:
        """Moving to fixed world as one field on the moving image's grid, and how well it undoes the transform."""
        return self._inversion_and_repair[0]

    @property
    def inverse_repair(self):
        """The `Repair` of the inverse; None if none was asked for, or if nothing was deformed."""
        return None if self.is_affine else self._inversion_and_repair[1]

    @functools.cached_property
    def _inversion_and_repair(self):
        found = invert(self.transform, self.moving.grid, self.inverse_start)
        if self.repair is None:
            return found, None
        field, report = repair_transform(found.transform, self.affine.inverse())
        return (measured(self.transform, field) if report.changed_voxels else found), report

    @property
    def inverse(self):
        """Moving to fixed world: a field on the moving image's grid, or the exact inverse of an affine alone."""
        return self.affine.inverse() if self.is_affine else self.inversion.transform

    @property
    def displacement(self) -> np.ndarray:
        """The whole transform, `[*spatial, ndim]`, in voxels of the fixed grid."""
        return voxel_displacement(self.transform)

    @functools.cached_property
    def moved(self) -> np.ndarray:
        """The moving image on the fixed grid, in its own intensities, `[*spatial, channels]`."""
        return resample(self.moving.array, self.moving.grid, self.fixed.grid, self.transform)

    def fixed_moved(self) -> np.ndarray:
        """The fixed image on the moving grid, in its own intensities, `[*spatial, channels]`."""
        return resample(self.fixed.array, self.fixed.grid, self.moving.grid, self.inverse)

    def moved_labels(self, labels) -> np.ndarray:
        """A label map of the moving image on the fixed grid, by nearest neighbour."""
        return resample(labels, self.moving.grid, self.fixed.grid, self.transform, interpolation="nearest")

    def moved_points(self, points_mm) -> np.ndarray:
        """Landmarks of the moving image in the fixed image's space, world millimetres."""
        return self.inverse.map(points_mm)

    def jacobian(self) -> np.ndarray:
        """Determinant of the transform's derivative on the fixed grid, affine part included."""
        return jacobian_determinant(self.displacement)

    def displacement_std_mm(self) -> np.ndarray:
        """The uncertainty's map on the fixed grid, float32 `[*spatial]`."""
        return self._on_fixed(self.uncertainty.displacement_std_mm)

    def error_bound_mm(self) -> np.ndarray:
        """The radius that holds the true displacement on the fixed grid, float32 `[*spatial]`.

        Raises:
            ValueError: the uncertainty was not calibrated.
        """
        if self.uncertainty is None or self.uncertainty.bound_mm is None:
            raise ValueError("Only a registration by a calibrated network has an error bound; see vxm-calibrate.")
        return self._on_fixed(self.uncertainty.bound_mm)

    def _on_fixed(self, array):
        return resample(array[..., None], self.working_grid, self.fixed.grid, fill_value=None)[..., 0]

    @functools.cached_property
    def certificate(self) -> Certificate:
        """Whether the transform folds, on the fixed image's grid; without its inverse."""
        return certify_transform(self.transform)

    @functools.cached_property
    def verdict(self) -> Verdict | None:
        """Whether it looks sound, from what it was found on, see `judge`; None without those images.

        The certificate, which takes seconds for a whole head, counts if it was asked for before.
        """
        if not self.working_images:
            return None
        spacing_mm = float(np.prod(self.working_grid.spacing_mm) ** (1 / self.working_grid.ndim))
        settings = {"same_contrast": self.similarity != "mi", "spacing_mm": spacing_mm}
        return judge(
            *self.working_images, self.working_displacement, vars(self).get("certificate"), self.uncertainty, **settings
        )

    def measures(self) -> dict:
        """How regular the deformable part is, on the grid that it was found on."""
        return {
            "fold_fraction": fold_fraction(self.working_displacement),
            "non_diffeomorphic_volume": non_diffeomorphic_volume(self.working_displacement),
            "log_jacobian_std": log_jacobian_std(self.working_displacement),
        }
