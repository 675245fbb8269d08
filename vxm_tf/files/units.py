"""Lengths in headers, in millimetres."""

import nibabel

from vxm_tf.files.errors import VolumeError

# Of length, by NIfTI's code: name and millimetres.
UNITS = {0: ("unknown", 1.0), 1: ("meter", 1000.0), 2: ("mm", 1.0), 3: ("micron", 0.001)}


def unit_of(header) -> tuple[str, float]:
    """(name, millimetres) of a NIfTI header's unit of length, whatever it says of time.

    Raises:
        VolumeError: a code that NIfTI does not know.
    """
    code = int(header["xyzt_units"]) % 8
    if code not in UNITS:
        names = ", ".join(f"{number} ({name})" for number, (name, _) in UNITS.items())
        raise VolumeError(f"its header's unit of length has code {code}; expected one of {names}.")
    return UNITS[code]


def header_spacing_mm(path, image) -> tuple:
    """Voxel size of the first axes, three at most, of an image that nibabel has opened.

    Raises:
        VolumeError: a unit of length that NIfTI does not know.
    """
    sizes = image.header.get_zooms()[:3]
    try:
        mm_per_unit = unit_of(image.header)[1] if isinstance(image, nibabel.Nifti1Image) else 1.0
    except VolumeError as error:
        raise VolumeError(f"{path}: {error}") from None
    return tuple(float(size) * mm_per_unit for size in sizes)
