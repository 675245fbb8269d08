"""Label maps of several people in one frame."""

import nibabel as nib
import numpy as np
import pytest

from vxm_tf.data.synthetic.label_maps import LabelMaps, find_label_maps
from vxm_tf.data.synthetic.phantoms import template
from vxm_tf.files import InputError

SHAPE = (64, 64)


def resampled(labels, matrix, offset):
    """labels at `matrix @ voxel + offset`, by nearest neighbour, 0 outside."""
    locations = np.tensordot(matrix, np.indices(labels.shape), axes=1) + np.reshape(offset, (-1, 1, 1))
    index = np.rint(locations).astype(int)
    inside = np.all([(i >= 0) & (i < n) for i, n in zip(index, labels.shape)], axis=0)
    return np.where(inside, labels[tuple(np.clip(i, 0, n - 1) for i, n in zip(index, labels.shape))], 0)


@pytest.fixture
def save(tmp_path):
    """save(name, labels, **more) -> path of an NPZ."""

    def write(name, labels, **more):
        path = tmp_path / f"{name}.npz"
        np.savez(path, seg=labels, **more)
        return path

    return write


def grid_mm(shape, spacing_mm):
    centred = np.moveaxis(np.indices(shape, dtype="float32"), 0, -1) - (np.array(shape, "float32") - 1) / 2
    return centred * np.float32(spacing_mm)


def test_people_that_differ_by_an_affine_transform_lie_on_each_other(save):
    _, labels = template((96, 96))
    turned = resampled(labels, np.array([[0.95, -0.15], [0.1, 1.05]]), (6.0, -3.0))
    maps = LabelMaps([save("a", labels), save("b", turned)])
    sampled = [maps.sample(index, grid_mm((80, 80), 1.0)) for index in range(2)]
    head = (sampled[0] > 0) | (sampled[1] > 0)
    before = (labels == turned)[(labels > 0) | (turned > 0)].mean()
    assert (sampled[0] == sampled[1])[head].mean() > 0.9 > 0.8 > before


def test_the_frame_is_in_millimetres(save):
    _, labels = template((96, 96))
    fine = labels.repeat(2, axis=0).repeat(2, axis=1)
    maps = LabelMaps([save("a", labels), save("b", fine, spacing_mm=(0.5, 0.5))])
    sampled = [maps.sample(index, grid_mm((70, 70), 1.2)) for index in range(2)]
    assert (sampled[0] == sampled[1]).mean() > 0.97
    # As many voxels as the head has square millimetres, over those of a voxel.
    assert (sampled[0] > 0).sum() * 1.2**2 == pytest.approx((labels > 0).sum(), rel=0.05)


def test_samples_are_indices_into_the_labels(save):
    _, labels = template(SHAPE)
    renamed = np.where(labels > 0, labels.astype("int32") + 300, 0)
    maps = LabelMaps([save("a", renamed), save("b", renamed)])
    np.testing.assert_array_equal(maps.labels, np.unique(renamed))
    sampled = maps.labels[maps.sample(0, grid_mm((90, 90), 1.0))]
    assert set(np.unique(sampled)) == set(np.unique(renamed))
    assert sampled[0, 0] == 0


def test_what_lies_beyond_the_brain_does_not_decide_the_frame(save):
    """A patch of skin far out in one map only, and one place in the other."""
    _, labels = template(SHAPE)
    first, second = (np.pad(labels.astype("int32"), 20) for _ in range(2))
    first[:12, :12], second[-12:, -12:] = 510, 510
    maps = LabelMaps([save("a", first), save("b", second)])
    sampled = [maps.sample(index, grid_mm(SHAPE, 1.0)) for index in range(2)]
    np.testing.assert_array_equal(*sampled)


def test_files_are_found_in_order(save, tmp_path):
    _, labels = template(SHAPE)
    (tmp_path / "notes.txt").write_text("no volume")
    save("b", labels), save("a", labels)
    assert find_label_maps(tmp_path) == [tmp_path / "a.npz", tmp_path / "b.npz"]


def test_a_folder_without_maps_is_refused(tmp_path):
    with pytest.raises(InputError, match="no label map found. Expected files with one of"):
        find_label_maps(tmp_path)
    with pytest.raises(InputError, match="nowhere: there is no such folder"):
        find_label_maps("nowhere")


def test_one_map_makes_no_pair(save):
    with pytest.raises(InputError, match="Two label maps or more .* got 1"):
        LabelMaps([save("a", template(SHAPE)[1])])


def test_maps_with_other_axes_are_refused(tmp_path):
    paths = []
    for name, affine in (("a", np.eye(4)), ("b", np.diag([-1.0, 1.0, 1.0, 1.0]))):
        paths.append(tmp_path / f"{name}.nii.gz")
        nib.save(nib.Nifti1Image(np.ones((8, 8, 8), "uint8"), affine), paths[-1])
    with pytest.raises(InputError, match="axes in one order, but these differ: .*LAS.*RAS"):
        LabelMaps(paths)


def test_maps_that_share_too_few_structures_are_refused(save):
    labels = np.zeros(SHAPE, "uint8")
    labels[10:40, 10:40] = 1
    with pytest.raises(InputError, match="share 1 structures of 20 voxels or more; 6 are needed"):
        LabelMaps([save("a", labels), save("b", labels)])


def test_labels_out_of_range_are_refused(save):
    labels = np.zeros(SHAPE, "int32")
    labels[0, 0] = 70_000
    with pytest.raises(InputError, match="from 0 to 65535; this map holds 0 to 70000"):
        LabelMaps([save("a", labels), save("b", labels)])


def test_of_images_beside_segmentations_only_these_are_label_maps(tmp_path):
    for place in ("imagesTr", "labelsTr"):
        (tmp_path / "set" / place).mkdir(parents=True)
        (tmp_path / "set" / place / "1.nii.gz").touch()
    (tmp_path / "linked").symlink_to(tmp_path / "set", target_is_directory=True)
    assert find_label_maps(tmp_path / "linked") == [tmp_path / "linked" / "labelsTr" / "1.nii.gz"]
