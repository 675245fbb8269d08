"""The grid that a network's images lie on, as the network remembers it."""

from absl import logging

from vxm_tf.files.errors import InputError
from vxm_tf.spatial.grid import check_orientation
from vxm_tf.spatial.headers import says_same, stated_grid


def recorded_grid(config, store) -> dict:
    """What a network's images lie on, for its metadata: `shape`, `spacing_mm`, `orientation`, as far as scans share it.

    `register.py` brings other images onto such a grid.

    Raises:
        InputError: a file that says otherwise than the configuration, or an orientation that is none.
        ValueError: a voxel size that does not fit the images' axes.
    """
    shape, files = store.image_shape, [scan.image for scan in store.scans]
    grid = {"shape": None if None in shape else list(shape)}
    stated = {file: stated_grid(file, len(shape)) for file in files}
    given = {"spacing_mm": _given_spacing_mm(config, len(shape)), "orientation": given_orientation(config, len(shape))}
    for number, name in enumerate(given):
        grid[name] = agreed(name, given[name], {file: both[number] for file, both in stated.items()})
    return {name: list(value) if isinstance(value, tuple) else value for name, value in grid.items() if value}


def agreed(name: str, given, stated: dict):
    """What the files say, those that say nothing what was given; None where they differ.

    Args:
        name: "spacing_mm" or "orientation".
        given: what the configuration says, empty for nothing.
        stated: file to what it says, or None.

    Raises:
        InputError: a file that says otherwise than `given`.
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
            "The training scans have more than one %s (%s): the network sees them as they are stored, and cannot "
            "say how other images should be.",
            name, ", ".join(sorted(map(str, values))),
        )  # fmt: skip
    return values.pop() if len(values) == 1 else None


def given_orientation(config, axes: int) -> str:
    """The configuration's orientation, empty for none.

    Raises:
        InputError: a word that is no orientation of so many axes.
    """
    if config.orientation:
        check_orientation(config.orientation, axes)
    return config.orientation


def _given_spacing_mm(config, axes):
    given = tuple(config.spacing_mm)
    if len(given) not in (0, 1, axes):
        raise ValueError(f"spacing_mm is one number, or one for each of {axes} axes; got {given}.")
    return given * axes if len(given) == 1 else given
