"""The picture of a registration shows what it says."""

import numpy as np
import pytest
from PIL import ImageFont
from skimage.io import imread

from vxm_tf.report import registration_panel, write_picture
from vxm_tf.report.panel import WIDEST
from vxm_tf.report.panel_layout import COLUMNS, panel_layout
from vxm_tf.report.planes import planes_of

SHEET, INK, FOLD = (246, 247, 249), (27, 31, 36), (255, 43, 214)
NO_DIFFERENCE, MOST_NEGATIVE, MOST_POSITIVE, DARK_BLUE = (29, 32, 38), (201, 230, 255), (255, 224, 207), (28, 79, 140)


def layout_for(shape, zoom=2, orientation="", spacing=None):
    planes = planes_of(len(shape), bool(orientation))
    return panel_layout(shape, spacing or (1.0,) * len(shape), planes, zoom, WIDEST)


def panes(picture, shape, row=0, **options):
    """{name: `[height, width, 3]`} of one row."""
    boxes = {name: layout_for(shape, **options).box(row, k) for k, name in enumerate(COLUMNS)}
    return {name: picture[top:bottom, left:right] for name, (left, top, right, bottom) in boxes.items()}


def outside(picture, layout):
    """The pixels of the sheet that belong to no pane, `[n, 3]`."""
    rest = np.ones(picture.shape[:2], bool)
    for row in range(len(layout.pictures)):
        for column in range(len(COLUMNS)):
            left, top, right, bottom = layout.box(row, column)
            rest[top:bottom, left:right] = False
    return picture[rest]


def runs(flags):
    """(start, stop) of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(flags, int), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def everywhere(pane, colour):
    return (pane == np.array(colour)).all()


def identity(shape):
    return np.zeros((*shape, len(shape)), "float32")


def grey(shape, *values):
    return [np.full((*shape, 1), value, "float32") for value in values]


@pytest.fixture
def image(rng, shape):
    return rng.random((*shape, 1), dtype="float32")


@pytest.mark.parametrize("size", [(15, 18), (64, 64, 64), (20, 60, 33)])
def test_the_six_columns_are_equally_wide_and_equally_far_apart(size):
    picture = registration_panel(*grey(size, 0.0, 0.0, 0.0), identity(size))
    row = layout_for(size).row_top(0) + layout_for(size).pictures[0][1] // 2
    background = (picture[row] == SHEET).all(axis=-1)
    found = runs(~background)[-6:]
    assert len({stop - start for start, stop in found}) == 1
    assert len({second[0] - first[0] for first, second in zip(found, found[1:], strict=False)}) == 1


@pytest.mark.parametrize("options", [{}, {"orientation": "RAS"}])
def test_nothing_but_the_panes_is_black(options):
    size = (30, 24, 40)
    picture = registration_panel(*grey(size, 0.0, 0.0, 0.0), identity(size), **options)
    around = outside(picture, layout_for(size, **options))
    assert (around.max(axis=-1) >= max(INK)).all()
    assert (around == SHEET).all(axis=-1).mean() > 0.8


def test_each_column_has_its_name_above_it():
    size = (40, 40)
    picture, layout = registration_panel(*grey(size, 0.5, 0.5, 0.5), identity(size)), layout_for(size)
    font = ImageFont.load_default(layout.font_size)
    for column, name in enumerate(COLUMNS):
        left = layout.column_left(column)
        words = picture[: layout.top, left : left + layout.cell]
        inked = np.flatnonzero((words != SHEET).any(axis=(0, 2)))
        assert np.ptp(inked) == pytest.approx(font.getlength(name), abs=4)
        assert inked.mean() == pytest.approx(layout.cell / 2, abs=6)


@pytest.mark.parametrize(
    ("size", "orientation", "names"),
    [
        ((40, 40), "", ["slice"]),
        ((40, 40, 40), "", ["across axis 0", "across axis 1", "across axis 2"]),
        ((40, 40, 40), "RAS", ["axial", "coronal", "sagittal"]),
    ],
)
def test_each_row_has_the_name_of_its_plane_before_it(size, orientation, names):
    picture = registration_panel(*grey(size, 0.5, 0.5, 0.5), identity(size), orientation=orientation)
    layout = layout_for(size, orientation=orientation)
    font = ImageFont.load_default(layout.font_size)
    for row, name in enumerate(names):
        top = layout.row_top(row)
        words = picture[top : top + layout.row_height(row), : layout.left]
        inked = np.flatnonzero((words != SHEET).any(axis=(1, 2)))
        assert np.ptp(inked) == pytest.approx(font.getlength(name), abs=4)


def test_letters_of_directions_stand_on_the_first_picture_of_a_placed_image_alone():
    size = (40, 40, 40)
    dark = (*grey(size, 0.0, 0.0, 0.0), identity(size))
    placed, unknown = registration_panel(*dark, orientation="RAS"), registration_panel(*dark)
    for row in range(3):
        shown = panes(placed, size, row, orientation="RAS")
        height, width = shown["moving"].shape[:2]
        inked = shown["moving"].any(axis=-1)
        middle = np.s_[height // 3 : -height // 3, width // 3 : -width // 3]
        sides = inked[:, : width // 4], inked[:, -width // 4 :], inked[: height // 4], inked[-height // 4 :]
        assert all(side.any() for side in sides) and not inked[middle].any()
        assert not shown["fixed"].any() and not panes(unknown, size, row)["moving"].any()


def test_identical_images_have_no_differences(image, shape):
    shown = panes(registration_panel(image, image, image, identity(shape)), shape)
    assert everywhere(shown["difference before"], NO_DIFFERENCE)
    assert everywhere(shown["difference after"], NO_DIFFERENCE)
    assert shown["moving"].any()


def test_a_difference_is_blue_where_the_fixed_image_is_brighter_and_red_where_it_is_darker(shape):
    shown = panes(registration_panel(*grey(shape, 0.2, 0.6, 1.0), identity(shape)), shape)
    assert everywhere(shown["difference before"], MOST_NEGATIVE)
    assert everywhere(shown["difference after"], MOST_POSITIVE)


def test_differences_before_and_after_have_one_scale(shape):
    shown = panes(registration_panel(*grey(shape, 0.2, 0.6, 0.5), identity(shape)), shape)
    assert everywhere(shown["difference before"], MOST_NEGATIVE)
    # A quarter of the largest difference is three quarters of the way to the first of the three blues.
    expected = 0.25 * np.array(NO_DIFFERENCE) + 0.75 * np.array(DARK_BLUE)
    np.testing.assert_allclose(shown["difference after"], np.broadcast_to(expected, shown["moving"].shape), atol=2)


def test_images_beyond_0_to_1_are_clipped(shape):
    shown = panes(registration_panel(*grey(shape, 7.0, -7.0, 7.0), identity(shape)), shape)
    assert (shown["moving"] == 255).all() and not shown["fixed"].any()


@pytest.mark.parametrize("zoom", (4, 6))
def test_a_2_d_image_gives_one_row_at_the_zoom_asked_for(rng, zoom):
    image = rng.random((32, 40, 1))
    picture = registration_panel(image, image, image, identity((32, 40)), zoom=zoom)
    assert layout_for((32, 40), zoom=zoom).pictures == ((40 * zoom, 32 * zoom),)
    assert picture.shape == (*layout_for((32, 40), zoom=zoom).size[::-1], 3)


def test_a_3_d_image_gives_one_row_for_each_axis_at_one_scale():
    assert layout_for((60, 70, 80)).pictures == ((140, 160), (120, 160), (120, 140))


def test_voxels_that_are_no_cubes_are_shown_in_proportion():
    assert layout_for((60, 60, 20), spacing=(1.0, 1.0, 3.0)).pictures == ((120, 120),) * 3


@pytest.mark.parametrize("size", [(160, 192, 224), (20, 3000), (3000, 20), (512, 512, 9)])
def test_a_large_image_becomes_no_huge_picture(size):
    width, height = layout_for(size).size
    assert width <= WIDEST and height <= WIDEST


def test_a_2_d_image_is_shown_as_it_is_stored():
    image = np.zeros((40, 52, 1))
    image[0, 51] = 1.0
    shown = panes(registration_panel(image, image, image, identity((40, 52)), zoom=2), (40, 52))["moving"]
    assert np.argwhere(shown[..., 0] == 255).tolist() == [[0, 103]]


def test_the_middle_slice_is_shown_with_its_last_axis_upwards():
    size = (9, 60, 52)
    image = np.zeros((*size, 1))
    image[4, 0, 51] = 1.0
    shown = panes(registration_panel(image, image, image, identity(size), zoom=2), size)["moving"]
    assert np.argwhere(shown[..., 0] == 255).tolist() == [[0, 0]]


def test_the_first_channel_is_shown(rng, shape):
    image = rng.random((*shape, 2), dtype="float32")
    both, first = (registration_panel(i, i, i, identity(shape)) for i in (image, image[..., :1]))
    np.testing.assert_array_equal(both, first)


def test_one_anatomy_has_one_picture_however_its_axes_are_stored(rng):
    images = [rng.random((9, 11, 13, 1), "float32") for _ in range(3)]
    displacement = rng.normal(0.0, 0.1, (9, 11, 13, 3)).astype("float32")
    expected = registration_panel(*images, displacement, orientation="RAS", spacing=(1.0, 2.0, 3.0))
    # Left is opposite to right, inferior to superior.
    stored = [image.transpose(0, 2, 1, 3)[::-1, ::-1] for image in (*images, displacement)]
    field = np.stack([-stored[3][..., 0], -stored[3][..., 2], stored[3][..., 1]], axis=-1)
    turned = registration_panel(*stored[:3], field, orientation="LIA", spacing=(1.0, 3.0, 2.0))
    boxes = [layout_for((9, 11, 13), orientation="RAS", spacing=(1.0, 2.0, 3.0)).box(row, 3) for row in range(3)]
    for picture in (expected, turned):
        for left, top, right, bottom in boxes:
            # The lines are counted from the first voxel as it is stored, so the grid alone may differ.
            picture[top:bottom, left:right] = 0
    np.testing.assert_array_equal(turned, expected)


def test_what_is_no_number_ends_nothing():
    size = (20, 20, 20)
    image, displacement = np.full((*size, 1), np.nan, "float32"), np.full((*size, 3), np.nan, "float32")
    shown = panes(registration_panel(image, image, image, displacement), size)
    assert everywhere(shown["warped grid"], FOLD) and not shown["moving"].any()


def test_a_picture_is_written_as_png(tmp_path, rng):
    picture = rng.integers(0, 255, (20, 30, 3)).astype("uint8")
    write_picture(tmp_path / "deep" / "picture.png", picture)
    np.testing.assert_array_equal(imread(tmp_path / "deep" / "picture.png"), picture)
