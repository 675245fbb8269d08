"""Brain masks, given or made by any external command for skull stripping."""

import shlex
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from absl import logging

from vxm_tf.files.errors import InputError
from vxm_tf.spatial import SpatialImage
from vxm_tf.spatial.masks import mask_on
from vxm_tf.spatial.sources import LabelSource


def brain_mask(image: SpatialImage, mask: LabelSource | None = None, command: str = "") -> np.ndarray | None:
    """The brain mask of an image: a given mask, or one that a command makes.

    Args:
        image: the image that the mask belongs to.
        mask: path, image or array of a mask on the image's grid, see `mask_on`; None for none.
        command: command line that is run where no mask is given, with `{image}` and `{mask}` in it, such as
            `mri_synthstrip -i {image} -m {mask}`. No shell interprets it.

    Returns:
        bool `[*spatial]`, or None without mask and command.

    Raises:
        InputError: an unusable or empty mask, or a command that fails.
    """
    if mask is not None:
        return mask_on(image, mask)
    if not command:
        return None
    if "{image}" not in command or "{mask}" not in command:
        raise InputError(
            f"--strip_command holds {{image}} and {{mask}}, where the two files go, as in 'mri_synthstrip -i {{image}} "
            f"-m {{mask}}'; got {command!r}."
        )
    if image.volume is None or not image.volume.path.is_file():
        raise InputError(f"--strip_command reads a file, but {image.name} has none. Give a mask instead.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mask.nii.gz"
        files = {"{image}": str(image.volume.path), "{mask}": str(path)}
        words = [_filled(word, files) for word in _words(command)]
        logging.info("Skull stripping: %s", shlex.join(words))
        _run(words, path)
        return mask_on(image, path)


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise InputError(f"--strip_command {command!r}: {error}.") from None


def _filled(word: str, files: dict[str, str]) -> str:
    for name, path in files.items():
        word = word.replace(name, path)
    return word


def _run(words: list[str], mask: Path) -> None:
    try:
        done = subprocess.run(words, capture_output=True, text=True)
    except OSError as error:
        raise InputError(f"--strip_command: {words[0]} cannot be run ({error}).") from None
    if done.returncode or not mask.is_file():
        message = (done.stderr or done.stdout).strip()[-500:] or "It said nothing."
        reason = f"ended with {done.returncode}" if done.returncode else "wrote no mask"
        raise InputError(f"--strip_command: {shlex.join(words)} {reason}. {message}")
