"""ITK's and ANTs' transform files: dense NIfTI, composite .h5, and affine .mat, .txt and .tfm.

Points go from fixed to moving space in LPS millimetres (x to the left, y to the back). Beyond its grid a field moves
nothing, so what is read here has `outside="zero"`.
"""

import warnings
from pathlib import Path

import h5py
import numpy as np
import scipy.io

from vxm_tf.files.atomic import replace_atomically
from vxm_tf.files.errors import InputError
from vxm_tf.files.json_file import write_text
from vxm_tf.spatial.formats.itk_kinds import ItkRecord, to_record, to_transform, turned
from vxm_tf.spatial.formats.nifti_fields import DISPLACEMENT_VECTOR, VECTOR, read_vectors, write_vectors
from vxm_tf.spatial.formats.parts import affine_for, zero_outside_parts
from vxm_tf.spatial.formats.reading import reading
from vxm_tf.spatial.grid import Grid
from vxm_tf.spatial.transforms import Chain, DisplacementField, dense

_TEXT_BANNER = "#Insight Transform File V1.0"
# ITK wrote "Tranform" until version 5.
_HDF5_NAMES = ("TransformParameters", "TranformParameters"), ("TransformFixedParameters", "TranformFixedParameters")


def read_itk(path):
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


def write_itk(path, transform, fixed_grid: Grid):
    """Write a transform as ITK and ANTs read it.

    Args:
        path: `.nii` or `.nii.gz` for one displacement field on the fixed grid, float32; `.h5` for the parts as they
            are, in double precision; `.mat`, `.txt` or `.tfm` for one matrix.
        transform: any; affine throughout for a matrix.
        fixed_grid: of the fixed image. With two axes they are taken as R and A: an axial plane.

    Warns (`UserWarning`) if a `.nii` of the same name lies beside a `.nii.gz`, because ITK then reads the former.

    Raises:
        InputError: a field where a matrix is asked for, a sheared grid in NIfTI, or a place that cannot be written.
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


def _warn_of_twin(path):
    twin = Path(str(path)[:-3])
    if twin.suffix.lower() == ".nii" and twin.exists():
        warnings.warn(
            f"{path}: beside it lies {twin.name}, which ITK and ANTs read in its place. Move one of them.", stacklevel=4
        )


def is_itk_matlab(path) -> bool:
    """Whether a `.mat` file is ITK's binary one rather than a text with numbers, such as FLIRT's."""
    with open(path, "rb") as file:
        start = file.read(4096)
    try:
        np.array(start.decode("ascii").split(), "float64")
    except ValueError:
        return True
    return not start.strip()


def _read_field(path):
    vectors, grid, intent = read_vectors(path, "5-D")
    if intent not in (VECTOR, DISPLACEMENT_VECTOR):
        raise InputError(
            f"ITK's displacement fields have the intent {VECTOR} (vector); got {intent}. If the file is another "
            "tool's, say which format it has."
        )
    # ITK takes vectors with NIfTI's intent for displacements as RAS, those without a meaning as they are.
    return DisplacementField(grid, vectors if intent == DISPLACEMENT_VECTOR else turned(vectors), outside="zero")


def _from_queue(records):
    """ITK keeps the transforms of a composite in a queue of which the last takes a point first."""
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


def _hdf5_records(path):
    with h5py.File(path) as file:
        if "TransformGroup" not in file:
            raise InputError(f"has no TransformGroup; it holds {', '.join(file) or 'nothing'}.")
        groups = file["TransformGroup"]
        return [_hdf5_record(groups[name]) for name in sorted(groups, key=int)]


def _hdf5_record(group):
    parameters, fixed = (next((group[n][()] for n in names if n in group), np.zeros(0)) for names in _HDF5_NAMES)
    name = group["TransformType"][()]
    name = name[0] if isinstance(name, np.ndarray) else name
    return ItkRecord(name.decode() if isinstance(name, bytes) else str(name), parameters, fixed)


def _write_hdf5(path, records):
    ndim = records[0].ndim
    composite = ItkRecord(f"CompositeTransform_double_{ndim}_{ndim}", np.zeros(0), np.zeros(0))

    def save(temporary):
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


def _packed(parameters):
    # Every HDF5 library can undo both; of float32 values in float64 half the bytes are zero.
    return {"compression": "gzip", "compression_opts": 1, "shuffle": True} if len(parameters) > 64 else {}


def _text_array(text):
    return np.array([text.encode()], h5py.string_dtype("ascii"))


def _matlab_records(path):
    values = {name: np.ravel(value) for name, value in scipy.io.loadmat(path).items() if not name.startswith("__")}
    fixed = values.pop("fixed", np.zeros(0))
    if len(values) != 1:
        raise InputError(f"expected one ITK transform; got {', '.join(values) or 'none'}.")
    return [ItkRecord(name, parameters, fixed) for name, parameters in values.items()]


def _write_matlab(path, record):
    values = {record.name: record.parameters[:, None], "fixed": record.fixed[:, None]}
    replace_atomically(path, lambda temporary: scipy.io.savemat(temporary, values, format="4"))


def _text_records(path):
    lines = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines or not lines[0].startswith("#Insight Transform File"):
        raise InputError(f"expected a text that begins with {_TEXT_BANNER!r}.")
    records = []
    for line in lines[1:]:
        key, _, value = line.partition(":")
        if key == "Transform":
            records.append({"name": value.strip(), "parameters": np.zeros(0), "fixed": np.zeros(0)})
        elif key in ("Parameters", "FixedParameters") and records:
            records[-1]["parameters" if key == "Parameters" else "fixed"] = np.array(value.split(), "float64")
    return [ItkRecord(**record) for record in records]


def _text(record):
    parameters, fixed = (" ".join(repr(float(v)) for v in values) for values in (record.parameters, record.fixed))
    head = f"{_TEXT_BANNER}\n#Transform 0\nTransform: {record.name}\n"
    return f"{head}Parameters: {parameters}\nFixedParameters: {fixed}\n"
