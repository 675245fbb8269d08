"""The ten files of the papers of 2018 against numbers that were computed from them independently."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from vxm_tf.data.warping import warp_labels
from vxm_tf.metrics import dice, jacobian_determinant
from vxm_tf.models.legacy import LegacyFileError, load_legacy
from vxm_tf.registration import register_pair

DATA = Path(__file__).resolve().parents[4] / "shared" / "data" / "legacy-voxelmorph"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"the published files are absent: no folder {DATA}")

LEFT = (2, 3, 4, 5, 7, 8, 10, 11, 12, 13, 17, 18, 26, 28, 30, 31)
RIGHT = (41, 42, 43, 44, 46, 47, 49, 50, 51, 52, 53, 54, 58, 60, 62, 63)
MICCAI_XY = "xy/miccai_2018_70000_005.h5"
# File: Dice, mean length of the displacement in voxels, folds.
GOLDEN = {
    "cvpr2018_vm1_cc.h5": (0.7946, 1.712, 34227),
    "cvpr2018_vm1_l2.h5": (0.7911, 1.624, 25693),
    "cvpr2018_vm2_cc.h5": (0.8044, 1.9075, 16853),
    "cvpr2018_vm2_l2.h5": (0.8018, 1.853, 22642),
    "miccai2018_10_02_init1.h5": (0.7984, 1.937, 0),
    MICCAI_XY: (0.8004, 1.7399, 0),
}
FAST = ("cvpr2018_vm1_cc.h5", "miccai2018_10_02_init1.h5")


@pytest.fixture(scope="module")
def mirror_pair():
    """(image, labels) of a brain and of its mirror image with left and right labels exchanged, and the ids."""
    scan = np.load(DATA / "test_scan.npz")
    image, labels = scan["vol"].astype("float32")[..., None], scan["seg"].astype("int32")
    exchanged = np.arange(labels.max() + 1)
    exchanged[list(LEFT)], exchanged[list(RIGHT)] = RIGHT, LEFT
    ids = np.load(DATA / "labels.npz")
    ids = [int(value) for value in ids[ids.files[0]].ravel()]
    return (image, labels), (image[::-1].copy(), exchanged[labels][::-1].copy()), ids


def measure(network, mirror_pair):
    """(Dice, mean length, folds of the interior) of one brain onto its mirror image."""
    (moving, moving_labels), (fixed, fixed_labels), ids = mirror_pair
    displacement = register_pair(network, moving, fixed).displacement
    scores = dice(warp_labels(moving_labels, displacement), fixed_labels, ids)
    folds = (jacobian_determinant(displacement)[2:-2, 2:-2, 2:-2] <= 0).sum()
    return np.mean(list(scores.values())), np.linalg.norm(displacement, axis=-1).mean(), folds


def assert_golden(name, mirror_pair):
    overlap, length, folds = measure(load_legacy(DATA / name), mirror_pair)
    expected_overlap, expected_length, expected_folds = GOLDEN[name]
    assert abs(overlap - expected_overlap) <= 0.0005
    assert abs(length / expected_length - 1) <= 0.005
    assert abs(folds - expected_folds) <= 0.02 * expected_folds


def test_the_pair_itself_is_the_one_that_was_measured(mirror_pair):
    (_, moving), (_, fixed), ids = mirror_pair
    assert abs(np.mean(list(dice(moving, fixed, ids).values())) - 0.7293) <= 0.0005


@pytest.mark.parametrize("name", FAST)
def test_golden_numbers(name, mirror_pair):
    assert_golden(name, mirror_pair)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in GOLDEN if name not in FAST])
def test_golden_numbers_of_the_others(name, mirror_pair):
    assert_golden(name, mirror_pair)


@pytest.mark.parametrize("kind", ("vm1_cc", "vm1_l2", "vm2_cc", "vm2_l2"))
def test_the_xy_files_become_the_same_networks(kind):
    pairs = zip(
        load_legacy(DATA / f"xy/{kind}.h5").weights, load_legacy(DATA / f"cvpr2018_{kind}.h5").weights, strict=True
    )
    assert all(np.array_equal(first, second) for first, second in pairs)


@pytest.mark.slow
def test_aligned_corners_change_the_score_as_they_did(mirror_pair):
    network = load_legacy(DATA / "miccai2018_10_02_init1.h5")
    other = type(network).from_config({**network.get_config(), "resize_rule": "corners"})
    other.set_weights(network.get_weights())
    assert abs(measure(other, mirror_pair)[0] - 0.7957) <= 0.0005


@pytest.fixture
def weights_alone(tmp_path):
    """weights_alone(name): the tensors of a file without its layers' configuration."""

    def copy(name):
        path = tmp_path / "weights.h5"
        with h5py.File(DATA / name) as whole, h5py.File(path, "w") as alone:
            for layer in whole["model_weights"]:
                whole["model_weights"].copy(layer, alone)
            alone.attrs["layer_names"] = whole["model_weights"].attrs["layer_names"]
        return path

    return copy


@pytest.mark.slow
def test_shifts_in_the_wrong_order_come_out_wrong(mirror_pair, weights_alone):
    with pytest.warns(UserWarning, match="first two shifts are exchanged.*--indexing"):
        network = load_legacy(
            weights_alone(MICCAI_XY), indexing="ij", use_miccai_int=True, architecture={"inshape": (160, 192, 224)}
        )
    overlap, length, _ = measure(network, mirror_pair)
    assert abs(overlap - 0.7283) <= 0.0005 and abs(length / 1.7411 - 1) <= 0.005


@pytest.mark.slow
def test_a_velocity_in_the_wrong_scale_comes_out_wrong(mirror_pair, weights_alone):
    with pytest.warns(UserWarning, match="moves nothing.*--use_miccai_int"):
        network = load_legacy(
            weights_alone(MICCAI_XY), indexing="xy", use_miccai_int=False, architecture={"inshape": (160, 192, 224)}
        )
    overlap, length, _ = measure(network, mirror_pair)
    assert abs(overlap - 0.7293) <= 0.0005 and abs(length / 0.0139 - 1) <= 0.01


def test_weights_alone_ask_for_what_they_cannot_tell(weights_alone):
    path = weights_alone(MICCAI_XY)
    with pytest.raises(LegacyFileError, match="--indexing"):
        load_legacy(path)
    with pytest.raises(LegacyFileError, match="--use_miccai_int"):
        load_legacy(path, indexing="xy")


def test_an_xy_file_read_as_ij_is_noticed_and_read_rightly_is_not(weights_alone, recwarn):
    path = weights_alone("xy/vm1_cc.h5")
    load_legacy(path, indexing="xy")
    assert not [warning for warning in recwarn if "synthetic pair" in str(warning.message)]
    with pytest.warns(UserWarning, match="first two shifts are exchanged.*--indexing"):
        load_legacy(path, indexing="ij")


@pytest.mark.parametrize(
    ("name", "flags", "says"),
    [
        ("xy/vm1_cc.h5", {"indexing": "ij"}, "shifts are xy, not ij"),
        (MICCAI_XY, {"use_miccai_int": False}, "squared without division"),
        ("miccai2018_10_02_init1.h5", {"use_miccai_int": True}, "squared after division"),
        ("cvpr2018_vm1_cc.h5", {"use_miccai_int": True}, "integrates nothing"),
        ("cvpr2018_vm1_cc.h5", {"architecture": {"int_stepps": 3}}, "unknown constructor arguments int_stepps"),
    ],
)
def test_a_flag_that_the_file_contradicts_is_refused(name, flags, says):
    with pytest.raises(LegacyFileError, match=says):
        load_legacy(DATA / name, **flags)
