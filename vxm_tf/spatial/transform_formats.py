"""The formats of transform files, and the format of a file by its name and content."""

import os

from vxm_tf.files.errors import InputError
from vxm_tf.spatial.formats import itk, text_matrices, x5
from vxm_tf.spatial.formats.nifti_fields import (
    FSL_COEFFICIENTS,
    FSL_DISPLACEMENT,
    NIFTYREG_NAME,
    SPM_NAME,
    VECTOR,
    signature,
)
from vxm_tf.spatial.formats.reading import reading

NIFTI = (".nii.gz", ".nii")
# Format -> (extensions that hold displacements, extensions that hold one matrix only).
EXTENSIONS_OF: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "itk": ((*NIFTI, ".h5", ".hdf5"), (".mat", ".txt", ".tfm")),
    "fsl": (NIFTI, (".mat", ".txt")),
    "freesurfer": ((".mgz", ".mgh"), (".lta",)),
    "afni": (NIFTI, (".1d",)),
    "x5": ((".x5", ".h5"), ()),
    "greedy": (NIFTI, (".mat", ".txt")),
    "niftyreg": (NIFTI, (".txt", ".mat")),
    "spm": (NIFTI, ()),
}
FORMATS = tuple(EXTENSIONS_OF)
THREE_AXES_ONLY = ("fsl", "freesurfer", "afni", "x5", "spm")


def extension_of(path: str | os.PathLike) -> str | None:
    """A path's extension in lower case if it is one of a transform file, else None."""
    name = str(path).lower()
    known = {extension for kinds in EXTENSIONS_OF.values() for group in kinds for extension in group}
    return next((extension for extension in sorted(known, key=len, reverse=True) if name.endswith(extension)), None)


def format_of(path: str | os.PathLike, format: str | None, exists: bool = False) -> str:
    """The name of the format of a file.

    Args:
        path: the file.
        format: name of a format, which is checked against the file's extension; None decides by the extension.
        exists: whether the file is to be read; if its extension fits several formats, its content decides.

    Raises:
        ValueError: unknown format.
        InputError: an extension that does not fit, or a content that does not tell the format.
    """
    if format is not None and format not in FORMATS:
        raise ValueError(f"format is one of {', '.join(map(repr, FORMATS))}; got {format!r}.")
    extension = extension_of(path)
    fitting = [name for name, kinds in EXTENSIONS_OF.items() if extension in (*kinds[0], *kinds[1])]
    if format and format not in fitting:
        allowed = ", ".join(".1D" if e == ".1d" else e for kinds in EXTENSIONS_OF[format] for e in kinds)
        raise InputError(f"{path}: {format} transforms end in one of {allowed}.")
    if not fitting:
        raise InputError(
            f"{path}: not a transform file that is known; use .nii.gz, .h5, .mat, .txt, .tfm (itk, fsl, greedy, "
            "niftyreg), .mgz, .lta (freesurfer), .1D (afni) or .x5."
        )
    if format or len(fitting) == 1 or not exists:
        return format or fitting[0]
    with reading(path):
        return _format_of_content(path, extension)


def _format_of_content(path: str | os.PathLike, extension: str | None) -> str:
    if extension == ".mat":
        return "itk" if itk.is_itk_matlab(path) else text_matrices.format_of_matrix(path)
    if extension == ".txt":
        return text_matrices.format_of_matrix(path) if text_matrices.is_matrix_text(path) else "itk"
    if extension == ".h5":
        return "x5" if x5.is_x5(path) else "itk"
    intent, name = signature(path)
    if intent == VECTOR:
        return {NIFTYREG_NAME: "niftyreg", SPM_NAME: "spm"}.get(name, "itk")
    if intent in (FSL_DISPLACEMENT, *FSL_COEFFICIENTS):
        return "fsl"
    raise InputError(
        f"its intent {intent} does not tell what its values are ({VECTOR} is ITK's, {FSL_DISPLACEMENT} FSL's). Say "
        "which format it has: itk, fsl, afni, niftyreg or spm."
    )
