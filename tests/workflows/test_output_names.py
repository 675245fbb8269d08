"""Outputs are named after what they are and whose space they lie in."""

from pathlib import Path

import pytest

from vxm_tf.files import InputError
from vxm_tf.registration import RegistrationSettings
from vxm_tf.workflows import RegisterConfig
from vxm_tf.workflows.output_names import Names, beside, names_of_pair, with_bids_names
from vxm_tf.workflows.outputs import check_outputs


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


def spaces(moving, fixed):
    return [names.space for names in names_of_pair(moving, fixed)]


def outputs(moving, fixed):
    """The names of all outputs of a pair."""
    named = with_bids_names(RegisterConfig(moving=moving, fixed=fixed, output_dir="out", labels="l.nii"))
    paths = [value for value in vars(named).values() if isinstance(value, str) and value.startswith("out/")]
    return [Path(path).name for path in paths]


@pytest.mark.parametrize(
    ("moving", "fixed"),
    [("Müller", "Möller"), ("Иванов_T1w", "Петров_T1w"), ("हिन्दी", "हन्द"), ("脳1", "脳2")],
)
def test_letters_of_every_script_are_kept(moving, fixed):
    assert spaces(f"{moving}.nii", f"{fixed}.nii") == [moving.replace("_", ""), fixed.replace("_", "")]


def test_a_name_in_decomposed_letters_is_the_composed_one():
    assert spaces("Mu\u0308ller.nii", "b.nii") == ["M\u00fcller", "b"]
    assert Names.of("sub-Mu\u0308_T1w.nii").prefix == "sub-M\u00fc_"


@pytest.mark.parametrize(
    "names", [("a-1.nii", "a1.nii"), ("a.nii", "a.nii.gz"), ("A.nii", "a.nii"), ("-.nii", "_.nii")]
)
def test_names_of_one_folder_that_are_alike_without_their_signs_are_told_apart_by_their_roles(names):
    moving, fixed = spaces(*names)
    assert moving.startswith("moving") and fixed.startswith("fixed")


LONG = (
    "sub-33752510_ses-00_task-rest_acq-VARIANTEchoTimeEffectiveEchoSpacingParallelReductionFactorInPlanePartialFourier"
)


@pytest.mark.parametrize(
    ("moving", "fixed"),
    [
        (f"{LONG}_dir-AP_run-01_epi", f"{LONG}_dir-PA_run-01_epi"),
        ("a" * 240, "b"),
        ("ü" * 120, "ö" * 120),
        ("sub-01_" + "a" * 100 + "_T1w", "sub-02_" + "b" * 100 + "_T1w"),
        ("sub-" + "s" * 80 + "_" + "a" * 100, "sub-" + "t" * 80 + "_" + "b" * 100),
    ],
)
def test_every_output_of_long_names_has_a_name_of_255_bytes_at_most_and_of_its_own(moving, fixed):
    names = outputs(f"{moving}.nii", f"{fixed}.nii")
    assert len(set(names)) == len(names) >= 8
    assert max(len(name.encode()) for name in names) <= 255


def test_long_names_with_one_beginning_stay_apart():
    first, second = spaces("x" * 200 + "1.nii", "x" * 200 + "2.nii")
    assert first != second and spaces("x" * 200 + "1.nii", "x" * 200 + "2.nii") == [first, second]


def test_an_output_whose_name_no_file_may_have_is_refused_before_the_work(tmp_path):
    config = RegisterConfig(moving="a.nii", fixed="b.nii", moved=str(tmp_path / ("ü" * 130 + ".nii.gz")))
    with pytest.raises(InputError, match="the name has 267 bytes; in .* it may have 255. Choose a shorter name."):
        check_outputs(config, RegistrationSettings())
