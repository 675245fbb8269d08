"""Conversion between ITK's kinds of transforms, in LPS millimetres, and our matrices and displacement fields, in RAS.

ITK maps points as we do, from fixed to moving space. A transform with a matrix is y = M (x - c) + c + t, where the
centre c is in the fixed parameters. Source: the order of parameters in the documentation of ITK's classes; each kind
is tested against SimpleITK.
"""

import dataclasses
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from vxm_tf.files.errors import InputError
from vxm_tf.spatial.grid import Grid
from vxm_tf.spatial.transforms import AffineTransform, DisplacementField, Part

# Matrix [n, n] and translation [n].
_MatrixAndShift: TypeAlias = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class ItkRecord:
    """One transform in the form in which ITK stores it.

    Attributes:
        name: class, precision and numbers of axes, such as "AffineTransform_double_3_3".
        parameters: float `[p]`.
        fixed: fixed parameters, float `[f]`.
    """

    name: str
    parameters: np.ndarray
    fixed: np.ndarray

    @property
    def kind(self) -> str:
        """The name of ITK's class, without precision and numbers of axes."""
        return self.name.split("_")[0]

    @property
    def ndim(self) -> int:
        """Number of axes.

        Raises:
            InputError: a name that does not end in 2 or 3 axes.
        """
        end = self.name.rsplit("_", 1)[-1]
        if end not in ("2", "3"):
            raise InputError(f"{self.name!r} is no ITK transform of two or three axes.")
        return int(end)


def turned(vectors: ArrayLike) -> np.ndarray:
    """Vectors `[..., ndim]` converted from RAS to LPS or back: a copy with the first two components negated."""
    copy = np.array(vectors)
    copy[..., :2] *= -1
    return copy


def turned_affine(matrix: np.ndarray) -> np.ndarray:
    """A homogeneous matrix converted from a map of RAS coordinates to a map of LPS coordinates or back."""
    signs = np.array([-1.0, -1.0, *[1.0] * (len(matrix) - 2)])
    # Adding 0 turns -0 into 0, which is easier to read in text files.
    return signs[:, None] * matrix * signs + 0.0


def to_transform(record: ItkRecord) -> Part:
    """The affine transform or displacement field that a record describes.

    Raises:
        InputError: an unknown kind, or a number of parameters that does not fit the kind.
    """
    if record.kind == "DisplacementFieldTransform":
        return _field(record)
    if record.kind not in _MATRICES:
        known = ", ".join(["DisplacementFieldTransform", *_MATRICES])
        raise InputError(
            f"holds a {record.name}, which is not read; known are {known}. Turn it into a displacement field, for "
            "example by SimpleITK.TransformToDisplacementField or antsApplyTransforms -o [field.nii.gz,1]."
        )
    n = record.ndim
    count, matrix_of = _MATRICES[record.kind]
    if len(record.parameters) != count(n):
        raise InputError(f"a {record.name} has {count(n)} parameters; got {len(record.parameters)}.")
    matrix, translation = matrix_of(np.asarray(record.parameters, "float64"), n, record.fixed)
    centre = np.asarray(record.fixed[:n], "float64") if len(record.fixed) >= n else np.zeros(n)
    whole = np.eye(n + 1)
    whole[:n, :n], whole[:n, n] = matrix, translation + centre - matrix @ centre
    return AffineTransform(turned_affine(whole))


def _field(record: ItkRecord) -> DisplacementField:
    n, fixed = record.ndim, np.asarray(record.fixed, "float64")
    if len(fixed) != 3 * n + n * n:
        raise InputError(f"a {record.name} has {3 * n + n * n} fixed parameters; got {len(fixed)}.")
    sizes, origin, spacing = (fixed[i * n : (i + 1) * n] for i in range(3))
    shape = tuple(int(size) for size in sizes)
    if len(record.parameters) != n * np.prod(shape):
        raise InputError(f"a field on a grid {shape} has {n * np.prod(shape)} values; got {len(record.parameters)}.")
    affine = np.eye(n + 1)
    affine[:n, :n], affine[:n, n] = fixed[3 * n :].reshape(n, n) * spacing, origin
    affine[:2] *= -1
    vectors = np.moveaxis(np.reshape(record.parameters, (n, *shape), order="F"), 0, -1)
    return DisplacementField(Grid(shape, affine), turned(np.ascontiguousarray(vectors, "float32")), outside="zero")


def to_record(transform: Part) -> ItkRecord:
    """The record of an affine transform or displacement field, in double precision."""
    n = transform.ndim
    if isinstance(transform, AffineTransform):
        matrix = turned_affine(transform.matrix)
        parameters = np.concatenate([matrix[:n, :n].ravel(), matrix[:n, n]])
        return ItkRecord(f"AffineTransform_double_{n}_{n}", parameters, np.zeros(n))
    grid = transform.grid
    affine = np.array(grid.affine)
    affine[:2] *= -1
    direction = affine[:n, :n] / np.array(grid.spacing_mm)
    fixed = np.concatenate([grid.shape, affine[:n, n], grid.spacing_mm, direction.ravel()])
    vectors = turned(np.asarray(transform.displacement_mm, "float64"))
    parameters = np.moveaxis(vectors, -1, 0).ravel(order="F")
    return ItkRecord(f"DisplacementFieldTransform_double_{n}_{n}", parameters, fixed)


def _affine(p: np.ndarray, n: int, fixed: np.ndarray) -> _MatrixAndShift:
    return p[: n * n].reshape(n, n), p[n * n :]


def _turn_2d(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _turn(axis: int, angle: float) -> np.ndarray:
    matrix = np.eye(3)
    others = [i for i in range(3) if i != axis]
    # A positive rotation about y goes from z to x.
    matrix[np.ix_(others, others)] = _turn_2d(-angle if axis == 1 else angle)
    return matrix


def _euler(p: np.ndarray, n: int, fixed: np.ndarray) -> _MatrixAndShift:
    x, y, z = (_turn(axis, p[axis]) for axis in range(3))
    zyx = len(fixed) > 3 and fixed[3] != 0
    return (z @ y @ x if zyx else z @ x @ y), p[3:]


def _versor(p: np.ndarray) -> np.ndarray:
    """The rotation matrix of a unit quaternion, from the three components of its vector part."""
    x, y, z = p[:3]
    w = np.sqrt(max(0.0, 1 - x * x - y * y - z * z))
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def _skewed(p: np.ndarray, n: int, fixed: np.ndarray) -> _MatrixAndShift:
    skew = np.eye(3)
    skew[0, 1], skew[0, 2], skew[1, 2] = p[9:]
    return _versor(p) @ np.diag(p[6:9]) @ skew, p[3:6]


def _scale_skew_versor(p: np.ndarray, n: int, fixed: np.ndarray) -> _MatrixAndShift:
    # ITK adds scales and skews to the rotation rather than multiplying them.
    matrix = _versor(p) + np.diag(p[6:9] - 1)
    if len(p) > 9:
        matrix[~np.eye(3, dtype=bool)] += p[9:]
    return matrix, p[3:6]


# Kind -> (number of parameters for n axes, (parameters, n, fixed parameters) -> (matrix, translation)).
_MATRICES: dict[str, tuple[Callable[[int], int], Callable[[np.ndarray, int, np.ndarray], _MatrixAndShift]]] = {
    "AffineTransform": (lambda n: n * n + n, _affine),
    "MatrixOffsetTransformBase": (lambda n: n * n + n, _affine),
    "Rigid3DTransform": (lambda n: 12, _affine),
    "Euler3DTransform": (lambda n: 6, _euler),
    "Euler2DTransform": (lambda n: 3, lambda p, n, fixed: (_turn_2d(p[0]), p[1:])),
    "Rigid2DTransform": (lambda n: 3, lambda p, n, fixed: (_turn_2d(p[0]), p[1:])),
    "Similarity2DTransform": (lambda n: 4, lambda p, n, fixed: (p[0] * _turn_2d(p[1]), p[2:])),
    "VersorTransform": (lambda n: 3, lambda p, n, fixed: (_versor(p), np.zeros(3))),
    "VersorRigid3DTransform": (lambda n: 6, lambda p, n, fixed: (_versor(p), p[3:])),
    "Similarity3DTransform": (lambda n: 7, lambda p, n, fixed: (p[6] * _versor(p), p[3:6])),
    "ScaleVersor3DTransform": (lambda n: 9, _scale_skew_versor),
    "ScaleSkewVersor3DTransform": (lambda n: 15, _scale_skew_versor),
    "ComposeScaleSkewVersor3DTransform": (lambda n: 12, _skewed),
    "ScaleTransform": (lambda n: n, lambda p, n, fixed: (np.diag(p), np.zeros(n))),
    "TranslationTransform": (lambda n: n, lambda p, n, fixed: (np.eye(n), p)),
    "IdentityTransform": (lambda n: 0, lambda p, n, fixed: (np.eye(n), np.zeros(n))),
}
