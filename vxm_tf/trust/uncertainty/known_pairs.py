"""Pairs of images whose true displacement is known: two phantoms, or one scan deformed twice."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vxm_tf.data.synthetic.phantoms import phantom
from vxm_tf.data.synthetic.random_fields import random_diffeomorphism, random_series
from vxm_tf.data.warping import warp_array
from vxm_tf.trust.uncertainty.calibrated_range import content, mean_size
from vxm_tf.trust.uncertainty.perturbation import composed

# Ranges from which each pair draws the magnitude of its deformation, as a fraction of an axis, and its noise.
MAGNITUDES, NOISES = (0.008, 0.04), (0.01, 0.08)
# Standard deviation of the logarithm of the smooth gain.
GAIN = 0.1


@dataclass(frozen=True, eq=False)
class KnownPair:
    """Two images on one grid and the true displacement between them.

    Attributes:
        moving, fixed: float32 `[*spatial, channels]`, 0 to 1.
        displacement: float32 `[*spatial, ndim]`, in voxels: fixed(x) = moving(x + displacement(x)), up to the gain and
            the noise of each.
        inside: bool `[*spatial]`, the voxels of the fixed image that show something.
        spacing_mm: voxel size along each axis, in millimetres; empty if it is not known.
    """

    moving: np.ndarray
    fixed: np.ndarray
    displacement: np.ndarray
    inside: np.ndarray
    spacing_mm: tuple[float, ...] = ()

    @property
    def linear(self) -> np.ndarray:
        """Matrix `[ndim, ndim]` from voxels to mean voxel sizes; the identity where no voxel size is known."""
        ndim = self.displacement.shape[-1]
        return np.diag(np.divide(self.spacing_mm, mean_size(self.spacing_mm))) if self.spacing_mm else np.eye(ndim)


def phantom_pairs(
    shape: Sequence[int],
    count: int,
    seed: int = 0,
    *,
    alike: bool = False,
    spacing_mm: Sequence[float] = (),
    magnitudes: tuple[float, float] | None = None,
) -> Iterator[KnownPair]:
    """Pairs of head phantoms; pair k depends on `(seed, k)` alone.

    Args:
        shape: 2 or 3 sizes, at least 16 voxels each.
        count: number of pairs.
        seed: seed of the pairs.
        alike: whether every pair has the same magnitude and noise, the defaults of `phantom`, instead of random ones.
        spacing_mm: voxel size to give the phantoms, along each axis in millimetres.
        magnitudes: see `deformed_pairs`.
    """
    for number in range(count):
        drawn = {} if alike else _magnitude_and_noise(np.random.default_rng((seed, number)), magnitudes)
        seeds = (np.random.SeedSequence((seed, number, k)) for k in (0, 1))
        moving, fixed = (phantom(shape, each, **drawn) for each in seeds)
        truth = composed(moving.inverse_displacement, fixed.displacement)
        yield KnownPair(moving.image[..., None], fixed.image[..., None], truth, fixed.labels > 0, tuple(spacing_mm))


def deformed_pairs(
    images: Sequence[np.ndarray],
    count: int,
    seed: int = 0,
    *,
    spacings_mm: Sequence[Sequence[float]] = (),
    magnitudes: tuple[float, float] | None = None,
) -> Iterator[KnownPair]:
    """Pairs of a scan with itself; each copy has its own deformation, smooth gain and noise.

    Args:
        images: float `[*spatial, channels]` each, in [0, 1]; the pairs take them in turn.
        count: number of pairs.
        seed: seed of the pairs; pair k depends on `(seed, k)` alone.
        spacings_mm: voxel size of each image along each axis, in millimetres; empty if they are not known.
        magnitudes: range of the magnitude of each deformation, as a fraction of an axis; None for `MAGNITUDES`.
    """
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        image = np.asarray(images[number % len(images)], "float32")
        magnitude, noise = _magnitude_and_noise(rng, magnitudes).values()
        (there, back), (onto, _) = (random_diffeomorphism(rng, image.shape[:-1], magnitude) for _ in range(2))
        moving, fixed = (warp_array(image, field) for field in (there, onto))
        spacing = tuple(spacings_mm[number % len(images)]) if spacings_mm else ()
        images_of_pair = _imaged(moving, noise, rng), _imaged(fixed, noise, rng)
        yield KnownPair(*images_of_pair, composed(back, onto), content(fixed), spacing)


def _magnitude_and_noise(rng: np.random.Generator, magnitudes: tuple[float, float] | None) -> dict[str, float]:
    """Magnitude and noise of one pair by name, the logarithm of each drawn uniformly."""
    ranges = {"magnitude": magnitudes or MAGNITUDES, "noise": NOISES}
    return {name: float(np.exp(rng.uniform(*np.log(limits)))) for name, limits in ranges.items()}


def _imaged(image: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """A simulated repeat scan of the image, with a smooth gain, and with noise where the image is not 0."""
    gain = np.exp(GAIN * random_series(rng, image.shape[:-1], np.cos, scales=(0.5,)))[..., None]
    scan = image * gain + noise * rng.standard_normal(image.shape, dtype="float32") * (image > 0.0)
    return np.clip(scan, 0.0, 1.0).astype("float32")
