"""Scans, atlas and segmentations on different grids are laid on each other; pairs may be listed."""

import nibabel
import numpy as np
import pytest

from vxm_tf.data import Scan, ScanStore, normalize, open_atlas
from vxm_tf.data.pair_grid import covering
from vxm_tf.files import InputError
from vxm_tf.spatial import Grid, same_grid
from vxm_tf.training import TrainConfig, train
from vxm_tf.training.source import open_source

SHAPE = (8, 9, 10)
AFFINE = np.array([[2.0, 0, 0, -20], [0, 2, 0, 10], [0, 0, 2, 5], [0, 0, 0, 1]])


def reoriented(image, orientation):
    now = nibabel.io_orientation(image.affine)
    wanted = nibabel.orientations.axcodes2ornt(orientation)
    return image.as_reoriented(nibabel.orientations.ornt_transform(now, wanted))


@pytest.fixture
def volumes(tmp_path, rng):
    """Two scans and an atlas on one grid: {name: image}, written as NIfTI below `scans`."""
    (tmp_path / "scans").mkdir()
    images = {name: nibabel.Nifti1Image(rng.random(SHAPE, "float32"), AFFINE) for name in ("a", "b", "atlas")}
    for name, image in images.items():
        nibabel.save(image, tmp_path / ("" if name == "atlas" else "scans") / f"{name}.nii.gz")
    return images


def scan(tmp_path, name):
    return Scan(name, tmp_path / "scans" / f"{name}.nii.gz", None)


def array_of(image):
    return normalize(np.asarray(image.dataobj)[..., None], "percentile")


def test_an_atlas_in_another_orientation_trains_as_in_that_of_the_scans(make_config, volumes, tmp_path):
    nibabel.save(reoriented(volumes["atlas"], "PIR"), tmp_path / "turned.nii.gz")
    config = make_config(
        data_dir=str(tmp_path / "scans"), validation_fraction=0.0, atlas=str(tmp_path / "turned.nii.gz")
    )
    source, _ = open_source(config)
    assert source.image_shape == SHAPE and source.grid["orientation"] == "RAS"
    batch = next(iter(source.dataset(0)))
    np.testing.assert_array_equal(batch["fixed"][0], array_of(volumes["atlas"]))
    np.testing.assert_array_equal(batch["moving"][0], source.store.image(source.pairs[0][0]))


def test_an_atlas_on_finer_voxels_is_brought_onto_the_grid_of_the_scans(volumes, tmp_path):
    # A ramp along the first axis, in millimetres of world space: its value tells where a voxel lies.
    fine = np.broadcast_to(np.arange(2.0 * SHAPE[0])[:, None, None], [2 * size for size in SHAPE])
    affine = np.diag([1.0, 1, 1, 1])
    affine[:3, 3] = AFFINE[:3, 3] - 0.5
    nibabel.save(nibabel.Nifti1Image(fine.astype("float32"), affine), tmp_path / "fine.nii.gz")
    store = ScanStore([scan(tmp_path, "a")], "none")
    atlas = open_atlas(Scan("fine", tmp_path / "fine.nii.gz", None), store)
    assert same_grid(atlas.grid, store.grid(0)) and atlas.image.shape == (*SHAPE, 1)
    # Voxel i of 2 mm lies half a fine voxel beyond fine voxel 2 i.
    np.testing.assert_allclose(atlas.image[1:-1, 4, 4, 0], 2 * np.arange(1, SHAPE[0] - 1) + 0.5, atol=0.02)


def test_scans_in_two_orientations_are_fed_on_the_fixed_scans_voxels(make_config, volumes, tmp_path, messages):
    nibabel.save(reoriented(volumes["b"], "LSP"), tmp_path / "scans" / "b.nii.gz")
    source, _ = open_source(make_config(data_dir=str(tmp_path / "scans"), validation_fraction=0.0))
    assert source.image_shape == (None, None, None)
    for (_, fixed), batch in zip(source.pairs, source.dataset(0)):
        orientation = ("RAS", "LSP")[fixed]
        for role, name in zip(("moving", "fixed"), "ba" if fixed == 0 else "ab"):
            expected = array_of(reoriented(volumes[name], orientation))
            np.testing.assert_allclose(batch[role][0], expected, atol=1e-6)
    assert "1 of 2 scans lie on another grid" in messages()


def test_a_network_trains_on_scans_in_two_orientations(make_config, volumes, tmp_path):
    nibabel.save(reoriented(volumes["b"], "LSP"), tmp_path / "scans" / "b.nii.gz")
    config = make_config(data_dir=str(tmp_path / "scans"), validation_fraction=0.0, epochs=1)
    assert train(config).exists()


def test_an_atlas_without_a_common_place_is_refused(make_config, volumes, tmp_path):
    affine = AFFINE.copy()
    affine[:3, 3] += 1000
    nibabel.save(nibabel.Nifti1Image(np.asarray(volumes["atlas"].dataobj), affine), tmp_path / "far.nii.gz")
    config = make_config(data_dir=str(tmp_path / "scans"), validation_fraction=0.0, atlas=str(tmp_path / "far.nii.gz"))
    with pytest.raises(InputError, match="far.nii.gz.* have no common place in world space"):
        train(config)


def test_covering_reaches_over_all_fields_of_view_on_one_lattice():
    lattice = Grid((4, 5), np.array([[2.0, 0, 1], [0, 2, 1], [0, 0, 1]]))
    other = Grid((3, 3), np.array([[0, -4.0, 12], [4, 0, -5], [0, 0, 1]]))
    # In voxels of the lattice, `other` spans 1.5 to 5.5 along the first axis and -3 to 1 along the second.
    grid = covering(lattice, lattice, other)
    assert grid.shape == (7, 8)
    np.testing.assert_allclose(grid.affine, [[2.0, 0, 1], [0, 2, -5], [0, 0, 1]])


def test_listed_pairs_are_trained_on_and_validated(make_config, phantoms, tmp_path):
    names = sorted(str(path) for path in phantoms.glob("train/*.npz"))
    (tmp_path / "train.csv").write_text(
        f"\ufefffixed,moving\r\n{names[1]},{names[0]}\r\n{names[3]},{names[2]}\r\n", encoding="utf-8", newline=""
    )
    val = sorted(str(path) for path in phantoms.glob("val/*.npz"))
    (tmp_path / "val.csv").write_text(f"moving,fixed\n{val[1]},{val[0]}\n")
    settings = {"data_dir": "", "train_pairs": str(tmp_path / "train.csv"), "val_pairs": str(tmp_path / "val.csv")}
    config = make_config(**settings, epochs=1, steps_per_epoch=4)
    source, val_store = open_source(config)
    used = [tuple(source.store.scans[index].image.name for index in pair) for pair in source.pairs]
    expected = {tuple(name.rsplit("/", 1)[1] for name in names[k : k + 2]) for k in (0, 2)}
    assert set(used[:2]) == set(used[2:]) == expected
    assert [scan.image.name for scan in val_store.scans] == [name.rsplit("/", 1)[1] for name in val[::-1]]
    train(config)
    assert "val_dice" in (tmp_path / "out" / "log.csv").read_text()


@pytest.mark.parametrize(
    "name, other",
    [
        ("train_pairs", "data_dir"),
        ("train_pairs", "train_list"),
        ("train_pairs", "atlas"),
        ("val_pairs", "val_list"),
    ],
)
def test_a_list_of_pairs_and_what_it_replaces_exclude_each_other(make_config, name, other):
    with pytest.raises(InputError, match=f"With {name}, {other} would do nothing"):
        train(make_config(**{"data_dir": "", name: "pairs.csv", other: "somewhere"}))


def test_validation_maps_without_any_label_leave_the_choice_to_the_loss(make_config, tmp_path, rng):
    (tmp_path / "set").mkdir()
    for k in range(4):
        np.savez(tmp_path / "set" / f"{k}.npz", vol=rng.random((16, 16)), seg=np.zeros((16, 16), "uint8"))
    config = make_config(data_dir=str(tmp_path / "set"), validation_fraction=0.5, epochs=1)
    assert train(config).exists()


def test_validation_pairs_without_segmentations_are_counted(make_config, tmp_path, rng, messages):
    (tmp_path / "set").mkdir()
    for k in range(5):
        labels = {} if k == 4 else {"seg": np.ones((16, 16), "uint8")}
        np.savez(tmp_path / "set" / f"{k}.npz", vol=rng.random((16, 16)), **labels)
    (tmp_path / "val.txt").write_text("set/2.npz\nset/3.npz\nset/4.npz\n")
    train(make_config(data_dir=str(tmp_path / "set"), val_list=str(tmp_path / "val.txt"), epochs=1))
    assert "Only 2 of 6 validation pairs have segmentations of both scans" in messages()
    assert "Without a segmentation: 4." in messages()


@pytest.mark.parametrize(
    "setting, message",
    [
        ({"epochs": "3"}, "epochs is a whole number; got '3'"),
        ({"weight": "heavy"}, "weight is a number"),
        ({"spacing_mm": 2.0}, "spacing_mm is a tuple, each entry a number; got 2.0"),
        ({"augmentations": "flip"}, "augmentations is a tuple, each entry a text; got 'flip'"),
    ],
)
def test_a_setting_of_another_type_is_refused(setting, message):
    with pytest.raises(InputError, match=message):
        TrainConfig(**setting)
