"""Images of random contrast, generated from label maps, which train a network to align shapes at any contrast."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from vxm_tf.data.normalization import normalize
from vxm_tf.data.synthetic.label_maps import FIRST_OUTSIDE, FLUID, LabelMaps
from vxm_tf.data.synthetic.random_fields import random_affine, random_displacement, random_series

# FreeSurfer's id of a structure on the right -> id of its counterpart on the left, which has the same intensity.
LEFT_OF = {
    41: 2, 42: 3, 43: 4, 44: 5, 46: 7, 47: 8, 49: 10, 50: 11, 51: 12, 52: 13, 53: 17, 54: 18, 58: 26, 60: 28, 62: 30,
    63: 31, 164: 163, 137: 136,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class SynthesisConfig:
    """Settings of the random variation between synthetic images.

    Attributes:
        degrees: standard deviation of rotations, in degrees.
        scale: standard deviation of the logarithm of scales.
        shear: standard deviation of shears.
        shift: standard deviation of translations, in voxels.
        displacement: largest root mean square length of the random deformation, in voxels.
        noise: largest standard deviation of the noise, for intensities in [0, 1].
        blur: largest standard deviation of the blur, in voxels.
        bias: largest root mean square of the logarithm of the smooth gain.
        gamma: standard deviation of the logarithm of the exponent.
        stripped: fraction of the pairs that show the brain alone.
    """

    degrees: float = 4.0
    scale: float = 0.05
    shear: float = 0.02
    shift: float = 2.0
    displacement: float = 2.5
    noise: float = 0.1
    blur: float = 1.0
    bias: float = 0.4
    gamma: float = 0.3
    stripped: float = 0.7


def synthetic_pair(
    maps: LabelMaps,
    moving: int,
    fixed: int,
    shape: Sequence[int],
    spacing_mm: float,
    rng: np.random.Generator,
    config: SynthesisConfig | None = None,
) -> dict[str, np.ndarray]:
    """Two images of independent random contrast, and the same two anatomies in one common contrast.

    The network sees `moving` and `fixed`; the loss compares `moving_target` with `fixed_target`, which have no noise
    and one contrast, so it rewards aligned structures. The method follows SynthMorph (Hoffmann et al., IEEE TMI 2022),
    whose loss is the overlap of labels.

    Args:
        maps: the label maps.
        moving: index of the moving image's map.
        fixed: index of the fixed image's map.
        shape: spatial shape of the images.
        spacing_mm: voxel size of the images along all axes, in millimetres.
        rng: a NumPy generator.
        config: settings of the variation; None for the defaults.

    Returns:
        `{"moving", "fixed", "moving_target", "fixed_target"}`, each float32 `[*shape, 1]` in [0, 1].
    """
    config = config or SynthesisConfig()
    labels = [_deformed(maps, index, shape, spacing_mm, rng, config) for index in (moving, fixed)]
    if rng.random() < config.stripped:
        dark = (maps.labels >= FIRST_OUTSIDE) | ((maps.labels == FLUID) & (rng.random() < 0.5))
        labels = [np.where(dark[index], 0, index).astype("uint8") for index in labels]
    contrast = _contrast(maps.labels, rng)
    pair = {}
    for name, index in zip(("moving", "fixed"), labels):
        pair[name] = _image(index, _contrast(maps.labels, rng), rng, config)
        pair[f"{name}_target"] = ndimage.gaussian_filter(contrast[index], 0.5)[..., None]
    return pair


def _deformed(
    maps: LabelMaps,
    index: int,
    shape: Sequence[int],
    spacing_mm: float,
    rng: np.random.Generator,
    config: SynthesisConfig,
) -> np.ndarray:
    """A map sampled on the image's grid under a random affine map and deformation, as indices into `maps.labels`."""
    ndim = len(shape)
    matrix = random_affine(rng, ndim, degrees=config.degrees, scale=config.scale, shear=config.shear)
    shift = rng.normal(0.0, config.shift, ndim)
    voxels = np.moveaxis(np.indices(shape, dtype="float32"), 0, -1)
    voxels += random_displacement(rng, shape, rng.uniform(0.0, config.displacement))
    centred = voxels - ((np.array(shape) - 1) / 2 + shift).astype("float32")
    return maps.sample(index, centred @ (spacing_mm * matrix.T).astype("float32"))


def _contrast(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random intensity for each label; 0 for the first, which is the background."""
    means = {int(label): rng.uniform(0.1, 1.0) for label in labels}
    values = [means.get(LEFT_OF.get(label, label), mean) for label, mean in means.items()]
    return np.array([0.0, *values[1:]], "float32")


def _image(index: np.ndarray, contrast: np.ndarray, rng: np.random.Generator, config: SynthesisConfig) -> np.ndarray:
    """A synthetic scan `[*shape, 1]`, in [0, 1], of indices of labels `[*shape]` in a contrast."""
    noise = rng.uniform(0.0, config.noise) * rng.standard_normal(index.shape, dtype="float32")
    image = contrast[index] + np.where(index > 0, noise, 0.0).astype("float32")
    image = ndimage.gaussian_filter(image, rng.uniform(0.3, config.blur))
    gain = random_series(rng, index.shape, np.cos, scales=(0.4,)).astype("float32")
    image = np.maximum(image, 0.0) * np.exp(np.float32(rng.uniform(0.0, config.bias)) * gain)
    image = normalize(image[..., None], "percentile")
    return image ** np.float32(np.exp(rng.normal(0.0, config.gamma)))
