"""The Jacobian determinant of a trilinear map as a polynomial in Bernstein form, for many cubes at once.

Within a cube, each derivative of a trilinear map is linear along the two other axes, so the determinant has degree 2
along each axis: 27 coefficients. It lies between the smallest and the largest coefficient, and equals the 8 outer
coefficients at the corners of the cube.
"""

import itertools

import numpy as np

DEGREE_2 = (1.0, 0.5, 1.0)
"""Factor of the product of two linear Bernstein polynomials, by the index of the quadratic one that it yields."""


def coefficients(corners: np.ndarray) -> np.ndarray:
    """Bernstein coefficients of the Jacobian determinant of x + u(x), u interpolated trilinearly in each cube.

    Args:
        corners: displacement `[2, 2, 2, 3, cubes]` at the corners of each cube, float64, in voxels.

    Returns:
        `[3, 3, 3, cubes]`, without unit; all are 1 where nothing is deformed.
    """
    first, second, third = edges(corners)
    result = np.zeros((3, 3, 3, corners.shape[-1]))
    for a, k, j in itertools.product(range(3), range(2), range(2)):
        pairs = [(i, a - i) for i in (0, 1) if 0 <= a - i <= 1]
        normal = [DEGREE_2[a] * sum(parts) for parts in zip(*(_cross(second[i, k], third[m, j]) for i, m in pairs))]
        for n, m in itertools.product(range(2), repeat=2):
            value = first[n, m, 0] * normal[0] + first[n, m, 1] * normal[1] + first[n, m, 2] * normal[2]
            result[a, n + j, m + k] += DEGREE_2[n + j] * DEGREE_2[m + k] * value
    return result


def rounding_errors(corners: np.ndarray) -> np.ndarray:
    """More than the rounding error of any of the `coefficients` of each cube, `[cubes]`."""
    # 1 is the undeformed edge, whose sum with a difference of displacements is rounded too.
    longest = [1.0 + np.abs(part).sum(axis=2).max(axis=(0, 1)) for part in edges(corners)]
    return 1e-14 * longest[0] * longest[1] * longest[2]


def halved(coefficients: np.ndarray) -> np.ndarray:
    """Coefficients of the 8 halves of each box, by de Casteljau's algorithm.

    Args:
        coefficients: `[3, 3, 3, boxes]`.

    Returns:
        `[3, 3, 3, 8 * boxes]`: first those halves of all boxes that begin at `HALVES[0]`, then `HALVES[1]`, and so on.
    """
    for axis in (2, 1, 0):
        first, middle, last = np.moveaxis(coefficients, axis, 0)
        left, right = 0.5 * (first + middle), 0.5 * (middle + last)
        centre = 0.5 * (left + right)
        both = (np.stack((first, left, centre)), np.stack((centre, right, last)))
        coefficients = np.moveaxis(np.concatenate(both, axis=-1), 0, axis)
    return coefficients


HALVES = 0.5 * np.array(list(itertools.product((0, 1), repeat=3))).T
"""Lowest corner of each half in a box of size 1, `[3, 8]`, in the order of `halved`."""


def edges(corners: np.ndarray) -> list[np.ndarray]:
    """The 4 edges along each axis after deformation: three arrays `[2, 2, 3, cubes]`, for 3-D corners."""
    along = [np.diff(corners, axis=axis).squeeze(axis) for axis in range(3)]
    for axis, part in enumerate(along):
        part[:, :, axis] += 1.0
    return along


def _cross(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
