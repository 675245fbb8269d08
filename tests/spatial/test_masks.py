"""Masks as tools write them, on the grid of their image."""

import nibabel
import numpy as np
import pytest

from vxm_tf.files import InputError
from vxm_tf.spatial import Grid, SpatialImage
from vxm_tf.spatial.masks import mask_on

SHAPE = (9, 10, 11)


@pytest.fixture
def scan(rng):
    return SpatialImage(rng.random((*SHAPE, 1), dtype="float32"), Grid(SHAPE, np.eye(4)))


@pytest.fixture
def inside():
    mask = np.zeros(SHAPE, bool)
    mask[2:5, 3:8, 1:9] = True
    return mask


def forms(values, path):
    """The same values as a file, a nibabel image, an image in memory and an array."""
    image = nibabel.Nifti1Image(values, np.eye(4))
    nibabel.save(image, path)
    return str(path), image, SpatialImage(values, Grid(SHAPE, np.eye(4))), values


@pytest.mark.parametrize("form", range(4))
@pytest.mark.parametrize("inside_value", (1, 255, 17.0))
def test_every_value_but_0_is_inside(scan, inside, inside_value, form, tmp_path):
    values = np.where(inside, inside_value, 0).astype(type(inside_value) if inside_value == 17.0 else "uint8")
    np.testing.assert_array_equal(mask_on(scan, forms(values, tmp_path / "mask.nii.gz")[form]), inside)


@pytest.mark.parametrize("form", range(4))
def test_of_probabilities_those_above_one_half_are_inside(scan, inside, rng, form, tmp_path, caplog):
    values = np.where(inside, 0.6, 0.4) + rng.uniform(-0.09, 0.09, SHAPE)
    values[0, 0, 0], values[3, 4, 5] = 0.0, 1.0
    with caplog.at_level("INFO", logger="absl"):
        found = mask_on(scan, forms(values.astype("float32"), tmp_path / "p.nii.gz")[form])
    np.testing.assert_array_equal(found, inside)
    assert "above 0.5" in caplog.text


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(SHAPE), "is empty"),
        (np.full(SHAPE, 0.3), "is empty"),
        (np.linspace(-4.0, 9.5, 990).reshape(SHAPE), "from -4 to 9.5. Is it an image"),
        (np.full(SHAPE, np.nan), "not finite"),
        (np.ones((9, 10, 12)), r"shape \(9, 10, 12\)"),
    ],
)
def test_what_is_no_mask_is_refused(scan, values, message):
    with pytest.raises(InputError, match=message):
        mask_on(scan, values)


def test_a_mask_elsewhere_is_refused(scan, inside, tmp_path):
    nibabel.save(nibabel.Nifti1Image(inside.astype("uint8"), np.eye(4)), tmp_path / "scan.nii.gz")
    moved = nibabel.Nifti1Image(inside.astype("uint8"), np.diag([1.0, 1.0, 1.5, 1.0]))
    with pytest.raises(InputError, match="different affines"):
        mask_on(scan, moved)
    with pytest.raises(InputError, match="another grid"):
        mask_on(scan, SpatialImage(inside, Grid(SHAPE, np.diag([1.0, 1.0, 1.5, 1.0]))))


def test_a_series_of_masks_is_refused(scan, inside):
    with pytest.raises(InputError, match="one volume"):
        mask_on(scan, nibabel.Nifti1Image(np.stack([inside] * 2, -1).astype("uint8"), np.eye(4)))


def test_a_mask_of_everything_is_said_to_hide_nothing(scan, caplog):
    assert mask_on(scan, np.ones(SHAPE)).all()
    assert "hides nothing" in caplog.text
