"""Gradient ascent of mutual information over the parameters of an affine transform, by SimpleITK."""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import linalg

from vxm_tf.files.errors import InputError
from vxm_tf.registration.affine.scan import Lattice, homogeneous, nearest_rotation

BINS = 32
ITERATIONS = 200
# Number of points compared on the finest lattices, and the first and last step length there.
FINE_SAMPLES, FINE_STEPS = 50000, (0.005, 2e-5)


def simpleitk() -> Any:
    """Import and return the module SimpleITK, a large and optional dependency.

    Raises:
        InputError: it is not installed.
    """
    try:
        import SimpleITK
    except ImportError as error:
        raise InputError(
            "Registering an affine transform needs SimpleITK, which is not installed. Install it with "
            "pip install 'vxm-tf[affine]', or align the images with another program."
        ) from error
    return SimpleITK


@contextlib.contextmanager
def _one_thread(sitk: Any) -> Iterator[None]:
    """Run ITK on one thread: with several, the order of its sums changes from run to run.

    The registration method's own number of threads does not reach its metric, so the global number is set.
    """
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


class AffineAscent:
    """Ascent from a transform to the nearest maximum of Mattes' mutual information (Mattes et al., SPIE 2001).

    Args:
        moving: lattice of the moving scan.
        fixed: lattice of the fixed scan.
        pivot: `[ndim]`, centre of rotations in the fixed frame, in millimetres.
        channels: channel of the moving and of the fixed scan to compare.
        seed: seed of the sampled points.
    """

    def __init__(
        self, moving: Lattice, fixed: Lattice, pivot: np.ndarray, channels: tuple[int, int] = (0, 0), seed: int = 0
    ) -> None:
        self.moving, self.fixed, self.pivot, self.seed = moving, fixed, pivot, seed
        self.channels = channels
        self.values = moving.values[channels[0]], fixed.values[channels[1]]
        # In units of the object's radius, a rotation, a translation and a scaling by the same number move voxels about
        # equally far, so the optimiser's steps are comparable along all parameters.
        self.unit_mm = float(np.sqrt(np.mean(np.sum((fixed.points() - pivot[:, None]) ** 2, axis=0))))

    def __call__(
        self, matrix: np.ndarray, kind: str, samples: int, steps: tuple[float, float] = (0.02, 2e-5)
    ) -> np.ndarray | None:
        """The transform at the maximum, `[ndim + 1, ndim + 1]`; None if the images stop overlapping.

        Args:
            matrix: transform to start from, `[ndim + 1, ndim + 1]`, from the fixed to the moving frame.
            kind: parameters to change, "rigid", "similarity", "scales" or "affine".
            samples: number of points to compare.
            steps: first and last step length, relative to the object's radius.
        """
        sitk = simpleitk()
        method = sitk.ImageRegistrationMethod()
        method.SetMetricAsMattesMutualInformation(BINS)
        method.SetInterpolator(sitk.sitkLinear)
        self._restrict(method, samples)
        method.SetOptimizerAsRegularStepGradientDescent(
            learningRate=steps[0],
            minStep=steps[1],
            numberOfIterations=ITERATIONS,
            relaxationFactor=0.6,
            gradientMagnitudeTolerance=1e-9,
        )
        transform = self._transform(matrix, kind)
        method.SetInitialTransform(transform, inPlace=True)
        if kind == "scales":
            # The last three parameters are skews.
            method.SetOptimizerWeights([1.0] * 9 + [0.0] * 3)
        try:
            with _one_thread(sitk):
                method.Execute(self._image(self.fixed, self.values[1]), self._image(self.moving, self.values[0]))
        except KeyError:
            # SimpleITK 2.5 cannot return a transform of kind "scales", but has optimised it in place by then.
            pass
        except RuntimeError:
            return None
        ndim = len(self.pivot)
        linear = np.array(transform.GetMatrix()).reshape(ndim, ndim)
        return homogeneous(linear, self.unit_mm * np.array(transform.TransformPoint([0.0] * ndim)))

    def _restrict(self, method: Any, samples: int) -> None:
        """Let a registration method compare random points of the whole lattice, inside the masks."""
        method.SetMetricSamplingStrategy(method.RANDOM)
        mask = self.fixed.mask
        size = self.values[1].size if mask is None else np.count_nonzero(mask)
        # ITK replaces the seed 0 by the time of day.
        method.SetMetricSamplingPercentage(min(1.0, samples / size), self.seed + 1)
        if mask is not None:
            method.SetMetricFixedMask(self._image(self.fixed, mask.astype("uint8")))
        if self.moving.mask is not None:
            method.SetMetricMovingMask(self._image(self.moving, self.moving.mask.astype("uint8")))

    def _image(self, lattice: Lattice, values: np.ndarray) -> Any:
        """Values on a lattice as a SimpleITK image, in units of the object's radius."""
        image = simpleitk().GetImageFromArray(np.ascontiguousarray(values.T))
        image.SetOrigin((lattice.origin_mm / self.unit_mm).tolist())
        image.SetSpacing([lattice.spacing_mm / self.unit_mm] * values.ndim)
        return image

    def _transform(self, matrix: np.ndarray, kind: str) -> Any:
        """The SimpleITK transform of a kind that is closest to a matrix."""
        sitk, ndim = simpleitk(), len(self.pivot)
        linear = matrix[:-1, :-1]
        rotation, scale = nearest_rotation(linear), float(np.linalg.det(linear) ** (1 / ndim))
        if kind == "affine":
            transform = sitk.AffineTransform(ndim)
            transform.SetMatrix(linear.ravel().tolist())
        elif kind == "scales":
            transform = sitk.ComposeScaleSkewVersor3DTransform()
            versor = sitk.VersorTransform()
            versor.SetMatrix(rotation.ravel().tolist())
            transform.SetRotation(versor.GetVersor())
            transform.SetScale([scale] * 3)
        elif kind == "similarity":
            transform = sitk.Similarity3DTransform() if ndim == 3 else sitk.Similarity2DTransform()
            transform.SetMatrix((scale * rotation).ravel().tolist())
        else:
            transform = sitk.Euler3DTransform() if ndim == 3 else sitk.Euler2DTransform()
            transform.SetMatrix(rotation.ravel().tolist())
        transform.SetCenter((self.pivot / self.unit_mm).tolist())
        shift = linear @ self.pivot + matrix[:-1, -1] - self.pivot
        transform.SetTranslation((shift / self.unit_mm).tolist())
        return transform


def ascend_both_ways(
    lattices: tuple[Lattice, Lattice],
    objects: tuple[Lattice, Lattice],
    matrix: np.ndarray,
    kind: str,
    channels: tuple[int, int],
    seed: int,
) -> np.ndarray:
    """The mean of the ascents from fixed to moving and from moving to fixed.

    Mutual information compared at the points of one object is biased towards enlarging that object, a brain's volume by
    4 to 10 %. The bias is equal in both directions, so the mean is free of it. Where an ascent fails, the transform
    before it is returned.

    Args:
        lattices: moving and fixed lattice, whose values are sampled.
        objects: both lattices, masked by the object, at whose points they are compared.
        matrix: transform to start from, `[ndim + 1, ndim + 1]`, from the fixed to the moving frame.
        kind: parameters to change, "rigid", "similarity", "scales" or "affine".
        channels: channel of the moving and of the fixed scan to compare.
        seed: seed of the sampled points.
    """

    def step(moving: Lattice, fixed: Lattice, start: np.ndarray, compared: tuple[int, int]) -> np.ndarray | None:
        ascent = AffineAscent(moving, fixed, fixed.centre_of_mass_mm(), compared, seed)
        return ascent(start, kind, FINE_SAMPLES, FINE_STEPS)

    there = step(lattices[0], objects[1], matrix, channels)
    # The mean of two transforms that rotate and scale along axes is not a transform of that kind.
    if there is None or kind == "scales":
        return matrix if there is None else there
    back = step(lattices[1], objects[0], np.linalg.inv(there), channels[::-1])
    if back is None:
        return there
    difference = linalg.logm(np.linalg.inv(there) @ np.linalg.inv(back)).real
    return there @ linalg.expm(difference / 2)
