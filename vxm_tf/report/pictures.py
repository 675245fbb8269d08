"""Still pictures of the HTML page: PNG images within the HTML, one for each view of a plane."""

import base64
import io

import numpy as np
from PIL import Image
from skimage.transform import resize

from vxm_tf.report.colours import JACOBIAN, JACOBIAN_LIMIT, JACOBIAN_SHOWN, UNCERTAINTY, jacobian_codes, linear_codes
from vxm_tf.report.contents import ReportContents
from vxm_tf.report.planes import Plane, slice_of
from vxm_tf.report.warped_grid import grid_lines

# Longest side of a still picture; the viewer shows every voxel.
LONGEST = 256
SQUARES = 8


def still_views(contents: ReportContents, plane: Plane) -> dict[str, np.ndarray]:
    """The middle slice of a plane in every view: `{caption: uint8 [rows, columns] or [rows, columns, 3]}`.

    Args:
        contents: the arrays to show.
        plane: one of `planes_of`.
    """
    moving, fixed, moved = (
        slice_of(linear_codes(volume, 0.0, 1.0), plane) for volume in (contents.moving, contents.fixed, contents.moved)
    )
    index = None if plane.axis is None else contents.fixed.shape[plane.axis] // 2
    determinant, folded = (slice_of(volume, plane, index) for volume in (contents.jacobian, contents.folded))
    views = {
        "moving": moving,
        "fixed": fixed,
        "moved": moved,
        "checkerboard": checkerboard(fixed, moved),
        "difference before": difference(moving, fixed),
        "difference after": difference(moved, fixed),
        "warped grid": np.round(255 * grid_lines(contents.displacement, plane)).astype("uint8"),
        "Jacobian determinant": JACOBIAN[jacobian_codes(determinant, folded)],
    }
    if contents.uncertainty_mm is not None:
        top = float(contents.uncertainty_mm.max())
        views["uncertainty"] = UNCERTAINTY[slice_of(linear_codes(contents.uncertainty_mm, 0.0, top), plane)]
    return views


def colour_bars(contents: ReportContents) -> list[tuple[str, np.ndarray]]:
    """The colour bars of all maps: (caption, uint8 `[1, 256, 3]`) for each, with the smallest value at the left."""
    half, twice = (128 + round(sign * 127 * JACOBIAN_SHOWN / JACOBIAN_LIMIT) for sign in (-1, 1))
    caption = "Jacobian determinant: ½ or less, 1, 2 or more; pink fails the certificate"
    bars = [(caption, JACOBIAN[np.linspace(half, twice, 256).round().astype(int)][None])]
    if contents.uncertainty_mm is not None:
        bars.append((f"uncertainty: 0 to {float(contents.uncertainty_mm.max()):.3g} mm", UNCERTAINTY[None]))
    return bars


def difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The absolute difference of two grey pictures, uint8."""
    return np.abs(first.astype("int16") - second).astype("uint8")


def checkerboard(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """A checkerboard of two pictures, with `SQUARES` along the longer side and the first picture at the upper left."""
    size = max(1, -(-max(first.shape) // SQUARES))
    rows, columns = (np.arange(length) // size for length in first.shape)
    return np.where((rows[:, None] + columns) % 2 == 0, first, second)


def png(picture: np.ndarray) -> bytes:
    """The PNG file of a picture, uint8 `[rows, columns]` or `[rows, columns, 3]`."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def data_url(picture: np.ndarray) -> str:
    """A picture as a `data:` URL; one with a side longer than `LONGEST` is made smaller first."""
    return "data:image/png;base64," + base64.b64encode(png(within(picture, LONGEST))).decode()


def within(picture: np.ndarray, longest: int) -> np.ndarray:
    """A picture, uint8, made smaller if its longer side has more than `longest` pixels."""
    ratio = longest / max(picture.shape[:2])
    if ratio >= 1.0:
        return picture
    size = (*(max(1, round(ratio * length)) for length in picture.shape[:2]), *picture.shape[2:])
    return np.round(resize(picture, size, anti_aliasing=True, preserve_range=True)).astype("uint8")
