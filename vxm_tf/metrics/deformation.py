"""Regularity of a displacement: its local change of volume, and where it folds."""

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

# The gradients of a whole volume take nine times its memory; slabs of this many voxels stay in the processor's cache.
_SLAB_VOXELS = 2**18

# Edges from a voxel to the far corners of the simplices that are not at a corner of a voxel cube: none in 1-D and 2-D;
# in 3-D the tetrahedron in the middle of the cube behind the voxel and of the cube ahead.
_MIDDLE_SIMPLICES: dict[int, dict[str, list[tuple[int, int, int]]]] = {
    1: {},
    2: {},
    3: {
        "1*": [(-1, -1, 0), (-1, 0, -1), (0, -1, -1)],
        "2*": [(1, 1, 0), (0, 1, 1), (1, 0, 1)],
    },
}
_MIDDLE_DETERMINANT = 2


def jacobian_determinant(displacement: np.ndarray) -> np.ndarray:
    """Determinant of I + du/dx, the local change of volume of x + u(x).

    Derivatives are central differences, and one-sided at the border of the image (`numpy.gradient`).

    Args:
        displacement: `[*spatial, ndim]`, 1 to 3 axes, in voxels, `ij` order.

    Returns:
        `[*spatial]`, float32 (float64 for a float64 displacement), without unit: 1 where volume is kept, 0 or less at
        folds.

    Raises:
        ValueError: a shape that is not `[*spatial, ndim]`, an axis of less than 2 voxels, or values that
            are not finite.

    Example:

    >>> import numpy as np
    >>> from vxm_tf import metrics
    >>> stretch = np.zeros((4, 5, 2), "float32")
    >>> stretch[..., 0] = 0.5 * np.arange(4)[:, None]
    >>> float(metrics.jacobian_determinant(stretch)[2, 3])
    1.5
    """
    displacement = _check_displacement(displacement)
    *shape, ndim = displacement.shape
    determinant = np.empty(shape, dtype=displacement.dtype)
    for start, stop in _slabs(shape):
        # One more slice on either side, so that differences are one-sided at the border of the image only.
        first, last = max(start - 1, 0), min(stop + 1, shape[0])
        components = _components_first(displacement[first:last])
        jacobian = [[np.gradient(u, axis=axis) for axis in range(ndim)] for u in components]
        for axis in range(ndim):
            jacobian[axis][axis] += 1.0
        determinant[start:stop] = _determinant(jacobian)[start - first : stop - first]
    return determinant


def fold_fraction(displacement: np.ndarray) -> float:
    """Fraction of voxels, 0 to 1, where `jacobian_determinant` is 0 or less.

    All voxels of the image count, including those at its border. Central differences leave out the voxel itself, so
    0 does not prove that nothing folds: see `non_diffeomorphic_volume`.

    Args:
        displacement: `[*spatial, ndim]`, in voxels.

    Raises:
        ValueError: see `jacobian_determinant`.
    """
    return float(np.mean(jacobian_determinant(displacement) <= 0.0))


def log_jacobian_std(displacement: np.ndarray) -> float:
    """Standard deviation over all voxels of the natural logarithm of `jacobian_determinant`.

    Determinants are clipped to at least 1e-9 before the logarithm, so each folded voxel counts as
    log(1e-9) = -20.7 and a few of them dominate the result. This is SDlogJ as Learn2Reg defines it (Hering
    et al., TMI 2023). The challenge's own code takes log(max(determinant + 3, 1e-9)) and leaves out the
    two outermost voxels of each side: its numbers are smaller and cannot be compared with these.

    Args:
        displacement: `[*spatial, ndim]`, in voxels.

    Raises:
        ValueError: see `jacobian_determinant`.
    """
    determinant = jacobian_determinant(displacement)
    return float(np.log(np.maximum(determinant, 1e-9)).std(dtype=np.float64))


def non_diffeomorphic_volume(displacement: np.ndarray, precision: str | None = None) -> float:
    """Volume of the voxel grid that x + u(x) turns inside out, divided by the volume of the image.

    A cube between 8 neighbouring voxels is cut into 5 tetrahedra, 4 at corners and 1 in the middle, in
    either of 2 mirrored ways. A deformation that is linear within each tetrahedron is not a digital
    diffeomorphism if a tetrahedron gets a negative signed volume. With V the signed volume after deformation,

        NDV = 1/2 * sum over the tetrahedra of both ways of max(-V, 0) / number of voxels

    in voxel volumes (Liu et al., "On Finite Difference Jacobian Computation in Deformable Image
    Registration", IJCV 2024, arXiv 2212.06060). In 2-D the sum runs over the 4 triangles at the corners of each square,
    from both ways of cutting it, and measures area.

    The sum runs over voxels: each contributes the corner tetrahedra of its 8 cubes and the middle tetrahedra of the
    cube ahead and of the cube behind. The displacement continues beyond the image as its nearest edge value, so border
    voxels count cubes half outside. The sum and the number of voxels are those of the authors' package
    digital-diffeomorphism 1.1.1, whose percentage is 100 times this value. (The authors' earlier script, which
    challenges use, sums over the voxels that are not on the border, and divides by their number.)

    Args:
        displacement: `[*spatial, ndim]`, 1 to 3 axes, in voxels, `ij` order.
        precision: NumPy type of the determinants; None for float32, or float64 for a float64 displacement.

    Returns:
        Without unit: 0 for a digital diffeomorphism; no upper limit, since tetrahedra grow as they turn inside out.

    Raises:
        ValueError: see `jacobian_determinant`.

    Example: one voxel jumps over its neighbour, which central differences at that voxel do not show.

    >>> import numpy as np
    >>> from vxm_tf import metrics
    >>> displacement = np.zeros((5, 5, 2), "float32")
    >>> displacement[2, 2, 0] = 2.0
    >>> metrics.non_diffeomorphic_volume(displacement)
    0.04
    """
    displacement = np.asarray(displacement)
    inverted = 0.0
    for name, _, determinant in simplex_determinants(displacement, precision):
        undeformed = _MIDDLE_DETERMINANT if name.endswith("*") else 1
        inverted -= undeformed * float(np.minimum(determinant, 0.0).sum(dtype=np.float64))
    *shape, ndim = displacement.shape
    return 0.5 * inverted / math.factorial(ndim) / math.prod(shape)


def simplex_determinants(
    displacement: np.ndarray, precision: str | None = None
) -> Iterator[tuple[str, slice, np.ndarray]]:
    """The finite-difference Jacobian determinants that are above 0 everywhere in a digital diffeomorphism.

    Each is the signed volume of a simplex of `non_diffeomorphic_volume` after deformation, divided by its volume
    before. They have the names of Liu et al. (IJCV 2024): "+-+" takes forward differences along the first and the third
    axis and backward ones along the second, so there are 2^ndim; in 3-D also "1*" and "2*", for the tetrahedra in the
    middle of the cube behind and of the cube ahead (whose determinants the paper does not divide by 2, the value
    without deformation). The displacement continues beyond the image as its nearest edge value.

    Args:
        displacement: `[*spatial, ndim]`, 1 to 3 axes, in voxels, `ij` order.
        precision: NumPy type to compute in; None for float32, or float64 for a float64 displacement.

    Yields:
        (name, slice of the first axis, determinant `[slice, *spatial[1:]]`, float32 or float64, without unit):
        every name for every slab. Determinants are 1 where volume is kept, 0 or less at folds.

    Raises:
        ValueError: see `jacobian_determinant`.

    Example:

    >>> import numpy as np
    >>> from vxm_tf import metrics
    >>> still = np.zeros((5, 6, 2), "float32")
    >>> [(name, float(determinant.min())) for name, _, determinant in metrics.simplex_determinants(still)]
    [('++', 1.0), ('+-', 1.0), ('-+', 1.0), ('--', 1.0)]
    """
    displacement = _check_displacement(displacement)
    *shape, ndim = displacement.shape
    simplices = {
        "".join("+" if sign > 0 else "-" for sign in signs): np.diag(signs)
        for signs in itertools.product((1, -1), repeat=ndim)
    }
    simplices |= {name: np.array(edges) for name, edges in _MIDDLE_SIMPLICES[ndim].items()}
    for start, stop in _slabs(shape):
        part = displacement[max(start - 1, 0) : stop + 1].astype(precision or displacement.dtype, copy=False)
        # Slices beyond the first or the last of the image are copies of it.
        beyond = (int(start == 0), int(stop == shape[0]))
        components = _components_first(np.pad(part, [beyond, *[(1, 1)] * (ndim - 1), (0, 0)], mode="edge"))
        edges = np.unique(np.concatenate(list(simplices.values())), axis=0)
        deformed = {tuple(edge): _deformed_edge(components, edge) for edge in edges}
        for name, edges in simplices.items():
            undeformed = round(np.linalg.det(edges))
            yield name, slice(start, stop), _determinant([deformed[tuple(edge)] for edge in edges]) / undeformed


def _deformed_edge(components: np.ndarray, edge: np.ndarray) -> list[np.ndarray]:
    """edge + u(x + edge) - u(x) for every voxel x that is not outermost, one array per component."""
    inner = tuple(slice(1, size - 1) for size in components.shape[1:])
    ahead = tuple(slice(1 + step, size - 1 + step) for size, step in zip(components.shape[1:], edge, strict=True))
    return [u[ahead] - u[inner] + u.dtype.type(step) for u, step in zip(components, edge, strict=True)]


def _determinant(rows: list[list[np.ndarray]]) -> np.ndarray:
    """Determinant of a matrix of arrays, voxel by voxel, expanded along its first row."""
    if len(rows) == 1:
        return rows[0][0]
    total = np.zeros((), rows[0][0].dtype)
    for column, value in enumerate(rows[0]):
        minor = _determinant([row[:column] + row[column + 1 :] for row in rows[1:]])
        total = total + (-1) ** column * value * minor
    return total


def _slabs(shape: Sequence[int]) -> list[tuple[int, int]]:
    """Start and stop index, along the first axis, of slabs that cover the image."""
    thickness = max(1, _SLAB_VOXELS // math.prod(shape[1:]))
    return [(start, min(start + thickness, shape[0])) for start in range(0, shape[0], thickness)]


def _components_first(displacement: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(displacement, -1, 0))


def _check_displacement(displacement: np.ndarray) -> np.ndarray:
    displacement = np.asarray(displacement)
    shape = displacement.shape
    if displacement.ndim - 1 not in _MIDDLE_SIMPLICES or shape[-1] != displacement.ndim - 1:
        raise ValueError(
            f"A displacement has shape [*spatial, ndim], 1 to 3 axes and one component for each; got {shape}. "
            "Metrics take one field: drop the batch axis, or move the components last."
        )
    if min(shape[:-1]) < 2:
        raise ValueError(f"Differences need 2 voxels or more along every axis; got a displacement of shape {shape}.")
    if not np.isfinite(displacement).all():
        num_bad = int(np.count_nonzero(~np.isfinite(displacement)))
        raise ValueError(f"The displacement holds {num_bad} values that are NaN or infinite; a registration failed.")
    return displacement.astype(np.result_type(displacement.dtype, np.float32), copy=False)
