"""Still pictures decode to the very slices that they are named after."""

import base64
import io

import numpy as np
import pytest
from skimage.io import imread

from vxm_tf.report.colours import FOLDED, JACOBIAN, UNCERTAINTY
from vxm_tf.report.pictures import LONGEST, checkerboard, data_url, still_views
from vxm_tf.report.planes import planes_of, slice_of


def decoded(url):
    head, data = url.split(",")
    assert head == "data:image/png;base64"
    return imread(io.BytesIO(base64.b64decode(data)))


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3)])
def test_a_picture_is_its_own_png(rng, shape):
    picture = rng.integers(0, 256, shape).astype("uint8")
    np.testing.assert_array_equal(decoded(data_url(picture)), picture)


def test_a_large_picture_becomes_smaller_in_proportion(rng):
    picture = rng.integers(0, 256, (2 * LONGEST, LONGEST)).astype("uint8")
    assert decoded(data_url(picture)).shape == (LONGEST, LONGEST // 2)


def test_planes_are_turned_as_in_a_viewer():
    """A mark at the far right, front and top of a RAS volume."""
    volume = np.zeros((5, 6, 7))
    volume[4, 5, 6] = 1
    marks = {plane.name: np.argwhere(slice_of(volume, plane, -1)).tolist() for plane in planes_of(3, True)}
    # Right and anterior, right and superior, anterior and superior: the upper right corner of each.
    assert marks == {"axial": [[0, 4]], "coronal": [[0, 4]], "sagittal": [[0, 5]]}


def test_letters_lie_on_the_sides_where_the_axes_point():
    for plane in planes_of(3, True):
        right, top = plane.letters[1], plane.letters[2]
        assert (right, top) == ("RAS"[plane.across], "RAS"[plane.up])


def test_the_middle_slices_are_shown(contents):
    shown = contents()
    for plane in planes_of(3, True):
        index = shown.fixed.shape[plane.axis] // 2
        expected = np.round(255 * np.take(shown.fixed, index, axis=plane.axis)).T[::-1]
        np.testing.assert_array_equal(still_views(shown, plane)["fixed"], expected)


def test_differences_are_those_before_and_after(contents):
    values = {"moving": 0.2, "fixed": 0.6, "moved": 0.5}
    grey = {name: np.full((9, 10, 11), value, "float32") for name, value in values.items()}
    views = still_views(contents(**grey), planes_of(3, True)[0])
    assert (views["difference before"] == 102).all() and np.all(np.abs(views["difference after"] - 25.5) <= 1)


def test_a_fold_is_pink_and_no_change_is_dark(contents):
    shown = contents()
    folded = np.zeros(shown.fixed.shape, bool)
    middle = tuple(size // 2 for size in folded.shape)
    folded[middle] = True
    for plane in planes_of(3, True):
        view = still_views(contents(folded=folded), plane)["Jacobian determinant"]
        assert (view == FOLDED).all(axis=-1).sum() == 1
        np.testing.assert_array_equal(view[0, 0], JACOBIAN[128])


def test_uncertainty_gets_lighter_as_it_grows(contents):
    spread = np.zeros((9, 10, 11), "float32")
    spread[..., 5:] = 2.0
    view = still_views(contents(uncertainty_mm=spread), planes_of(3, True)[1])["uncertainty"]
    np.testing.assert_array_equal(np.unique(view.reshape(-1, 3), axis=0), np.unique(UNCERTAINTY[[0, 255]], axis=0))
    assert np.all(np.diff(UNCERTAINTY.sum(axis=-1, dtype=int)) >= 0)


def test_a_checkerboard_has_the_first_image_at_the_upper_left():
    board = checkerboard(np.full((16, 16), 9, "uint8"), np.zeros((16, 16), "uint8"))
    assert (board[:2, :2] == 9).all() and not board[:2, 2:4].any() and (board[2:4, 2:4] == 9).all()


def test_a_slice_of_2_d_is_itself(rng):
    image = rng.random((4, 5))
    np.testing.assert_array_equal(slice_of(image, planes_of(2, True)[0]), image)
