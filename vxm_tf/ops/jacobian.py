"""Local volume change of a deformation."""

from keras import ops

from vxm_tf.ops.differences import central_differences
from vxm_tf.ops.tensors import Tensor
from vxm_tf.ops.voxel_grid import as_float32, check_field


def jacobian_determinant(displacement: Tensor) -> Tensor:
    """Determinant of I + du/dx: local volume after deformation divided by volume before; 0 or less at folds.

    Derivatives are central differences, one-sided at the faces of the volume.

    Args:
        displacement: `[batch, *spatial, ndim]`, in voxels; at least 2 voxels along each axis.

    Returns:
        `[batch, *spatial]`, float32, without unit.

    Raises:
        ValueError: a field whose last axis is not `ndim`, or an axis with fewer than 2 voxels.
    """
    ndim = check_field(displacement, min_size=2)
    displacement = as_float32(displacement)
    columns = [central_differences(displacement, axis + 1) for axis in range(ndim)]
    matrix = [[columns[j][..., i] + float(i == j) for j in range(ndim)] for i in range(ndim)]
    return determinant(matrix)


def determinant(matrix: list[list[Tensor]]) -> Tensor:
    """Determinant, element by element, of a matrix whose entries are tensors; Laplace expansion along the first row."""
    if len(matrix) == 1:
        return matrix[0][0]
    total = ops.zeros_like(matrix[0][0])
    for j, entry in enumerate(matrix[0]):
        minor = [row[:j] + row[j + 1 :] for row in matrix[1:]]
        total = total + (-1) ** j * entry * determinant(minor)
    return total
