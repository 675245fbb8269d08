"""Pairs of images whose true displacement is known: two phantoms, or one scan deformed twice."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vxm_tf.data.synthetic.phantoms import phantom
from vxm_tf.data.synthetic.random_fields import random_diffeomorphism, random_series
from vxm_tf.data.warping import warp_array
from vxm_tf.metrics import foreground
from vxm_tf.trust.uncertainty.perturbation import composed

# Individuals differ in how far they are deformed, in parts of an axis, and in noise, as scans do.
MAGNITUDES, NOISES = (0.008, 0.04), (0.01, 0.08)
GAIN = 0.1


@dataclass(frozen=True, eq=False)
class KnownPair:
    """Two images on one grid and what a registration should find.

    Attributes:
        moving, fixed: float32 `[*spatial, channels]`, 0 to 1.
        displacement: float32 `[*spatial, ndim]`, in voxels: fixed(x) = moving(x + displacement(x)), up to the gain and
            the noise of each.
        inside: bool `[*spatial]`, what the fixed image shows.
    """

    moving: np.ndarray
    fixed: np.ndarray
    displacement: np.ndarray
    inside: np.ndarray


def phantom_pairs(shape, count: int, seed: int = 0, *, alike: bool = False) -> Iterator[KnownPair]:
    """Pairs of head phantoms; pair k depends on `(seed, k)` alone.

    Args:
        shape: 2 or 3 sizes, at least 16 voxels each.
        count: how many.
        seed: which.
        alike: deformed and noisy as `phantom` makes them by default, instead of each pair in another measure.
    """
    for number in range(count):
        settings = {} if alike else dict(zip(("magnitude", "noise"), _drawn(np.random.default_rng((seed, number)))))
        seeds = (np.random.SeedSequence((seed, number, k)) for k in (0, 1))
        moving, fixed = (phantom(shape, each, **settings) for each in seeds)
        truth = composed(moving.inverse_displacement, fixed.displacement)
        yield KnownPair(moving.image[..., None], fixed.image[..., None], truth, fixed.labels > 0)


def deformed_pairs(images, count: int, seed: int = 0) -> Iterator[KnownPair]:
    """Pairs of one scan with itself, each time under a deformation, a smooth gain and noise of its own.

    Args:
        images: sequence of float `[*spatial, channels]` in [0, 1]; they take turns.
        count: how many pairs.
        seed: which; pair k depends on `(seed, k)` alone.
    """
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        image = np.asarray(images[number % len(images)], "float32")
        magnitude, noise = _drawn(rng)
        (there, back), (onto, _) = (random_diffeomorphism(rng, image.shape[:-1], magnitude) for _ in range(2))
        moving, fixed = (warp_array(image, field) for field in (there, onto))
        inside = foreground(fixed.mean(axis=-1))
        yield KnownPair(_seen(moving, noise, rng), _seen(fixed, noise, rng), composed(back, onto), inside)


def _drawn(rng):
    """(magnitude, noise), each logarithm uniform."""
    return [float(np.exp(rng.uniform(*np.log(limits)))) for limits in (MAGNITUDES, NOISES)]


def _seen(image, noise, rng):
    gain = np.exp(GAIN * random_series(rng, image.shape[:-1], np.cos, scales=(0.5,)))[..., None]
    seen = image * gain + noise * rng.standard_normal(image.shape, dtype="float32") * (image > 0.0)
    return np.clip(seen, 0.0, 1.0).astype("float32")
