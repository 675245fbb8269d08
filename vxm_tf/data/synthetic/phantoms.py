"""Seeded populations of head phantoms whose true deformation is known."""

import functools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vxm_tf.data.synthetic import anatomy
from vxm_tf.data.synthetic.anatomy import LABEL_NAMES
from vxm_tf.data.synthetic.random_fields import random_diffeomorphism, random_series
from vxm_tf.files.atomic import replace_atomically
from vxm_tf.files.json_file import write_text

__all__ = ["LABEL_NAMES", "Phantom", "phantom", "population", "template", "write_population"]

# Version of the phantoms, stored beside a population; increase it when a change of the code changes their voxels.
GENERATION = 1


@dataclass(frozen=True)
class Phantom:
    """One individual, with the displacements between it and the template.

    `image(x) = template(x + displacement(x))`, up to the individual's own contrast, bias field and noise;
    `labels(x) = template_labels(x + displacement(x))`.

    Attributes:
        image: float32 `[*spatial]`, 0 to 1, exactly 0 beyond the anti-aliased rim of the head.
        labels: uint8 `[*spatial]`, keys of `LABEL_NAMES`.
        displacement: float32 `[*spatial, ndim]`, in voxels, `ij` order; warps the template to this
            individual.
        inverse_displacement: float32 `[*spatial, ndim]`, in voxels, `ij` order; warps this individual to
            the template.
    """

    image: np.ndarray
    labels: np.ndarray
    displacement: np.ndarray
    inverse_displacement: np.ndarray


def phantom(
    shape: Sequence[int], seed: Any = 0, *, magnitude: float = 0.015, noise: float = 0.02, bias: float = 0.1
) -> Phantom:
    """An individual: the template's anatomy under a random diffeomorphism.

    Axis 0 runs from the front to the back, axis 1 from left to right, and axis 2, where there is one,
    upwards. The head fills an array of any shape; one seed gives the same individual at every size.

    Args:
        shape: 2 or 3 sizes, at least 16 voxels each; 2 give a section through the head.
        seed: a whole number, or anything else that `numpy.random.default_rng` takes.
        magnitude: root mean square length of the velocity, each component as a fraction of its axis, at
            most 0.2. With 0.015 of 64 voxels, about 1 voxel, the largest displacement is about 3 voxels. A
            field that would fold is scaled down until it does not.
        noise: standard deviation of the Rician noise; the intensity of white matter is about 0.75.
        bias: root mean square of the logarithm of the smooth gain.

    Returns:
        A `Phantom`.

    Raises:
        ValueError: fewer than 2 or more than 3 axes, an axis below 16 voxels, or a magnitude out of range.

    Example:

    >>> individual = phantom((96, 96), seed=3)
    >>> individual.labels.shape, individual.displacement.shape
    ((96, 96), (96, 96, 2))
    """
    shape = _checked(shape)
    if not 0.0 <= magnitude <= 0.2:
        raise ValueError(f"magnitude is a part of the image's size, 0 to 0.2, not a number of voxels; got {magnitude}.")
    rng = np.random.default_rng(seed)
    displacement, inverse = random_diffeomorphism(rng, shape, magnitude)
    contrast = {name: mean * rng.normal(1.0, 0.03) for name, mean in anatomy.INTENSITIES.items()}
    labels, image, coverage = _anatomy_at(shape, displacement, contrast)
    gain = np.exp(bias * random_series(rng, shape, np.cos, scales=(0.5,)))
    real, imaginary = noise * coverage * rng.standard_normal((2, *shape), dtype="float32")
    image = np.hypot(image * gain + real, imaginary)
    return Phantom(np.clip(image, 0.0, 1.0, dtype="float32"), labels, displacement, inverse)


def template(shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The anatomy, free of noise, that is deformed into every individual.

    Args:
        shape: 2 or 3 sizes, at least 16 voxels each.

    Returns:
        The image, float32 `[*spatial]` from 0 to 1, and the labels, uint8 `[*spatial]`.

    Raises:
        ValueError: fewer than 2 or more than 3 axes, or an axis below 16 voxels.

    Example:

    >>> image, labels = template((65, 65))
    >>> LABEL_NAMES[int(labels[32, 32])], float(image[0, 0])
    ('csf', 0.0)
    """
    shape = _checked(shape)
    labels, image, _ = _anatomy_at(shape, np.zeros((*shape, len(shape)), "float32"))
    return np.clip(image, 0.0, 1.0), labels


def population(shape: Sequence[int], count: int, seed: int = 0, *, magnitude: float = 0.015) -> Iterator[Phantom]:
    """Individuals 0 to `count - 1` of a population; individual k depends on `(seed, k)` alone.

    Args:
        shape: 2 or 3 sizes, at least 16 voxels each.
        count: number of individuals.
        seed: seed of the population.
        magnitude: see `phantom`.

    Yields:
        One `Phantom` after another.

    Raises:
        ValueError: a negative `count`, or a shape that `phantom` refuses.

    Example:

    >>> moving, fixed = population((32, 32), 2, seed=1)
    """
    if count < 0:
        raise ValueError(f"A population counts 0 or more individuals; got {count}.")
    shape = _checked(shape)
    return (phantom(shape, np.random.SeedSequence((seed, k)), magnitude=magnitude) for k in range(count))


def write_population(
    directory: str | os.PathLike, shape: Sequence[int], num_train: int, num_val: int, seed: int = 0
) -> Path:
    """Write a population to `<directory>/train` and `<directory>/val`, unless it is already there.

    Each `phantom_000.npz` holds `vol` (uint8, 0 to 255), `seg` (uint8, keys of `LABEL_NAMES`) and
    `displacement` (float16, `[*spatial, ndim]`, in voxels; a rounding error below 0.004 voxel for
    components below 16 voxels). Numbers continue from train to val. `phantoms.json` is written last and
    marks the folder as complete; phantoms of another population in it are replaced.

    Args:
        directory: folder to write to; it is created if it is missing.
        shape: 2 or 3 sizes, at least 16 voxels each.
        num_train: number of individuals in train.
        num_val: number of individuals in val.
        seed: seed of the population.

    Returns:
        `directory` as a `Path`.

    Raises:
        ValueError: a negative number of individuals, or a shape that `phantom` refuses.
        InputError: a folder that cannot be written.

    Example:

    >>> import tempfile
    >>> folder = write_population(tempfile.mkdtemp(), shape=(32, 32), num_train=2, num_val=1)
    >>> [path.name for path in sorted(folder.glob("*/*.npz"))]
    ['phantom_000.npz', 'phantom_001.npz', 'phantom_002.npz']
    """
    if min(num_train, num_val) < 0:
        raise ValueError(f"num_train and num_val are 0 or more; got {num_train} and {num_val}.")
    shape, directory = _checked(shape), Path(directory)
    arguments = {"shape": shape, "num_train": num_train, "num_val": num_val, "seed": seed}
    record = json.dumps(arguments | {"generation": GENERATION})
    folders = ["train"] * num_train + ["val"] * num_val
    files = [directory / folder / f"phantom_{k:03d}.npz" for k, folder in enumerate(folders)]
    present = set(directory.glob("train/phantom_*.npz")) | set(directory.glob("val/phantom_*.npz"))
    marker = directory / "phantoms.json"
    if marker.exists() and marker.read_text() == record and present == set(files):
        return directory
    marker.unlink(missing_ok=True)
    for stale in present - set(files):
        stale.unlink(missing_ok=True)
    for file, individual in zip(files, population(shape, len(files), seed), strict=True):
        volume = np.round(individual.image * 255.0).astype("uint8")
        arrays: dict[str, Any] = {
            "vol": volume,
            "seg": individual.labels,
            "displacement": individual.displacement.astype("float16"),
        }
        replace_atomically(file, functools.partial(np.savez_compressed, **arrays))
    write_text(marker, record)
    return directory


def _checked(shape: Sequence[int]) -> tuple[int, ...]:
    shape = tuple(int(size) for size in shape)
    if len(shape) not in (2, 3) or min(shape) < 16:
        raise ValueError(
            f"A phantom has 2 or 3 axes of at least 16 voxels each; got shape {shape}. Try (96, 96) or (64, 64, 64)."
        )
    return shape


def _anatomy_at(
    shape: tuple[int, ...], displacement: np.ndarray, intensities: Mapping[str, float] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`anatomy.paint` at the locations `x + displacement(x)` of all voxels x."""
    sizes = np.array(shape, "float32")
    locations = np.moveaxis(np.indices(shape, dtype="float32"), 0, -1) + displacement
    centred = list(np.moveaxis(2.0 * locations / (sizes - 1.0) - 1.0, -1, 0))
    back, right, up, *_ = [*centred, np.full(shape, anatomy.SECTION, "float32")]
    return anatomy.paint(np.stack([right, -back, up]), 2.0 / float(sizes.mean()), intensities)
