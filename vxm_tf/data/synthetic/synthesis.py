"""Images of random contrast, made of label maps: what a network needs to see to heed shape and not brightness."""

import dataclasses

import numpy as np
from scipy import ndimage

from vxm_tf.data.normalization import normalize
from vxm_tf.data.synthetic.label_maps import FIRST_OUTSIDE, FLUID
from vxm_tf.data.synthetic.random_fields import random_affine, random_displacement, random_series

# FreeSurfer's numbers: the right side's structures look like the left's, as they do in every scan.
LEFT_OF = {
    41: 2, 42: 3, 43: 4, 44: 5, 46: 7, 47: 8, 49: 10, 50: 11, 51: 12, 52: 13, 53: 17, 54: 18, 58: 26, 60: 28, 62: 30,
    63: 31, 164: 163, 137: 136,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class SynthesisConfig:
    """How far synthetic images vary; lengths in voxels of the image.

    Attributes:
        degrees: standard deviation of rotations.
        scale: of the logarithm of scales.
        shear: of shears.
        shift: of translations.
        displacement: largest root mean square length of the random deformation.
        noise: largest standard deviation of the noise, in intensities of [0, 1].
        blur: largest standard deviation of the blur.
        bias: largest root mean square of the logarithm of the smooth gain.
        gamma: standard deviation of the logarithm of the exponent.
        stripped: part of the images that show the brain alone.
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


def synthetic_pair(maps, moving: int, fixed: int, shape, spacing_mm: float, rng, config=None):
    """Two images of independent random contrast, and both once more in one contrast.

    The network sees `moving` and `fixed`; what is compared is `moving_target` with `fixed_target`, free of noise and
    of equal contrast, so that the loss asks for structures to meet (in the manner of SynthMorph: Hoffmann et al.,
    IEEE TMI 2022, whose loss is the labels' overlap).

    Args:
        maps: a `LabelMaps`.
        moving, fixed: which maps.
        shape: of the images.
        spacing_mm: voxel size.
        rng: a NumPy generator.
        config: a `SynthesisConfig`.

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


def _deformed(maps, index, shape, spacing_mm, rng, config):
    """A map's labels on the image's grid, as that person under a random deformation."""
    ndim = len(shape)
    matrix = random_affine(rng, ndim, degrees=config.degrees, scale=config.scale, shear=config.shear)
    shift = rng.normal(0.0, config.shift, ndim)
    voxels = np.moveaxis(np.indices(shape, dtype="float32"), 0, -1)
    voxels += random_displacement(rng, shape, rng.uniform(0.0, config.displacement))
    centred = voxels - ((np.array(shape) - 1) / 2 + shift).astype("float32")
    return maps.sample(index, centred @ (spacing_mm * matrix.T).astype("float32"))


def _contrast(labels, rng):
    """An intensity for each label, 0 for the first, the background."""
    means = {int(label): rng.uniform(0.1, 1.0) for label in labels}
    values = [means.get(LEFT_OF.get(label), mean) for label, mean in means.items()]
    return np.array([0.0, *values[1:]], "float32")


def _image(index, contrast, rng, config):
    """One scan of these labels, `[*shape, 1]` in [0, 1]."""
    noise = rng.uniform(0.0, config.noise) * rng.standard_normal(index.shape, dtype="float32")
    image = contrast[index] + np.where(index > 0, noise, 0.0).astype("float32")
    image = ndimage.gaussian_filter(image, rng.uniform(0.3, config.blur))
    gain = random_series(rng, index.shape, np.cos, scales=(0.4,)).astype("float32")
    image = np.maximum(image, 0.0) * np.exp(np.float32(rng.uniform(0.0, config.bias)) * gain)
    image = normalize(image[..., None], "percentile")
    return image ** np.float32(np.exp(rng.normal(0.0, config.gamma)))
