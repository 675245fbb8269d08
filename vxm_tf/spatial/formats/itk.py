"""ITK's and ANTs' transform files: dense NIfTI, composite .h5, and affine .mat, .txt and .tfm.

Points go from fixed to moving space in LPS millimetres (x to the left, y to the back). Beyond its grid a field moves
nothing, so fields are read with `outside="zero"`.
"""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io

from vxm_tf.files.atomic import replace_atomically
from vxm_tf.files.errors import InputError
from vxm_tf.files.json_file import write_text
from vxm_tf.spatial.formats.itk_kinds import ItkRecord, to_record, to_transform, turned
from vxm_tf.spatial.formats.nifti_fields import (
    DISPLACEMENT_VECTOR,
    VECTOR,
    check_displacements,
    read_vectors,
    write_vectors,
)
from vxm_tf.spatial.formats.parts import affine_for, zero_outside_parts
from vxm_tf.spatial.formats.reading import reading
from vxm_tf.spatial.grid import Grid
from vxm_tf.spatial.transforms import Chain, DisplacementField, Transform, dense

_TEXT_BANNER = "#Insight Transform File V1.0"
# ITK before version 5 wrote "Tranform".
_HDF5_NAMES = ("TransformParameters", "TranformParameters"), ("TransformFixedParameters", "TranformFixedParameters")


def read_itk(path: str | os.PathLike) -> Transform:
    """The transform in a file that ITK, SimpleITK or ANTs wrote.

    Args:
        path: `.nii`, `.nii.gz` (displacements), `.h5`, `.hdf5` (composite), `.mat`, `.txt` or `.tfm`.

    Returns:
        An affine transform, a displacement field or a chain.

    Raises:
        InputError: a damaged file, an unknown kind of transform, or values that are not finite.
    """
    name = str(path).lower()
    with reading(path):
        if name.endswith((".nii", ".nii.gz")):
            return _read_field(path)
        if name.endswith((".h5", ".hdf5")):
            return _from_queue(_hdf5_records(path))
        return _from_queue(_matlab_records(path) if name.endswith(".mat") else _text_records(path))


def write_itk(path: str | os.PathLike, transform: Transform, fixed_grid: Grid) -> None:
    """Write a transform in a file for ITK and ANTs.

    Args:
        path: `.nii` or `.nii.gz` for one displacement field on the fixed grid, float32; `.h5` for a composite of the
            transform's parts in double precision; `.mat`, `.txt` or `.tfm` for one matrix.
        transform: the transform, from fixed to moving space; it must be affine for a matrix.
        fixed_grid: grid of the fixed image. A grid with two axes counts as an axial plane, with axes R and A.

    A `UserWarning` is issued if the folder of a `.nii.gz` holds a `.nii` of the same name, which ITK would read
    instead.

    Raises:
        InputError: a dense transform for a matrix file, a sheared grid in NIfTI, or a path that cannot be written.
    """
    name = str(path).lower()
    if name.endswith((".nii", ".nii.gz")):
        _warn_of_twin(path)
        field = dense(transform, fixed_grid)
        write_vectors(path, turned(field.displacement_mm), fixed_grid, "5-D", VECTOR)
    elif name.endswith((".h5", ".hdf5")):
        _write_hdf5(path, [to_record(part) for part in reversed(zero_outside_parts(transform, fixed_grid))])
    elif name.endswith(".mat"):
        _write_matlab(path, to_record(affine_for(path, transform)))
    else:
        write_text(path, _text(to_record(affine_for(path, transform))))


def _warn_of_twin(path: str | os.PathLike) -> None:
    twin = Path(str(path)[:-3])
    if twin.suffix.lower() == ".nii" and twin.exists():
        warnings.warn(
            f"{path}: beside it lies {twin.name}, which ITK and ANTs read in its place. Move one of them.", stacklevel=4
        )


def is_itk_matlab(path: str | os.PathLike) -> bool:
    """Whether a `.mat` file is binary, as ITK's are, rather than a text of numbers, as FLIRT's are."""
    with open(path, "rb") as file:
        start = file.read(4096)
    try:
        np.array(start.decode("ascii").split(), "float64")
    except ValueError:
        return True
    return not start.strip()


def _read_field(path: str | os.PathLike) -> DisplacementField:
    field = read_vectors(path, "5-D")
    if field.intent not in (VECTOR, DISPLACEMENT_VECTOR):
        raise InputError(
            f"ITK's displacement fields have the intent {VECTOR} (vector); got {field.intent}. If the file is another "
            "tool's, say which format it has."
        )
    check_displacements(path, field)
    # ITK converts vectors with NIfTI's intent for displacements from RAS, and takes vectors of intent "vector" as LPS.
    vectors = field.vectors if field.intent == DISPLACEMENT_VECTOR else turned(field.vectors)
    return DisplacementField(field.grid, vectors, outside="zero")


def _from_queue(records: Sequence[ItkRecord]) -> Transform:
    """The transform in a file's records; in ITK's composite, the last transform maps a point first."""
    composite = bool(records) and records[0].kind == "CompositeTransform"
    parts = records[1:] if composite else records
    if not parts:
        raise InputError("holds no transform.")
    if any(record.kind == "CompositeTransform" for record in parts):
        raise InputError("holds a composite within a composite; write it flat, as SimpleITK's FlattenTransform does.")
    if len(parts) > 1 and not composite:
        raise InputError(
            f"holds {len(parts)} transforms that no composite puts in order. Write them one by one, or as a composite."
        )
    transforms = [to_transform(record) for record in reversed(parts)]
    return transforms[0] if len(transforms) == 1 else Chain(tuple(transforms))


def _hdf5_records(path: str | os.PathLike) -> list[ItkRecord]:
    with h5py.File(path) as file:
        if "TransformGroup" not in file:
            raise InputError(f"has no TransformGroup; it holds {', '.join(file) or 'nothing'}.")
        groups = file["TransformGroup"]
        return [_hdf5_record(groups[name]) for name in sorted(groups, key=int)]


def _hdf5_record(group: Any) -> ItkRecord:
    parameters, fixed = (next((group[n][()] for n in names if n in group), np.zeros(0)) for names in _HDF5_NAMES)
    name = group["TransformType"][()]
    name = name[0] if isinstance(name, np.ndarray) else name
    return ItkRecord(name.decode() if isinstance(name, bytes) else str(name), parameters, fixed)


def _write_hdf5(path: str | os.PathLike, records: Sequence[ItkRecord]) -> None:
    ndim = records[0].ndim
    composite = ItkRecord(f"CompositeTransform_double_{ndim}_{ndim}", np.zeros(0), np.zeros(0))

    def save(temporary: str) -> None:
        with h5py.File(temporary, "w") as file:
            for name, text in (("HDFVersion", h5py.version.hdf5_version), ("ITKVersion", "5.0.0"), ("OSName", "")):
                file[name] = _text_array(text)
            for number, record in enumerate([composite, *records]):
                group = file.create_group(f"TransformGroup/{number}")
                group["TransformType"] = _text_array(record.name)
                if record is not composite:
                    group["TransformFixedParameters"] = np.asarray(record.fixed, "float64")
                    group.create_dataset("TransformParameters", data=record.parameters, **_packed(record.parameters))

    replace_atomically(path, save)


def _packed(parameters: np.ndarray) -> dict[str, Any]:
    # Every HDF5 library can decode gzip and shuffle. Half the bytes of float32 values stored as float64 are zero.
    return {"compression": "gzip", "compression_opts": 1, "shuffle": True} if len(parameters) > 64 else {}


def _text_array(text: str) -> np.ndarray:
    return np.array([text.encode()], h5py.string_dtype("ascii"))


def _matlab_records(path: str | os.PathLike) -> list[ItkRecord]:
    values = {name: np.ravel(value) for name, value in scipy.io.loadmat(path).items() if not name.startswith("__")}
    fixed = values.pop("fixed", np.zeros(0))
    if len(values) != 1:
        raise InputError(f"expected one ITK transform; got {', '.join(values) or 'none'}.")
    return [ItkRecord(name, parameters, fixed) for name, parameters in values.items()]


def _write_matlab(path: str | os.PathLike, record: ItkRecord) -> None:
    values = {record.name: record.parameters[:, None], "fixed": record.fixed[:, None]}
    replace_atomically(path, lambda temporary: scipy.io.savemat(temporary, values, format="4"))


def _text_records(path: str | os.PathLike) -> list[ItkRecord]:
    lines = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines or not lines[0].startswith("#Insight Transform File"):
        raise InputError(f"expected a text that begins with {_TEXT_BANNER!r}.")
    records: list[dict[str, Any]] = []
    for line in lines[1:]:
        key, _, value = line.partition(":")
        if key == "Transform":
            records.append({"name": value.strip(), "parameters": np.zeros(0), "fixed": np.zeros(0)})
        elif key in ("Parameters", "FixedParameters") and records:
            records[-1]["parameters" if key == "Parameters" else "fixed"] = np.array(value.split(), "float64")
    return [ItkRecord(**record) for record in records]


def _text(record: ItkRecord) -> str:
    parameters, fixed = (" ".join(repr(float(v)) for v in values) for values in (record.parameters, record.fixed))
    head = f"{_TEXT_BANNER}\n#Transform 0\nTransform: {record.name}\n"
    return f"{head}Parameters: {parameters}\nFixedParameters: {fixed}\n"
