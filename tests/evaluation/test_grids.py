"""Scores of files that lie on different grids are those of the same anatomy on one grid."""

import keras
import nibabel
import numpy as np
import pytest

from vxm_tf.data import normalize
from vxm_tf.evaluation import EvaluateConfig, evaluate, run_evaluation
from vxm_tf.files import InputError
from vxm_tf.registration import register_pair

SHAPE = (12, 12, 12)
AFFINE = np.array([[2.0, 0, 0, -20], [0, 2, 0, 10], [0, 0, 2, 5], [0, 0, 0, 1]])


def blob(centre):
    """A smooth image, and its labels: a ball, and a box off its middle, so that every flip changes them."""
    grid = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1)
    distance = np.linalg.norm(grid - np.array(centre), axis=-1)
    labels = (distance < 3.5).astype("uint8")
    labels[centre[0] : centre[0] + 3, centre[1] - 2 : centre[1], centre[2] + 1 : centre[2] + 3] = 2
    return np.exp(-((distance / 3) ** 2)) + 0.1 * labels, labels


def reoriented(image, orientation):
    now = nibabel.io_orientation(image.affine)
    wanted = nibabel.orientations.axcodes2ornt(orientation)
    return image.as_reoriented(nibabel.orientations.ornt_transform(now, wanted))


@pytest.fixture
def images():
    """{name: (image, labels)} of a moving and a fixed scan, which overlap in part."""
    arrays = {"moving": blob((6, 5, 5)), "fixed": blob((5, 6, 5))}
    return {name: [nibabel.Nifti1Image(array, AFFINE) for array in pair] for name, pair in arrays.items()}


@pytest.fixture
def score(tmp_path, constant_network):
    """score(images, **settings): the Dice of each label before registration, of the pair or of all pairs."""
    network = constant_network(SHAPE, (0, 0, 0))
    network.metadata = {"normalization": "minmax", "multichannel": False}
    network.save(tmp_path / "model.keras")

    def run(images, **settings):
        for name, (image, labels) in images.items():
            nibabel.save(image, tmp_path / f"{name}.nii.gz")
            nibabel.save(labels, tmp_path / f"{name}_seg.nii.gz")
        (tmp_path / "pairs.txt").write_text("moving.nii.gz fixed.nii.gz moving_seg.nii.gz fixed_seg.nii.gz\n")
        settings = {"pairs": str(tmp_path / "pairs.txt"), **settings}
        model, output_dir = str(tmp_path / "model.keras"), str(tmp_path / "out")
        rows = evaluate(EvaluateConfig(model=model, output_dir=output_dir, **settings))
        assert [row.labels for row in rows[::2]] == [row.labels for row in rows[1::2]]
        return {label: scores["dice"] for label, scores in rows[0].labels.items()}, rows[0].mean("mean_surface_mm")

    return run


@pytest.mark.parametrize("orientation", ("LAS", "RSA", "PIR"))
def test_a_segmentation_in_another_order_of_axes_scores_as_in_that_of_its_image(images, score, caplog, orientation):
    expected = score(images)
    assert 0.3 < expected[0][1] < 0.9 and 0 < expected[0][2] < 0.9
    images["moving"][1] = reoriented(images["moving"][1], orientation)
    assert score(images) == expected
    assert "moving_seg.nii.gz lies on another grid than its image" in caplog.text


@pytest.mark.parametrize("which", ("moving", "fixed"))
def test_two_scans_in_two_orientations_score_as_in_one(images, score, caplog, which):
    expected = score(images)
    images[which] = [reoriented(image, "PIR") for image in images[which]]
    assert score(images) == expected
    assert "1 of 2 scans lie on another grid" in caplog.text


def test_a_scan_that_was_cropped_scores_as_the_whole_one(images, score):
    expected = score(images)
    images["moving"] = [image.slicer[1:11, :, 1:] for image in images["moving"]]
    assert score(images) == expected


def test_a_segmentation_on_finer_voxels_is_brought_onto_its_image(images, score):
    expected = score(images)
    labels = np.asarray(images["moving"][1].dataobj).repeat(2, 0).repeat(2, 1).repeat(2, 2)
    fine = AFFINE @ np.array([[0.5, 0, 0, -0.25], [0, 0.5, 0, -0.25], [0, 0, 0.5, -0.25], [0, 0, 0, 1]])
    images["moving"][1] = nibabel.Nifti1Image(labels, fine)
    assert score(images) == expected


def test_scans_are_turned_to_the_orientation_that_the_network_records(images, score, tmp_path, monkeypatch, caplog):
    seen = []

    def spy(network, moving, fixed):
        seen.append(fixed)
        return register_pair(network, moving, fixed)

    expected = score(images)
    network = keras.models.load_model(tmp_path / "model.keras")
    network.metadata = {**network.metadata, "grid": {"orientation": "LIA", "spacing_mm": [2.0, 2.0, 2.0]}}
    network.save(tmp_path / "model.keras")
    monkeypatch.setattr(run_evaluation, "register_pair", spy)
    assert score(images)[0] == expected[0]
    turned = np.asarray(reoriented(images["fixed"][0], "LIA").dataobj, "float32")[..., None]
    np.testing.assert_array_equal(seen[-1], normalize(turned, "minmax"))
    assert "as they are stored" not in caplog.text


@pytest.mark.parametrize("orientation", ("RAS", "PIR"))
def test_an_atlas_is_brought_onto_the_grid_of_the_scans(images, score, tmp_path, monkeypatch, orientation):
    laid = []

    def spy(network, moving, fixed):
        laid.append((moving, fixed))
        return register_pair(network, moving, fixed)

    score(images)
    atlas = images["fixed"][0]
    nibabel.save(reoriented(atlas, orientation), tmp_path / "atlas.nii.gz")
    (tmp_path / "list.txt").write_text("moving.nii.gz\nfixed.nii.gz\n")
    monkeypatch.setattr(run_evaluation, "register_pair", spy)
    settings = {"val_list": str(tmp_path / "list.txt"), "atlas": str(tmp_path / "atlas.nii.gz")}
    score(images, pairs="", **settings)
    expected = normalize(np.asarray(atlas.dataobj, "float32")[..., None], "minmax")
    assert len(laid) == 3
    for moving, fixed in laid:
        np.testing.assert_array_equal(fixed, expected)
        assert moving.shape == (*SHAPE, 1)
    np.testing.assert_array_equal(*laid[-1])


def test_a_segmentation_elsewhere_in_space_is_refused(images, score):
    far = AFFINE.copy()
    far[:3, 3] += 500
    images["moving"][1] = nibabel.Nifti1Image(np.asarray(images["moving"][1].dataobj), far)
    with pytest.raises(InputError, match="moving_seg.nii.gz: this segmentation and its image .* no common place"):
        score(images)


def test_scans_without_a_common_place_are_refused_with_what_to_do(images, score):
    far = AFFINE.copy()
    far[:3, 3] += 500
    images["moving"] = [nibabel.Nifti1Image(np.asarray(image.dataobj), far) for image in images["moving"]]
    with pytest.raises(InputError, match="no common place in world space.*Align the scans") as caught:
        score(images)
    assert "moving.nii.gz" in str(caught.value) and "fixed.nii.gz" in str(caught.value)


def test_files_that_do_not_say_where_they_lie_need_one_voxel_size(tmp_path, score, images, rng):
    score(images)
    for name, spacing in (("a", 1.0), ("b", 2.0)):
        np.savez(tmp_path / f"{name}.npz", vol=rng.random(SHAPE), spacing_mm=np.array(spacing))
    (tmp_path / "list.txt").write_text("a.npz b.npz\n")
    with pytest.raises(InputError, match="a.npz has voxels of .* does not say where it lies"):
        score(images, pairs=str(tmp_path / "list.txt"))


def test_a_segmentation_without_a_place_needs_the_shape_of_its_image(images, score, tmp_path):
    score(images)
    np.savez(tmp_path / "labels.npz", seg=np.ones((12, 12, 11), "uint8"))
    (tmp_path / "list.txt").write_text("moving.nii.gz fixed.nii.gz labels.npz fixed_seg.nii.gz\n")
    with pytest.raises(InputError, match=r"labels.npz: the segmentation has shape \(12, 12, 11\).*do not say where"):
        score(images, pairs=str(tmp_path / "list.txt"))
