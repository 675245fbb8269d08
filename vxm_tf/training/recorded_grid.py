"""The grid of the training images, as the metadata of a network records it."""

from collections.abc import Mapping
from typing import Any

from absl import logging

from vxm_tf.data import ScanStore
from vxm_tf.files.errors import InputError
from vxm_tf.files.units import spacing_of_axes
from vxm_tf.spatial.grid import check_orientation
from vxm_tf.spatial.headers import says_same, stated_grid
from vxm_tf.training.config import TrainConfig


def recorded_grid(config: TrainConfig, store: ScanStore) -> dict[str, Any]:
    """The `shape`, `spacing_mm` and `orientation` that all scans share, for the network's metadata.

    `register.py` resamples other images to this grid.

    Raises:
        InputError: a file that contradicts the configuration, a word that is not an orientation, or a voxel size that
            does not fit the images' axes.
    """
    shapes, files = store.image_shapes, [scan.image for scan in store.scans]
    shape = shapes[0]
    grid: dict[str, Any] = {"shape": list(shape) if len(set(shapes)) == 1 else None}
    stated = {file: stated_grid(file, len(shape)) for file in files}
    given = {"spacing_mm": _given_spacing_mm(config, len(shape)), "orientation": given_orientation(config, len(shape))}
    for number, name in enumerate(given):
        grid[name] = agreed(name, given[name], {file: both[number] for file, both in stated.items()})
    return {name: list(value) if isinstance(value, tuple) else value for name, value in grid.items() if value}


def agreed(name: str, given: Any, stated: Mapping[Any, Any]) -> Any:
    """The value that all files share, where `given` stands for a value that a file lacks; None where they differ.

    Args:
        name: "spacing_mm" or "orientation".
        given: value in the configuration, empty for none.
        stated: value in the header of each file, None where there is none.

    Raises:
        InputError: a file with another value than `given`.
    """
    for file, value in stated.items():
        if given and value and not says_same(value, given):
            raise InputError(
                f"{file}: says that its {name} is {value}, but --{name} says {given}. That flag is for files that say "
                "nothing; leave it out, or correct the file's header."
            )
    values = {value or given or None for value in stated.values()}
    if len(values) > 1:
        logging.warning(
            "The training scans have more than one %s (%s): the network records no value to which other images could "
            "be resampled.",
            name, ", ".join(sorted(map(str, values))),
        )  # fmt: skip
    return values.pop() if len(values) == 1 else None


def given_orientation(config: TrainConfig, axes: int) -> str:
    """The configuration's orientation, empty for none.

    Raises:
        InputError: a word that is not an orientation of that many axes.
    """
    if config.orientation:
        check_orientation(config.orientation, axes)
    return config.orientation


def _given_spacing_mm(config: TrainConfig, axes: int) -> tuple[float, ...]:
    given = tuple(config.spacing_mm)
    if len(given) not in (0, 1, axes):
        raise InputError(f"spacing_mm is one number, or one for each of {axes} axes; got {given}.")
    return spacing_of_axes(given, axes)
