"""Images and label maps with their places, and label maps that lie elsewhere."""

import nibabel
import numpy as np
import pytest

from vxm_tf.files import InputError
from vxm_tf.spatial import Grid, SpatialImage, read_spatial_image, read_spatial_labels

SHAPE = (9, 10, 11)


@pytest.fixture
def image(write_nibabel, rng):
    return read_spatial_image(write_nibabel("image.nii.gz", rng.random(SHAPE, dtype="float32")))


@pytest.fixture
def labels(rng):
    return rng.integers(0, 9, SHAPE).astype("int16")


def test_an_image_knows_its_voxels_its_place_and_its_file(tmp_path, image, affine):
    assert (image.array.shape, image.array.dtype, image.grid.shape) == ((*SHAPE, 1), np.float32, SHAPE)
    np.testing.assert_allclose(image.grid.affine, affine, atol=1e-5)
    assert image.volume.path == tmp_path / "image.nii.gz" and image.name == str(image.volume.path)
    assert "memory" in image.reoriented().name


@pytest.mark.parametrize("shape", [(*SHAPE, 2), (9, 10, 2)])
def test_channels_are_no_axis_of_space(write_nibabel, rng, shape):
    image = read_spatial_image(write_nibabel("v.nii", rng.random(shape, dtype="float32")), multichannel=True)
    assert (image.array.shape, image.grid.shape) == (shape, shape[:-1])


def test_labels_know_their_place_themselves(write_nibabel, labels, affine):
    found = read_spatial_labels(write_nibabel("seg.mgz", labels))
    np.testing.assert_array_equal(found.array, labels)
    assert (found.array.dtype, found.grid.shape) == (np.int32, SHAPE)
    np.testing.assert_allclose(found.grid.affine, affine, atol=1e-5)


def test_labels_share_the_voxels_of_their_image(write_nibabel, labels, image):
    found = read_spatial_labels(write_nibabel("seg.nii", labels), image)
    assert found.grid is image.grid
    np.testing.assert_array_equal(found.array, labels)


def test_labels_without_a_place_have_their_images(write_npz, labels, image):
    assert read_spatial_labels(write_npz("seg.npz", seg=labels), image).grid is image.grid


@pytest.mark.filterwarnings("ignore:.*neither voxel size nor place")
def test_an_image_without_a_place_does_not_contradict_its_labels(write_npz, write_nibabel, labels):
    image = read_spatial_image(write_npz("image.npz"))
    assert read_spatial_labels(write_nibabel("seg.nii", labels), image).grid is image.grid


def test_labels_of_another_shape_are_refused(write_nibabel, image):
    with pytest.raises(InputError, match=r"seg.nii: this fixed map has shape \(9, 10\), its image .*image.nii.gz has"):
        read_spatial_labels(write_nibabel("seg.nii", np.ones((9, 10), "int16")), image, "fixed map")


@pytest.mark.parametrize("voxels, fits", [(1e-4, True), (0.5, False)])
def test_labels_that_lie_elsewhere_are_refused(tmp_path, labels, image, affine, voxels, fits):
    affine[:3, 3] += voxels * affine[:3, 1]
    nibabel.save(nibabel.Nifti1Image(labels, affine), tmp_path / "seg.nii")
    if fits:
        assert read_spatial_labels(tmp_path / "seg.nii", image).grid is image.grid
    else:
        with pytest.raises(InputError, match="seg.nii: this label map and its image .* different affines"):
            read_spatial_labels(tmp_path / "seg.nii", image)


def test_an_image_of_no_file_has_a_place_that_its_labels_must_share(write_nibabel, labels, image):
    path = write_nibabel("seg.nii", labels)
    assert read_spatial_labels(path, SpatialImage(image.array, image.grid)).grid is image.grid
    with pytest.raises(InputError, match=r"this label map and its image \(in memory\) have one shape"):
        read_spatial_labels(path, SpatialImage(image.array, Grid(SHAPE, np.eye(4))))


def test_turned_it_is_the_same_image(image):
    turned = image.reoriented()
    expected = nibabel.as_closest_canonical(nibabel.Nifti1Image(image.array, image.grid.affine))
    assert (turned.grid.orientation, turned.volume) == ("RAS", None)
    np.testing.assert_array_equal(turned.array, expected.get_fdata())
    np.testing.assert_allclose(turned.grid.affine, expected.affine)


def test_a_slice_turns_within_its_plane(write_nibabel, rng):
    flat = np.eye(4)
    flat[:2, :2] = [[0, -2.0], [1.5, 0]]
    array = rng.random((9, 10, 1)).astype("float32")
    image = SpatialImage(array, Grid((9, 10), flat[np.ix_((0, 1, 3), (0, 1, 3))]))
    turned = image.reoriented("RAS")
    np.testing.assert_array_equal(turned.array, array.transpose(1, 0, 2)[::-1])
    assert turned.grid.orientation == "RA"


def test_other_values_have_the_same_place_and_file(image):
    other = image.with_array(image.array + 1)
    assert other.grid is image.grid and other.volume is image.volume
    np.testing.assert_array_equal(other.array, image.array + 1)
