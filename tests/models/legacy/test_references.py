"""Networks that the original program saved, and what it answered: ours must answer the same."""

import json
import marshal
import pickle
from pathlib import Path

import keras
import numpy as np
import pytest

from vxm_tf.models import VxmDense
from vxm_tf.models.legacy import LegacyFileError, load, load_legacy
from vxm_tf.models.legacy.torch_file import from_torch_state

FILES = Path(__file__).parent / "files"
# VoxelMorph left the field of this one on the coarser grid.
REFUSED = "svf_2_int_1"
CASES = sorted(path.stem for path in FILES.glob("*.h5") if path.with_suffix(".npz").exists() and path.stem != REFUSED)
# Networks with random weights align nothing, and the behaviour check says so.
pytestmark = pytest.mark.filterwarnings("ignore:.*synthetic pair")


def convert(case, suffix=".h5", **settings):
    arguments = FILES / f"{case}.json"
    if arguments.exists():
        settings.setdefault("architecture", json.loads(arguments.read_text()))
    return load_legacy(FILES / f"{case}{suffix}", **settings)


def answers(network, case):
    """(ours, the original's)."""
    reference = np.load(FILES / f"{case}.npz")
    return network({name: reference[name] for name in ("moving", "fixed")}), reference


def test_the_original_s_options_are_all_there():
    wanted = {"default", "int_steps_0", "bidir", "use_probs", "multichannel", "two_d", "integer_features", "fill_value"}
    assert wanted <= set(CASES)


@pytest.mark.parametrize("case", CASES)
def test_a_converted_network_answers_as_the_original(case):
    ours, reference = answers(convert(case), case)
    assert np.abs(reference["displacement"]).max() > 1.0
    np.testing.assert_allclose(ours["displacement"], reference["displacement"], rtol=0, atol=1e-4)
    for name in set(ours) & set(reference) - {"displacement"}:
        np.testing.assert_allclose(ours[name], reference[name], rtol=0, atol=1e-5)


def test_a_bidirectional_network_answers_both_directions():
    assert {"moved", "fixed_moved"} <= set(answers(convert("bidir"), "bidir")[0])


def test_without_parity_the_field_is_resized_by_our_own_rule():
    network = convert("default", parity=False)
    assert network.settings["resize_rule"] == "areas"
    ours, reference = answers(network, "default")
    difference = np.abs(ours["displacement"] - reference["displacement"]).max()
    assert difference > 0.01


def test_the_numbered_layout_of_weights_gives_the_same_network():
    pairs = zip(convert("weights_only").weights, convert("weights_only", ".weights.h5").weights, strict=True)
    assert all(np.array_equal(first, second) for first, second in pairs)


def test_weights_alone_ask_for_the_architecture():
    with pytest.raises(LegacyFileError, match="weights alone.*--architecture"):
        load_legacy(FILES / "weights_only.h5")


def test_a_field_that_never_reached_the_image_s_grid_is_refused():
    with pytest.raises(LegacyFileError, match="svf_resolution 2 and int_resolution 1"):
        convert(REFUSED)


def test_a_converted_network_is_an_ordinary_keras_model(tmp_path):
    network = convert("multichannel")
    assert isinstance(network, VxmDense) and network.metadata["multichannel"]
    network.save(tmp_path / "new.keras")
    loaded = keras.models.load_model(tmp_path / "new.keras")
    assert loaded.metadata == network.metadata and loaded.settings == network.settings
    ours, reference = answers(loaded, "multichannel")
    np.testing.assert_allclose(ours["displacement"], reference["displacement"], rtol=0, atol=1e-4)


def test_code_in_a_file_is_never_run(monkeypatch):
    def refuse(*_):
        raise AssertionError("code of a file was unpacked")

    for module in (marshal, pickle):
        monkeypatch.setattr(module, "loads", refuse)
    ours, reference = answers(convert("input_model"), "input_model")
    np.testing.assert_allclose(ours["displacement"], reference["displacement"], rtol=0, atol=1e-4)


def torch_state():
    state = dict(np.load(FILES / "torch_dense_state.npz"))
    return json.loads(str(state.pop("config"))), state


@pytest.fixture
def from_torch(monkeypatch):
    config, state = torch_state()
    monkeypatch.setattr(load, "read_legacy_file", lambda path: from_torch_state(Path(path), config, state))
    return load_legacy("torch_dense.pt")


def test_a_pytorch_network_answers_as_the_original_away_from_the_border(from_torch):
    """PyTorch's warps take zeros outside the image, ours its edge; the squarings carry that inwards a little."""
    ours, reference = answers(from_torch, "torch_dense")
    difference = np.abs(ours["displacement"] - reference["displacement"])[0]
    assert np.median(difference) < 1e-4
    assert difference[2:-2, 2:-2, 2:-2].max() < 5e-3


def test_a_pytorch_checkpoint_is_read(from_torch):
    pytest.importorskip("torch", reason="PyTorch is an extra: pip install 'vxm-tf[torch]'")
    pairs = zip(from_torch.weights, load_legacy(FILES / "torch_dense.pt").weights, strict=True)
    assert all(np.array_equal(first, second) for first, second in pairs)


def test_a_state_without_a_flow_head_is_no_network_of_voxelmorph():
    with pytest.raises(LegacyFileError, match="no flow.weight"):
        from_torch_state("x.pt", {}, {"conv.weight": np.zeros((1, 1, 3, 3, 3))})
