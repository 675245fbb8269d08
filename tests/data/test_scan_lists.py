"""Lists as spreadsheets, scripts and people write them, and names that tell scans apart."""

import pytest

from vxm_tf.data import Scan, read_list, read_pairs, told_apart
from vxm_tf.files.errors import InputError


@pytest.fixture
def write(tmp_path):
    def create(text, encoding="utf-8"):
        (tmp_path / "list.csv").write_text(text, encoding=encoding, newline="")
        return tmp_path / "list.csv"

    return create


def listed(path):
    """(image, labels) of each scan, below the list's folder."""
    return [
        (str(scan.image.relative_to(path.parent)), scan.labels and str(scan.labels.relative_to(path.parent)))
        for scan in read_list(path)
    ]


@pytest.mark.parametrize(
    "line, expected",
    [
        ('"scan 0.nii.gz","scan 0_seg.nii.gz"', ("scan 0.nii.gz", "scan 0_seg.nii.gz")),
        ("scan 0.nii.gz,scan 0_seg.nii.gz", ("scan 0.nii.gz", "scan 0_seg.nii.gz")),
        ("scan 0.nii.gz scan 0_seg.nii.gz", ("scan 0.nii.gz", "scan 0_seg.nii.gz")),
        ("scan 0.nii.gz\tscan 0_seg.nii.gz", ("scan 0.nii.gz", "scan 0_seg.nii.gz")),
        ("scan 0.nii.gz;scan 0_seg.nii.gz", ("scan 0.nii.gz", "scan 0_seg.nii.gz")),
        ('"scan 0.nii.gz" "scan 0_seg.nii.gz"', ("scan 0.nii.gz", "scan 0_seg.nii.gz")),
        ('"a, b.nii","a, b_seg.nii"', ("a, b.nii", "a, b_seg.nii")),
        ("scan#0.nii.gz,scan#0_seg.nii.gz", ("scan#0.nii.gz", "scan#0_seg.nii.gz")),
        ("scan #0.nii.gz,scan #0_seg.nii.gz", ("scan #0.nii.gz", "scan #0_seg.nii.gz")),
        ('"scan # 0.nii.gz", "scan # 0_seg.nii.gz" # the first', ("scan # 0.nii.gz", "scan # 0_seg.nii.gz")),
        ("scan # 0.nii.gz", ("scan # 0.nii.gz", None)),
        ("a.nii #in place of b.nii", ("a.nii", None)),
        ("a.nii,", ("a.nii", None)),
        ("scan 0.nii.gz", ("scan 0.nii.gz", None)),
    ],
)
def test_a_path_is_read_whole_whatever_stands_in_it(write, line, expected):
    assert listed(write(f"# scans\r\n{line}\r\n\r\n")) == [expected]


def test_a_byte_order_mark_is_no_part_of_a_path(write):
    assert listed(write("a.nii.gz,a_seg.nii.gz\r\n", "utf-8-sig")) == [("a.nii.gz", "a_seg.nii.gz")]


def test_a_path_may_begin_with_a_hash_where_there_is_such_a_file(write, tmp_path):
    (tmp_path / "#1.nii").touch()
    assert listed(write("#1.nii\n#2.nii\n3.nii\n")) == [("#1.nii", None), ("3.nii", None)]


def test_headings_say_which_column_is_which(write):
    text = "subject,Segmentation,age,image\nanna,a_seg.nii,3,a.nii\nbert,,4,b.nii\n"
    assert listed(write(text)) == [("a.nii", "a_seg.nii"), ("b.nii", None)]


def test_headings_of_pairs_may_stand_in_any_order(write, tmp_path):
    scans, pairs = read_pairs(write("fixed,moving,fixed_labels\na.nii,b.nii,a_seg.nii\nb.nii,c.nii,\n", "utf-8-sig"))
    assert [(scan.name, scan.labels) for scan in scans] == [("b", None), ("a", tmp_path / "a_seg.nii"), ("c", None)]
    assert [(scans[moving].name, scans[fixed].name) for moving, fixed in pairs] == [("b", "a"), ("c", "b")]


def test_an_image_that_is_listed_twice_is_named(write):
    with pytest.raises(InputError, match="line 3: names the image of line 1 again"):
        read_list(write("a.nii\nb.nii\na.nii\n"))


def test_two_segmentations_of_one_image_in_a_list_of_pairs_are_named(write):
    with pytest.raises(InputError, match="line 2: .*a.nii has the segmentation .*2.nii here, and .*1.nii before"):
        read_pairs(write("a.nii b.nii 1.nii b1.nii\na.nii c.nii 2.nii c1.nii\n"))


def test_scans_of_one_file_name_are_named_by_the_folders_that_tell_them_apart(write):
    text = "".join(f"sub-{k}/{visit}/ct.nii.gz\n" for k in (1, 2) for visit in ("first", "second"))
    names = [scan.name for scan in read_list(write(text + "sub-3/mr.nii.gz\n"))]
    assert names == ["sub-1/first/ct", "sub-1/second/ct", "sub-2/first/ct", "sub-2/second/ct", "mr"]


def test_only_as_many_folders_as_needed_are_part_of_a_name(write):
    assert [s.name for s in read_list(write("x/sub-1/ct.nii\nx/sub-2/ct.nii\n"))] == ["sub-1/ct", "sub-2/ct"]


def test_files_that_differ_in_their_extension_keep_it(write):
    assert [s.name for s in read_list(write("a/ct.nii\na/ct.npz\n"))][0].endswith("a/ct.nii")


def test_an_atlas_of_a_scans_name_is_told_from_it(tmp_path):
    scans = [Scan("norm", tmp_path / "anna" / "norm.mgz", None), Scan("norm", tmp_path / "atlas" / "norm.mgz", None)]
    assert [scan.name for scan in told_apart(scans)] == ["anna/norm", "atlas/norm"]
