"""What counts as a scan in the layouts that users have: links, masks, FreeSurfer, BIDS, Decathlon, Learn2Reg."""

import pytest

from vxm_tf.data.catalogue import find_scans
from vxm_tf.files.errors import InputError


@pytest.fixture
def make(tmp_path):
    """make(*names): empty files of these names below a folder, which is returned."""

    def create(*names):
        for name in names:
            path = tmp_path / "set" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path / "set"

    return create


@pytest.fixture
def messages(caplog):
    caplog.set_level("INFO", logger="absl")
    return lambda: "\n".join(record.getMessage() for record in caplog.records)


def found(directory, **settings):
    """{name: (image, labels)}, paths below the folder."""
    return {
        scan.name: (str(scan.image.relative_to(directory)), scan.labels and str(scan.labels.relative_to(directory)))
        for scan in find_scans(directory, **settings)
    }


def test_links_to_subject_folders_are_followed(make, tmp_path):
    folder = make("sub-01/t1.nii.gz", "sub-02/t1.nii.gz")
    for number in (3, 4):
        place = tmp_path / f"elsewhere/{number}"
        place.mkdir(parents=True)
        (place / "t1.nii.gz").touch()
        (folder / f"sub-0{number}").symlink_to(place, target_is_directory=True)
    assert list(found(folder)) == [f"sub-0{number}/t1" for number in (1, 2, 3, 4)]


def test_a_link_to_a_folder_above_ends_the_search_there(make, messages):
    folder = make("a/1.nii", "b/2.nii")
    (folder / "a" / "loop").symlink_to(folder, target_is_directory=True)
    assert list(found(folder)) == ["a/1", "b/2"]
    assert "1 links to folders that were read already" in messages()


def test_links_without_a_target_are_named_with_what_to_do(make):
    folder = make("1.nii.gz")
    (folder / "2.nii.gz").symlink_to(".git/annex/objects/MD5E-s5--1.nii.gz")
    (folder / "sub-03").symlink_to("/nowhere/sub-03")
    with pytest.raises(InputError, match="2 links lead to nothing.*datalad get") as caught:
        find_scans(folder)
    assert "2.nii.gz -> .git/annex" in str(caught.value) and "sub-03 -> /nowhere" in str(caught.value)


def test_a_link_without_a_target_that_is_no_scan_is_no_matter(make):
    folder = make("sub-1_T1w.nii.gz")
    for name in ("sub-1_mask.nii.gz", "notes.json"):
        (folder / name).symlink_to("nowhere")
    assert list(found(folder)) == ["sub-1_T1w"]


def test_hidden_folders_are_no_part_of_the_set(make):
    assert list(found(make("1.nii.gz", ".git/annex/objects/MD5E-s5--1.nii.gz"))) == ["1"]


def test_masks_and_test_images_of_a_challenge_are_left_out_and_counted(make, messages):
    names = ("case_1.nii.gz", "case_2.nii.gz")
    folder = make(
        *(f"{place}/{name}" for place in ("imagesTr", "labelsTr", "masksTr") for name in names),
        *(f"{place}/case_3.nii.gz" for place in ("imagesTs", "labelsTs", "masksTs")),
    )
    assert found(folder) == {f"case_{k}": (f"imagesTr/case_{k}.nii.gz", f"labelsTr/case_{k}.nii.gz") for k in (1, 2)}
    assert "2 scans, 2 of them with a segmentation; left out: 2 masks, 3 test images" in messages()


def test_test_images_alone_are_scans(make):
    folder = make("imagesTs/1.nii.gz", "labelsTs/1.nii.gz", "masksTs/1.nii.gz")
    assert found(folder) == {"1": ("imagesTs/1.nii.gz", "labelsTs/1.nii.gz")}


@pytest.mark.parametrize(
    "ending",
    (
        "_mask",
        "_brainmask",
        "_desc-brain_mask",
        "_brain_mask",
        "_label-GM_probseg",
        "_label-lesion_roi",
        "_label-L",
        "_probseg",
        "_pve_0",
        "_xfm",
        "BrainExtractionMask",
    ),
)
def test_what_stands_beside_a_scan_in_bids_is_no_scan(make, ending):
    folder = make(*(f"sub-{k}/anat/sub-{k}{end}.nii.gz" for k in (1, 2) for end in ("_T1w", "_dseg", ending)))
    assert found(folder) == {
        f"sub-{k}/anat/sub-{k}_T1w": (f"sub-{k}/anat/sub-{k}_T1w.nii.gz", f"sub-{k}/anat/sub-{k}_dseg.nii.gz")
        for k in (1, 2)
    }


def test_a_segmentation_of_bids_may_have_a_description_and_lie_among_derivatives(make):
    folder = make("sub-1/anat/sub-1_T1w.nii.gz", "derivatives/fmriprep/sub-1/anat/sub-1_desc-aseg_dseg.nii.gz")
    assert list(found(folder).values()) == [
        ("sub-1/anat/sub-1_T1w.nii.gz", "derivatives/fmriprep/sub-1/anat/sub-1_desc-aseg_dseg.nii.gz")
    ]


FREESURFER = ("orig", "T1", "norm", "brain", "brainmask", "aseg", "aparc+aseg", "aparc.a2009s+aseg", "ribbon", "wm")


def freesurfer(*left_out):
    names = [f"{subject}/mri/{name}.mgz" for subject in ("anna", "bert") for name in FREESURFER if name not in left_out]
    return [*names, "anna/mri/orig/001.mgz", "anna/surf/lh.thickness.mgh", "fsaverage/mri/norm.mgz"]


def test_of_a_freesurfer_folder_norm_and_aseg_are_taken(make):
    assert found(make(*freesurfer())) == {
        name: (f"{name}/mri/norm.mgz", f"{name}/mri/aseg.mgz") for name in ("anna", "bert")
    }


@pytest.mark.parametrize(
    "settings, image, labels",
    [
        ({"labels_suffix": "aseg"}, "norm", "aseg"),
        ({"labels_suffix": "aparc+aseg"}, "norm", "aparc+aseg"),
        ({"image_suffix": "brain"}, "brain", "aseg"),
        ({"image_suffix": "T1", "labels_suffix": "ribbon"}, "T1", "ribbon"),
    ],
)
def test_other_files_of_a_freesurfer_folder_are_taken_by_their_name(make, settings, image, labels):
    names = {name for name in found(make(*freesurfer()), **settings).values()}
    assert names == {(f"{subject}/mri/{image}.mgz", f"{subject}/mri/{labels}.mgz") for subject in ("anna", "bert")}


def test_without_norm_brain_is_taken_and_without_both_the_choice_is_asked_for(make, tmp_path):
    assert found(make(*freesurfer("norm")))["anna"] == ("anna/mri/brain.mgz", "anna/mri/aseg.mgz")
    for name in ("anna", "bert"):
        (tmp_path / f"set/{name}/mri/brain.mgz").unlink()
    with pytest.raises(InputError, match="mri: this FreeSurfer folder holds neither norm nor brain.*--image_suffix T1"):
        find_scans(tmp_path / "set")


def test_a_joined_segmentation_does_not_count_as_its_last_part(make):
    folder = make("a_norm.mgz", "a_aseg.mgz", "a_aparc+aseg.mgz")
    assert found(folder, image_suffix="norm", labels_suffix="aseg") == {"a_": ("a_norm.mgz", "a_aseg.mgz")}


@pytest.mark.parametrize(
    "names",
    [
        ("sub-1_T1w.nii.gz", "sub-1_T2w.nii.gz", "sub-2_T1w.nii.gz"),
        ("sub-1_acq-a_T1w.nii.gz", "sub-1_FLAIR.nii.gz"),
        ("1/t1.nii.gz", "1/flair.nii.gz"),
        ("T1/1.nii.gz", "T2/1.nii.gz"),
        ("BraTS-1-t1c.nii.gz", "BraTS-1-t2f.nii.gz"),
    ],
)
def test_several_modalities_of_one_subject_are_not_paired(make, names):
    with pytest.raises(InputError, match="several modalities side by side: .*--image_suffix") as caught:
        find_scans(make(*names))
    assert names[0] in str(caught.value) and names[1] in str(caught.value)


def test_one_modality_is_taken_by_its_ending(make):
    folder = make("sub-1_T1w.nii.gz", "sub-1_T2w.nii.gz", "sub-2_T1w.nii.gz")
    assert list(found(folder, image_suffix="_T1w")) == ["sub-1", "sub-2"]


def test_several_modalities_of_several_subjects_are_told(make, messages):
    assert len(found(make("a_T1w.nii.gz", "b_T2w.nii.gz"))) == 2
    assert "several modalities: T1 (a_T1w.nii.gz), T2 (b_T2w.nii.gz)" in messages()


def test_numbered_scans_are_no_modalities(make, messages):
    assert list(found(make("t0.nii", "t1.nii", "t2.nii"))) == ["t0", "t1", "t2"]
    assert "modalities" not in messages()


def test_a_file_in_place_of_a_folder_is_named_with_the_flags_for_lists(make):
    with pytest.raises(InputError, match="list.txt: is a file.*--train_list"):
        find_scans(make("list.txt") / "list.txt")


def test_channels_of_one_case_are_told(make, messages):
    names = [f"imagesTr/case_00{case}_000{channel}.nii.gz" for case in (1, 2) for channel in (0, 1)]
    assert len(found(make(*names))) == 4
    assert "case_001_0000.nii.gz and case_001_0001.nii.gz are channels of one case" in messages()
    assert len(found(make(*names), image_suffix="_0000")) == 2
