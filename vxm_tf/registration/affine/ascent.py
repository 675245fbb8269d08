"""Gradient ascent of mutual information over one kind of transform after the other, by SimpleITK."""

import contextlib

import numpy as np

from vxm_tf.files.errors import InputError
from vxm_tf.registration.affine.scan import Lattice, homogeneous, nearest_rotation

BINS = 32
ITERATIONS = 200


def simpleitk():
    """The module; it is an extra, and large.

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
def _one_thread(sitk):
    """With more threads ITK adds up in another order each time. The method's own setting does not reach its metric."""
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


class Refinement:
    """Steps from a transform to the nearest maximum of Mattes' mutual information (Mattes et al., SPIE 2001).

    Args:
        moving: `Lattice`.
        fixed: `Lattice`.
        pivot: `[ndim]`, in the fixed frame, what to turn about, in millimetres.
        seed: of the samples.
    """

    def __init__(self, moving: Lattice, fixed: Lattice, pivot, seed: int = 0):
        self.moving, self.fixed, self.pivot, self.seed = moving, fixed, pivot, seed
        # In units of the object's radius, a turn, a shift and a stretch of one number move voxels alike, so that the
        # optimiser's steps mean the same in every direction.
        self.unit_mm = float(np.sqrt(np.mean(np.sum((fixed.points() - pivot[:, None]) ** 2, axis=0))))

    def __call__(self, matrix, kind: str, samples: int, steps=(0.02, 2e-5)):
        """The refined transform, or None where the images lost each other.

        Args:
            matrix: `[ndim + 1, ndim + 1]`, from the fixed to the moving frame.
            kind: "rigid", "similarity", "scales" or "affine".
            samples: number of points to compare.
            steps: first and last step, as parts of the object's radius.
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
                method.Execute(self._image(self.fixed, self.fixed.values), self._image(self.moving, self.moving.values))
        except KeyError:
            # SimpleITK 2.5 has no name for the transform of "scales" when it returns it; ours is done by then.
            pass
        except RuntimeError:
            return None
        ndim = len(self.pivot)
        linear = np.array(transform.GetMatrix()).reshape(ndim, ndim)
        return homogeneous(linear, self.unit_mm * np.array(transform.TransformPoint([0.0] * ndim)))

    def _restrict(self, method, samples):
        """Compare at points drawn from the whole lattice, and inside the masks."""
        method.SetMetricSamplingStrategy(method.RANDOM)
        # ITK takes 0 for the time of day.
        mask = self.fixed.mask
        size = self.fixed.values.size if mask is None else np.count_nonzero(mask)
        method.SetMetricSamplingPercentage(min(1.0, samples / size), self.seed + 1)
        if mask is not None:
            method.SetMetricFixedMask(self._image(self.fixed, mask.astype("uint8")))
        if self.moving.mask is not None:
            method.SetMetricMovingMask(self._image(self.moving, self.moving.mask.astype("uint8")))

    def _image(self, lattice, values):
        image = simpleitk().GetImageFromArray(np.ascontiguousarray(values.T))
        image.SetOrigin((lattice.origin_mm / self.unit_mm).tolist())
        image.SetSpacing([lattice.spacing_mm / self.unit_mm] * values.ndim)
        return image

    def _transform(self, matrix, kind):
        """ITK's transform of a kind, as close as it gets to a matrix."""
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
