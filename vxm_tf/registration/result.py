"""The result of a registration in world space: transforms both ways, moved images, certificate and verdict."""

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np

from vxm_tf.files.errors import InputError
from vxm_tf.metrics import fold_fraction, jacobian_determinant, log_jacobian_std, non_diffeomorphic_volume
from vxm_tf.spatial import (
    AffineTransform,
    Chain,
    DisplacementField,
    Grid,
    Inversion,
    SpatialImage,
    Transform,
    dense,
    invert,
    resample,
)
from vxm_tf.spatial.background import moved_image
from vxm_tf.spatial.inversion import measured
from vxm_tf.spatial.sources import LabelSource, labels_on
from vxm_tf.spatial.transforms import voxel_displacement
from vxm_tf.trust.folds.certificate import Certificate, PairCertificate, certify_transform, undone
from vxm_tf.trust.folds.failing_places import failing_voxels
from vxm_tf.trust.folds.repair import Repair, TransformRepair, repair_transform
from vxm_tf.trust.gate.verdict import Verdict, judge
from vxm_tf.trust.uncertainty.spread import Uncertainty


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class RegistrationResult:
    """How one image aligns with another, in world space.

    No value depends on the order in which attributes are read; expensive values are computed once and kept, in arrays
    that are read-only: copy one to change it.

    Attributes:
        moving: the moving image, unchanged.
        fixed: the fixed image, unchanged.
        affine: affine part of the transform, from fixed to moving world space.
        field: deformable part, on the fixed image's grid; points go through it before they go through `affine`.
        working_grid: grid on which the pair was registered.
        working_displacement: displacement on the working grid, float32 `[*spatial, ndim]` in its voxels.
        inverse_start: a transform that approximates the inverse, from which the exact one is searched.
        seconds: wall time of each part of the registration, by name.
        steps: number of optimisation steps that were done.
        repair: record of the repair; None if no repair was asked for.
        fill_value: value of `moved` outside the moving image's field of view; None for the moving image's background.
        uncertainty: spread of plausible registrations, on the working grid; None if it was not asked for.
        working_images: moving and fixed image as they were registered, float32 `[*spatial, channels]` on the working
            grid, the moving one after the affine part.
        similarity: similarity that refining maximised; "mi" marks images of unlike contrast.
    """

    moving: SpatialImage
    fixed: SpatialImage
    affine: AffineTransform
    field: DisplacementField
    working_grid: Grid
    working_displacement: np.ndarray
    inverse_start: Transform
    seconds: Mapping[str, float]
    steps: int
    working_images: tuple[np.ndarray, np.ndarray]
    similarity: str = "lncc"
    uncertainty: Uncertainty | None = None
    repair: TransformRepair | None = None
    fill_value: float | None = None

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.working_grid.shape))
        return f"<{type(self).__name__} of {self.moving.name} onto {self.fixed.name}, registered on {size} voxels>"

    @property
    def is_affine(self) -> bool:
        """Whether nothing was deformed."""
        return not np.any(self.working_displacement)

    @property
    def chain(self) -> Chain:
        """The transform from fixed to moving world space as its parts: deformation, if any, then affine."""
        return Chain((self.affine,)) if self.is_affine else Chain((self.field, self.affine))

    @functools.cached_property
    def transform(self) -> DisplacementField:
        """The transform from fixed to moving world space as one field on the fixed image's grid."""
        return dense(self.chain, self.fixed.grid)

    @property
    def inversion(self) -> Inversion:
        """The inverse transform as one field on the moving image's grid, with its residual."""
        return self._inversion_and_repair[0]

    @property
    def inverse_repair(self) -> Repair | None:
        """Record of the inverse's repair; None if none was asked for, or if nothing was deformed."""
        return None if self.is_affine else self._inversion_and_repair[1]

    @functools.cached_property
    def _inversion_and_repair(self) -> tuple[Inversion, Repair | None]:
        found = invert(self.transform, self.moving.grid, self.inverse_start)
        if self.repair is None:
            return found, None
        field, report = repair_transform(found.transform, self.affine.inverse())
        return (measured(self.transform, field) if report.changed_voxels else found), report

    @property
    def inverse(self) -> AffineTransform | DisplacementField:
        """The transform from moving to fixed world space: a field on the moving grid, or an affine's exact inverse."""
        return self.affine.inverse() if self.is_affine else self.inversion.transform

    @property
    def displacement(self) -> np.ndarray:
        """The whole transform, float32 `[*spatial, ndim]`, in voxels of the fixed grid."""
        return voxel_displacement(self.transform)

    @functools.cached_property
    def moved(self) -> np.ndarray:
        """The moving image on the fixed grid, in its own intensities, float32 `[*spatial, channels]`."""
        return _read_only(moved_image(self.moving, self.fixed.grid, self.transform, self.fill_value))

    @functools.cached_property
    def fixed_moved(self) -> np.ndarray:
        """The fixed image on the moving grid, in its own intensities, float32 `[*spatial, channels]`."""
        return _read_only(moved_image(self.fixed, self.moving.grid, self.inverse))

    @functools.cached_property
    def jacobian(self) -> np.ndarray:
        """Determinant of the transform's derivative on the fixed grid, `[*spatial]`, affine part included."""
        return _read_only(jacobian_determinant(self.displacement))

    def labels(self, segmentation: LabelSource) -> np.ndarray:
        """A segmentation of the moving image on the fixed grid, by nearest neighbour.

        Args:
            segmentation: path, nibabel image, `SpatialImage` or integer array `[*spatial]` on the moving image's grid.

        Returns:
            Integers `[*spatial]`.

        Raises:
            InputError: an unusable file, or another grid than the moving image's.
        """
        labels = labels_on(self.moving, segmentation)
        return resample(labels, self.moving.grid, self.fixed.grid, self.transform, interpolation="nearest")

    def points(self, points_mm: np.ndarray) -> np.ndarray:
        """Landmarks of the moving image carried to the fixed image's space.

        Args:
            points_mm: landmarks `[points, ndim]` in world millimetres (RAS).

        Returns:
            Landmarks `[points, ndim]` in world millimetres (RAS) of the fixed image.

        Raises:
            InputError: anything but finite numbers, as many for each landmark as the images have axes.
        """
        return self.inverse.map(_checked_points(points_mm, self.moving.grid.ndim))

    def displacement_std_mm(self) -> np.ndarray:
        """Standard deviation of the displacement on the fixed grid, in millimetres, float32 `[*spatial]`.

        Raises:
            InputError: the registration was made without an estimate of its uncertainty.
        """
        if self.uncertainty is None:
            raise InputError("This registration has no estimate of its uncertainty; register with uncertainty=True.")
        return self._on_fixed(self.uncertainty.displacement_std_mm)

    def error_bound_mm(self) -> np.ndarray:
        """Radius that holds the true displacement, in millimetres, on the fixed grid, float32 `[*spatial]`.

        Raises:
            InputError: the uncertainty was not calibrated.
        """
        if self.uncertainty is None or self.uncertainty.bound_mm is None:
            raise InputError("Only a registration by a calibrated network has an error bound; see vxm-calibrate.")
        return self._on_fixed(self.uncertainty.bound_mm)

    def _on_fixed(self, array: np.ndarray) -> np.ndarray:
        return resample(array[..., None], self.working_grid, self.fixed.grid, fill_value=None)[..., 0]

    def certificate(self) -> PairCertificate:
        """Whether the transform and its inverse fold, and how well each undoes the other."""
        return self._pair_certificate

    @property
    def failing_voxels(self) -> np.ndarray:
        """Where the transform fails its certificate, bool `[*spatial]` on the fixed grid."""
        return failing_voxels(self.displacement)

    def verdict(self) -> Verdict:
        """Whether the registration looks sound, see `vxm_tf.trust.judge`; folds are those of the certificate."""
        return self._verdict

    @functools.cached_property
    def _forward_certificate(self) -> Certificate:
        return certify_transform(self.transform)

    @functools.cached_property
    def _pair_certificate(self) -> PairCertificate:
        inverse = dense(self.inverse, self.moving.grid)
        forward = undone(self._forward_certificate, self.transform, self.inverse, self.moving.grid)
        return PairCertificate(forward, certify_transform(inverse, self.transform, self.fixed.grid))

    @functools.cached_property
    def _verdict(self) -> Verdict:
        return judge(
            *self.working_images,
            self.working_displacement,
            self._forward_certificate,
            self.uncertainty,
            same_contrast=self.similarity != "mi",
            spacing_mm=self.working_grid.affine[:-1, :-1],
        )

    def measures(self) -> dict[str, float]:
        """Fold fraction, non-diffeomorphic volume and log Jacobian deviation of the working displacement."""
        return {
            "fold_fraction": fold_fraction(self.working_displacement),
            "non_diffeomorphic_volume": non_diffeomorphic_volume(self.working_displacement),
            "log_jacobian_std": log_jacobian_std(self.working_displacement),
        }


def _read_only(array: np.ndarray) -> np.ndarray:
    """The array itself, protected from changes that would reach the files that are saved later."""
    array.flags.writeable = False
    return array


def _checked_points(points_mm: np.ndarray, ndim: int) -> np.ndarray:
    try:
        points = np.asarray(points_mm, "float64")
    except (TypeError, ValueError):
        points = np.array(np.nan)
    if points.ndim == 0 or points.shape[-1] != ndim or not np.isfinite(points).all():
        raise InputError(f"Landmarks are finite numbers `[points, {ndim}]` in millimetres; got {points_mm!r:.200}.")
    return points
