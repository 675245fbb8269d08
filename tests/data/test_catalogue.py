"""Which scans a folder or a list holds, and which segmentation belongs to which."""

import numpy as np
import pytest

from vxm_tf.data.catalogue import find_scans, split_scans
from vxm_tf.data.scan_lists import read_list, read_table
from vxm_tf.data.scan_names import Scan
from vxm_tf.files.errors import InputError


@pytest.fixture
def make(tmp_path):
    """make(*names): files of these names; an NPZ whose name holds `both` has a segmentation."""

    def create(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".npz":
                np.savez(path, vol=np.eye(4), **({"seg": np.eye(4, dtype="uint8")} if "both" in name else {}))
            else:
                path.touch()
        return tmp_path

    return create


def found(directory, **settings):
    """{name: (image, labels)}, paths below the folder."""
    return {
        scan.name: (str(scan.image.relative_to(directory)), scan.labels and str(scan.labels.relative_to(directory)))
        for scan in find_scans(directory, **settings)
    }


def test_an_npz_holds_image_and_segmentation(make):
    folder = make("both_1.npz", "alone_2.npz")
    assert found(folder) == {"alone_2": ("alone_2.npz", None), "both_1": ("both_1.npz", "both_1.npz")}


def test_suffixes_tell_images_from_segmentations(make):
    folder = make("oasis_1000_norm.nii.gz", "oasis_1000_seg.nii.gz", "oasis_1001_norm.nii.gz", "oasis_1001_seg.nii.gz")
    assert found(folder, image_suffix="_norm", labels_suffix="_seg") == {
        "oasis_1000": ("oasis_1000_norm.nii.gz", "oasis_1000_seg.nii.gz"),
        "oasis_1001": ("oasis_1001_norm.nii.gz", "oasis_1001_seg.nii.gz"),
    }


@pytest.mark.parametrize("ending", ("_seg", "_dseg", "_aseg", "_labels", "_label"))
def test_usual_endings_of_segmentations_need_no_flag(make, ending):
    folder = make("sub-1_T1w.nii.gz", f"sub-1{ending}.nii.gz", "sub-2.mgz", f"sub-2{ending}.mgz")
    assert found(folder) == {
        "sub-1_T1w": ("sub-1_T1w.nii.gz", f"sub-1{ending}.nii.gz"),
        "sub-2": ("sub-2.mgz", f"sub-2{ending}.mgz"),
    }


@pytest.mark.parametrize(
    "images, labels", [("images", "labels"), ("imagesTr", "labelsTr"), ("images", "segmentations"), ("", "labels")]
)
def test_folders_tell_images_from_segmentations(make, images, labels):
    folder = make(*(f"./{place}/hippocampus_{k}.nii.gz" for place in (images, labels) for k in (1, 2)))
    assert list(found(folder)) == ["hippocampus_1", "hippocampus_2"]
    assert [scan.labels for scan in find_scans(folder)] == [folder / labels / f"hippocampus_{k}.nii.gz" for k in (1, 2)]


def test_every_subject_may_have_its_folder(make):
    folder = make("anna/norm.mgz", "anna/aseg.mgz", "bert/norm.mgz", "bert/aseg.mgz", "bert/orig.mgz")
    assert found(folder, image_suffix="norm", labels_suffix="aseg") == {
        "anna": ("anna/norm.mgz", "anna/aseg.mgz"),
        "bert": ("bert/norm.mgz", "bert/aseg.mgz"),
    }


def test_a_subject_folder_given_itself_has_a_name(make):
    folder = make("norm.mgz", "aseg.mgz")
    assert found(folder, image_suffix="norm", labels_suffix="aseg") == {"norm": ("norm.mgz", "aseg.mgz")}


def test_the_same_file_name_in_two_folders_makes_two_scans(make):
    folder = make("a/t1.nii.gz", "b/t1.nii.gz", "b/t1_seg.nii.gz")
    assert found(folder) == {"a/t1": ("a/t1.nii.gz", None), "b/t1": ("b/t1.nii.gz", "b/t1_seg.nii.gz")}


def test_an_image_suffix_leaves_other_images_out(make):
    assert list(found(make("1_norm.nii", "1_orig.nii", "2_norm.nii"), image_suffix="_norm")) == ["1", "2"]


def test_scans_come_in_the_order_of_their_names(make):
    assert list(found(make("c.nii", "a.nii", "b.nii"))) == ["a", "b", "c"]


def test_hidden_and_unknown_files_are_passed_over(make):
    assert list(found(make("a.nii.gz", ".writing-x.nii.gz", "notes.txt", "model.keras"))) == ["a"]


def test_a_segmentation_without_image_is_named(make):
    folder = make("1_norm.nii.gz", "1_seg.nii.gz", "2_seg.nii.gz")
    with pytest.raises(InputError, match="2_seg.nii.gz.*there is no image"):
        find_scans(folder)


def test_a_segmentation_that_fits_several_images_is_named_with_them(make):
    folder = make("1_t1.nii.gz", "1_t2.nii.gz", "1_seg.nii.gz")
    with pytest.raises(InputError, match=r"1_seg.nii.gz.*1_t1, 1_t2.*--image_suffix"):
        find_scans(folder)


def test_an_exact_name_is_not_ambiguous(make):
    folder = make("1.nii.gz", "1_t2.nii.gz", "1_seg.nii.gz")
    assert found(folder) == {"1": ("1.nii.gz", "1_seg.nii.gz"), "1_t2": ("1_t2.nii.gz", None)}


@pytest.mark.parametrize(
    "names",
    [
        ("1.nii.gz", "1_aseg.nii.gz", "1_seg.nii.gz"),
        ("1_t1.nii.gz", "1_seg.nii.gz", "1_t1_seg.nii.gz"),
        ("1.nii.gz", "1_seg.nii.gz", "labels/1.nii.gz"),
    ],
)
def test_two_segmentations_of_one_image_are_named(make, names):
    with pytest.raises(InputError, match="stands for the same scan") as caught:
        find_scans(make(*names))
    assert all(name in str(caught.value) for name in names[1:])


def test_two_images_of_one_name_are_named(make):
    with pytest.raises(InputError, match=r"1.nii.gz: stands for the same scan as .*1.mgz"):
        find_scans(make("1.nii.gz", "1.mgz"))


def test_an_empty_folder_is_named_with_what_was_expected(tmp_path):
    with pytest.raises(InputError, match=r"no image found.*\.nii\.gz") as caught:
        find_scans(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_suffix_that_no_image_has_is_named(make):
    with pytest.raises(InputError, match=r"no image found.*_brain"):
        find_scans(make("1_norm.nii.gz"), image_suffix="_brain")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere: there is no such folder"):
        find_scans(tmp_path / "nowhere")


def test_train_and_val_folders_are_the_two_sets(make):
    folder = make("train/1.nii", "train/2.nii", "train/1_seg.nii", "val/3.nii", "rescan/4.nii")
    train, val = split_scans(folder, validation_fraction=0.5)
    assert [s.name for s in train] == ["1", "2"]
    assert [s.name for s in val] == ["3"]
    assert train[0].labels == folder / "train" / "1_seg.nii"


@pytest.fixture
def twenty(make):
    return make(*(f"s{k:02d}.nii" for k in range(20)))


@pytest.mark.parametrize("fraction, count", [(0.0, 0), (0.2, 4), (0.5, 10), (0.95, 19)])
def test_a_fraction_is_disjoint_and_complete(twenty, fraction, count):
    train, val = split_scans(twenty, validation_fraction=fraction)
    assert len(val) == count
    assert sorted(s.name for s in train + val) == [f"s{k:02d}" for k in range(20)]


def test_the_same_seed_splits_alike_and_another_seed_otherwise(twenty):
    first, again, other = (split_scans(twenty, seed=seed)[1] for seed in (3, 3, 4))
    assert first == again
    assert first != other


@pytest.mark.parametrize("fraction", (-0.1, 1.0, 2.0))
def test_a_fraction_out_of_range_is_refused(twenty, fraction):
    with pytest.raises(InputError, match=rf"\[0, 1\); got {fraction}"):
        split_scans(twenty, validation_fraction=fraction)


def test_a_list_names_images_and_segmentations_with_any_separator(tmp_path):
    (tmp_path / "list.txt").write_text("a.nii a_seg.nii\nb.nii, b_seg.nii\nc.nii\tc_seg.nii\nd.nii\n")
    expected = [Scan(n, tmp_path / f"{n}.nii", tmp_path / f"{n}_seg.nii") for n in "abc"]
    assert read_list(tmp_path / "list.txt") == [*expected, Scan("d", tmp_path / "d.nii", None)]


def test_comments_and_empty_lines_of_a_list_are_skipped(tmp_path):
    (tmp_path / "list.txt").write_text("# all of them\n\na.nii # the first\n   \nb.nii\n")
    assert [scan.name for scan in read_list(tmp_path / "list.txt")] == ["a", "b"]


def test_paths_of_a_list_start_at_its_own_folder_unless_absolute(tmp_path):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "list.txt").write_text("../data/a.nii\n/else/b.nii\n")
    images = [str(scan.image) for scan in read_list(tmp_path / "lists" / "list.txt")]
    assert images == [str(tmp_path / "lists" / "../data/a.nii"), "/else/b.nii"]


def test_an_npz_in_a_list_brings_its_own_segmentation(make):
    folder = make("both.npz", "alone.npz")
    (folder / "list.txt").write_text("both.npz\nalone.npz\n")
    assert [scan.labels for scan in read_list(folder / "list.txt")] == [folder / "both.npz", None]


def test_a_line_with_too_many_entries_is_named(tmp_path):
    (tmp_path / "list.txt").write_text("a.nii\n\na.nii b.nii c.nii\n")
    with pytest.raises(InputError, match="list.txt, line 3"):
        read_list(tmp_path / "list.txt")


def test_a_list_without_a_file_name_is_refused(tmp_path):
    (tmp_path / "list.txt").write_text("# nothing\n")
    with pytest.raises(InputError, match="list.txt: the list names no image"):
        read_list(tmp_path / "list.txt")


@pytest.mark.parametrize("content", (None, b"\xff\xfe\x00\x01"))
def test_a_list_that_cannot_be_read_is_named(tmp_path, content):
    if content:
        (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(InputError, match="list.txt: cannot be read"):
        list(read_table(tmp_path / "list.txt"))
