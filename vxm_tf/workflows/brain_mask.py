"""The hook for an external skull stripper: any command that writes a brain mask."""

import shlex
import subprocess
import tempfile
from pathlib import Path

from absl import logging

from vxm_tf.files.errors import VolumeError
from vxm_tf.spatial import SpatialImage, read_spatial_labels


def brain_mask(image: SpatialImage, mask_path: str = "", command: str = ""):
    """The mask of an image, read from a file or made by a command.

    Args:
        image: as it was read.
        mask_path: file of a mask on the image's grid; not 0 is brain.
        command: run where there is no file, with `{image}` and `{mask}` in it, such as
            `mri_synthstrip -i {image} -m {mask}`. No shell interprets it.

    Returns:
        bool `[*spatial]`, or None without file and command.

    Raises:
        VolumeError: an unusable or empty mask, or a command that fails.
    """
    if mask_path:
        return _read(mask_path, image)
    if not command:
        return None
    if "{image}" not in command or "{mask}" not in command:
        raise VolumeError(
            f"--strip_command holds {{image}} and {{mask}}, where the two files go, as in 'mri_synthstrip -i {{image}} "
            f"-m {{mask}}'; got {command!r}."
        )
    with tempfile.TemporaryDirectory() as folder:
        mask = Path(folder) / "mask.nii.gz"
        files = {"{image}": str(image.volume.path), "{mask}": str(mask)}
        words = [_filled(word, files) for word in _words(command)]
        logging.info("Skull stripping: %s", shlex.join(words))
        _run(words, mask)
        return _read(mask, image)


def _words(command):
    try:
        return shlex.split(command)
    except ValueError as error:
        raise VolumeError(f"--strip_command {command!r}: {error}.") from None


def _filled(word, files):
    for name, path in files.items():
        word = word.replace(name, path)
    return word


def _run(words, mask):
    try:
        done = subprocess.run(words, capture_output=True, text=True)
    except OSError as error:
        raise VolumeError(f"--strip_command: {words[0]} cannot be run ({error}).") from None
    if done.returncode or not mask.is_file():
        said = (done.stderr or done.stdout).strip()[-500:] or "It said nothing."
        reason = f"ended with {done.returncode}" if done.returncode else "wrote no mask"
        raise VolumeError(f"--strip_command: {shlex.join(words)} {reason}. {said}")


def _read(path, image):
    mask = read_spatial_labels(path, image, "mask").array != 0
    if not mask.any():
        raise VolumeError(f"{path}: the mask of {image.volume.path} is empty.")
    return mask
