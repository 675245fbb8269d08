"""Outputs are named after what they are and whose space they lie in."""

import pytest

from vxm_tf.workflows import RegisterConfig
from vxm_tf.workflows.output_names import Names, beside, with_bids_names


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a/sub-01_ses-2_run-1_T1w.nii.gz", ("sub-01_ses-2_", "T1w", "sub01ses2run1T1w")),
        ("sub-01_T2w.nii", ("sub-01_", "T2w", "sub01T2w")),
        ("tpl-MNI152NLin2009cAsym_res-01_T1w.nii.gz", ("", "T1w", "MNI152NLin2009cAsym")),
        ("sub-7_space-T1w_desc-preproc_bold.nii.gz", ("sub-7_", "bold", "T1w")),
        ("oasis_1003_norm.nii.gz", ("", "image", "oasis1003norm")),
        ("norm.mgz", ("", "image", "norm")),
    ],
)
def test_what_a_name_says(path, expected):
    names = Names.of(path)
    assert (names.prefix, names.suffix, names.space) == expected


def test_every_output_has_a_name_of_its_own_in_the_folder():
    config = RegisterConfig(
        moving="sub-01_T1w.nii.gz", fixed="tpl-MNI_T1w.nii.gz", output_dir="out", labels="l.nii", points="p.tsv"
    )
    named = with_bids_names(config)
    assert named.transform == "out/sub-01_from-sub01T1w_to-MNI_mode-image_xfm.nii.gz"
    assert named.inverse_transform == "out/sub-01_from-MNI_to-sub01T1w_mode-image_xfm.nii.gz"
    assert named.moved == "out/sub-01_space-MNI_desc-moved_T1w.nii.gz"
    assert named.fixed_moved == "out/space-sub01T1w_desc-moved_T1w.nii.gz"
    assert named.jacobian == "out/sub-01_space-MNI_desc-jacobian_T1w.nii.gz"
    assert named.moved_labels == "out/sub-01_space-MNI_desc-moved_dseg.nii.gz"
    assert named.moved_points == "out/sub-01_space-MNI_desc-moved_points.tsv"


def test_a_name_that_was_given_stays():
    config = RegisterConfig(moving="a.nii", fixed="b.nii", output_dir="out", moved="elsewhere/m.nii")
    assert with_bids_names(config).moved == "elsewhere/m.nii"


@pytest.mark.parametrize(("kind", "ending"), [("", ".nii.gz"), ("freesurfer", ".mgz"), ("x5", ".x5")])
def test_a_transform_ends_as_its_format_does(kind, ending):
    config = RegisterConfig(moving="a.nii", fixed="b.nii", output_dir="out", transform_format=kind)
    assert with_bids_names(config).transform == f"out/from-a_to-b_mode-image_xfm{ending}"


def test_two_files_of_one_name_are_told_apart_by_their_folders():
    config = RegisterConfig(moving="bert/mri/norm.mgz", fixed="er-nie/mri/norm.mgz", output_dir="out")
    assert with_bids_names(config).transform == "out/from-bertnorm_to-ernienorm_mode-image_xfm.nii.gz"


def test_one_file_twice_is_told_apart_by_its_roles():
    named = with_bids_names(RegisterConfig(moving="a/norm.mgz", fixed="a/norm.mgz", output_dir="out"))
    assert named.transform == "out/from-movingnorm_to-fixednorm_mode-image_xfm.nii.gz"
    assert named.moved == "out/space-fixednorm_desc-moved_image.nii.gz"
    assert named.fixed_moved == "out/space-movingnorm_desc-moved_image.nii.gz"


@pytest.mark.parametrize("name", ("x_xfm.nii.gz", "x_xfm.h5", "x_xfm.mgz"))
def test_beside(name):
    assert beside(f"out/{name}", ".json") == "out/x_xfm.json"


def test_maps_that_are_asked_for_have_names():
    config = RegisterConfig(moving="a.nii", fixed="b.nii", output_dir="out")
    named = with_bids_names(config, uncertainty=True, error_bound=True)
    assert named.uncertainty == "out/space-b_desc-uncertainty_image.nii.gz"
    assert named.error_bound == "out/space-b_desc-errorbound_image.nii.gz"
    assert with_bids_names(config).error_bound == ""
