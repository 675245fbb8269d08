"""What a registration compares: intensities inside the masks and the windows, of every channel."""

import json

import nibabel
import numpy as np
import pytest

import vxm_tf
from vxm_tf.files import InputError
from vxm_tf.registration import RegistrationSettings, align, register_images
from vxm_tf.spatial import Grid, SpatialImage

SHAPE = (24, 26, 22)
GRID = Grid(SHAPE, np.diag([2.0, 2.0, 2.0, 1.0]))
STILL = RegistrationSettings(refine=0)


@pytest.fixture
def brain():
    """Mask of an ellipsoid."""
    places = np.stack(np.indices(SHAPE), axis=-1)
    return np.sum(((places - (12, 13, 11)) / (7, 8, 6)) ** 2, axis=-1) < 1


@pytest.fixture
def ct(brain, rng):
    """A head in Hounsfield units: brain 10 to 50, bone around it, air outside."""
    head = np.full(SHAPE, -1000.0)
    head[2:-2, 2:-2, 2:-2] = 1200.0
    return np.where(brain, rng.uniform(10, 50, SHAPE), head)[..., None].astype("float32")


@pytest.fixture
def mr(brain, rng):
    return np.where(brain, rng.uniform(100, 300, SHAPE), 20.0)[..., None].astype("float32")


def image(array):
    return SpatialImage(array, GRID)


def seen(moving, fixed, settings=STILL, network=None, masks=(None, None)):
    """The images that are compared, and the places of their voxels in the files."""
    result = register_images(image(moving), image(fixed), network, settings, masks=masks)
    first = np.round(GRID.to_indices(result.working_grid.to_world(np.zeros(3)))).astype(int)
    part = tuple(slice(a, a + n) for a, n in zip(first, result.working_grid.shape))
    assert result.working_grid.spacing_mm == GRID.spacing_mm
    return *result.working_images, part


def test_a_masked_image_spans_the_range_of_what_is_inside(ct, brain):
    moving, fixed, part = seen(ct, ct, masks=(brain, brain))
    low, high = np.percentile(ct[brain], (0.5, 99.5))
    expected = np.where(brain[..., None], np.clip((ct - low) / (high - low), 0, 1), 0.0)[part]
    np.testing.assert_allclose(moving, expected, atol=1e-5)
    np.testing.assert_allclose(fixed, expected, atol=1e-5)


def test_each_channel_of_a_masked_image_has_a_range_of_its_own(ct, mr, brain):
    both = np.concatenate([ct, mr], axis=-1)
    moving, fixed, part = seen(both, both, masks=(brain, brain))
    for channel, alone in enumerate((ct, mr)):
        np.testing.assert_allclose(fixed[..., channel], seen(alone, alone, masks=(brain, brain))[1][..., 0], atol=1e-5)
        assert np.ptp(moving[brain[part], channel]) > 0.99


@pytest.mark.parametrize("normalization", ("percentile", "minmax", "freesurfer", "none"))
def test_a_mask_of_everything_is_no_mask(mr, constant_network, normalization):
    network = constant_network((None,) * 3, (0.0, 0.0, 0.0))
    network.metadata = {"normalization": normalization, "multichannel": False}
    whole = np.ones(SHAPE, bool)
    masked, unmasked = (seen(mr, mr, network=network, masks=masks) for masks in ((whole, whole), (None, None)))
    np.testing.assert_array_equal(masked[0], unmasked[0])
    np.testing.assert_array_equal(masked[1], unmasked[1])


def test_what_lies_outside_a_mask_has_no_effect(ct, brain, rng):
    noise = np.where(brain[..., None], ct, rng.normal(0, 3000, ct.shape)).astype("float32")
    np.testing.assert_array_equal(seen(noise, ct, masks=(brain, brain))[0], seen(ct, ct, masks=(brain, brain))[0])


@pytest.mark.parametrize("mask", [np.zeros(SHAPE, bool), np.ones((5, 5, 5), bool), np.ones(SHAPE, "uint8")])
def test_an_unusable_mask_is_refused(ct, mask):
    with pytest.raises(InputError, match="is bool of shape"):
        seen(ct, ct, masks=(mask, None))


def test_a_mask_in_which_nothing_varies_is_refused(mr, brain):
    mr[brain] = 7.0
    with pytest.raises(InputError, match="one value, 7, so there is nothing to align"):
        seen(mr, mr, masks=(brain, None))


def test_a_window_clips_what_is_compared_and_nothing_that_is_moved(ct):
    settings = RegistrationSettings(refine=0, window=(0, 100))
    moving, _, part = seen(ct, ct, settings)
    np.testing.assert_allclose(moving, np.clip(ct, 0, 100)[part] / 100, atol=1e-6)
    result = register_images(image(ct), image(ct), settings=settings)
    np.testing.assert_array_equal(result.moved, ct)


def test_each_image_may_have_a_window_of_its_own(ct, mr):
    settings = RegistrationSettings(refine=0, window=(0, 100), fixed_window=[20, 220])
    moving, fixed, part = seen(ct, mr, settings)
    np.testing.assert_allclose(moving, np.clip(ct, 0, 100)[part] / 100, atol=1e-6)
    np.testing.assert_allclose(fixed, (np.clip(mr, 20, 220)[part] - 20) / 200, atol=1e-6)


@pytest.mark.parametrize("window", [(1.0,), (5, 5), (100, 0), (0, np.inf), (np.nan, 1), ("a", "b"), 7, (1, 2, 3)])
def test_a_window_that_is_none_is_refused(window):
    with pytest.raises(InputError, match="moving_window is two numbers"):
        RegistrationSettings(moving_window=window)


def test_a_window_without_anything_in_it_is_refused(ct):
    with pytest.raises(InputError, match="leaves one value"):
        seen(ct, ct, RegistrationSettings(window=(5000, 6000)))


@pytest.mark.parametrize("fill_value", ["0", np.nan, np.inf])
def test_a_fill_value_that_is_no_number_is_refused(fill_value):
    with pytest.raises(InputError, match="fill_value is a finite number"):
        RegistrationSettings(fill_value=fill_value)


def test_ct_without_window_and_mask_is_told_that_it_may_want_one(ct, mr, brain, caplog):
    seen(mr, mr)
    seen(ct, ct, masks=(brain, brain))
    seen(ct, ct, RegistrationSettings(refine=0, window=(0, 100)))
    assert "Hounsfield" not in caplog.text
    seen(ct, mr)
    assert caplog.text.count("looks like CT in Hounsfield units") == 1


@pytest.mark.parametrize("axis", range(3))
def test_optimisation_takes_images_of_two_slices(axis, rng):
    shape = np.array((20, 22, 24))
    shape[axis] = 2
    grid = Grid(tuple(shape), np.diag([1.0, 1.0, 1.0, 1.0]))
    squares = sum((x - (n - 1) / 2) ** 2 for a, (x, n) in enumerate(zip(np.indices(shape), shape)) if a != axis)
    disc = np.exp(-squares / 30.0)[..., None].astype("float32")
    moving = np.roll(disc, 2, axis=(axis + 1) % 3)
    result = register_images(SpatialImage(moving, grid), SpatialImage(disc, grid))
    assert result.moved.shape == disc.shape
    assert np.mean((result.moved - disc) ** 2) < 0.3 * np.mean((moving - disc) ** 2)


def test_the_affine_search_sees_every_channel(monkeypatch):
    images = []
    monkeypatch.setattr(align, "register_affine", lambda *given, **_: images.extend(given) or align.identity(3))
    tissue = np.zeros((*SHAPE, 3), "float32")
    tissue[..., 0] = 1.0
    tissue[5:12, 5:12, 5:12] = (0.0, 1.0, 0.0)
    tissue[12:20, 12:20, 12:20] = (0.0, 0.0, 1.0)
    register_images(image(tissue), image(tissue), settings=RegistrationSettings(affine="register", refine=0))
    shown = {tuple(images[0][place]) for place in ((0, 0, 0), (6, 6, 6), (14, 14, 14))}
    assert len(shown) == 3


def test_a_fill_value_goes_where_the_moving_image_does_not_reach(ct, tmp_path):
    moving = SpatialImage(ct[4:-4], Grid((16, 26, 22), np.array(GRID.affine) + np.eye(4, k=3) * 8))
    own, given = (vxm_tf.register(moving, image(ct), "none", refine=0, fill_value=v) for v in (None, -5.0))
    outside = np.r_[0:4, 20:24]
    assert np.all(own.moved[outside] == ct[4:-4].min()) and np.all(given.moved[outside] == -5.0)
    np.testing.assert_array_equal(own.moved[4:-4], ct[4:-4])
    given.save(tmp_path)
    written = nibabel.load(tmp_path / "space-fixed_desc-moved_image.nii.gz").get_fdata()
    np.testing.assert_array_equal(written, given.moved[..., 0])
    record = json.loads((tmp_path / "from-moving_to-fixed_mode-image_xfm.json").read_text())
    assert record["FillValues"] == {"moved": [-5.0], "fixed_moved": [-1000.0]}
