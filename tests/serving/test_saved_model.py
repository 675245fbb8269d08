"""A SavedModel answers as the network does, in a process that knows nothing of this package."""

import dataclasses
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from vxm_tf.models import VxmDense, VxmPyramid
from vxm_tf.ops import fusion
from vxm_tf.serving import export_saved_model, next_version
from vxm_tf.serving import saved_model as export

CLIENT = """
    import json, sys
    import numpy as np
    import tensorflow as tf

    for job in json.load(open("jobs.json")):
        model = tf.saved_model.load(job["model"]).signatures["serving_default"]
        for number in range(job["calls"]):
            images = np.load(f"{job['name']}-{number}.npz")
            answer = model(**{name: tf.constant(images[name]) for name in ("moving", "fixed")})
            np.savez(f"{job['name']}-{number}-answer.npz", **{name: value.numpy() for name, value in answer.items()})
    foreign = sorted(name for name in sys.modules if name.split(".")[0] in ("vxm_tf", "nibabel", "absl.flags"))
    print(json.dumps(foreign))
"""


@dataclasses.dataclass
class Case:
    """A network to export, and the shapes, batch first, that its SavedModel is called with."""

    settings: dict
    shapes: tuple

    def network(self):
        """The same weights at every call."""
        keras.utils.set_random_seed(1)
        rng = np.random.default_rng(1)
        network = VxmDense(**{"features": ((4, 4), (4, 4, 4)), "integration_steps": 2, **self.settings})
        flow = network.get_layer("flow")
        flow.set_weights([rng.normal(0, 0.6, weight.shape) for weight in flow.get_weights()])
        return network


CASES = {
    "static": Case({"image_shape": (16, 20)}, ((1, 16, 20), (2, 13, 22))),
    "bfloat16": Case({"image_shape": (None, None), "dtype": "mixed_bfloat16"}, ((2, 15, 18), (1, 24, 9))),
    "float16": Case(
        {"image_shape": (9, 10, 11), "outputs": VxmDense.BIDIRECTIONAL, "dtype": "mixed_float16"},
        ((1, 9, 10, 11), (2, 12, 8, 7)),
    ),
    "channels": Case({"image_shape": (16, 20), "channels": (3, 1), "integration_steps": 0}, ((1, 15, 18),)),
}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """(folder, what the client printed): every case exported, and called in a process of its own."""
    folder = tmp_path_factory.mktemp("served")
    rng, jobs = np.random.default_rng(0), []
    for name, case in CASES.items():
        network = case.network()
        model = export_saved_model(network, folder / name)
        for number, shape in enumerate(case.shapes):
            channels = dict(zip(("moving", "fixed"), network.settings["channels"]))
            images = {key: rng.random((*shape, count), dtype="float32") for key, count in channels.items()}
            np.savez(folder / f"{name}-{number}.npz", **images)
        jobs.append({"name": name, "model": str(model), "calls": len(case.shapes)})
    (folder / "jobs.json").write_text(json.dumps(jobs))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", textwrap.dedent(CLIENT)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, done.stdout


def test_the_client_has_not_imported_this_package(served):
    assert json.loads(served[1]) == []


@pytest.mark.parametrize(
    "name, number", [(name, number) for name, case in CASES.items() for number in range(len(case.shapes))]
)
def test_the_saved_model_answers_as_the_network(served, name, number):
    folder, case = served[0], CASES[name]
    config = {**case.network().get_config(), "image_shape": case.shapes[number][1:], "dtype": "float32"}
    network = VxmDense.from_config(config)
    network.set_weights(case.network().get_weights())
    images, answer = (np.load(folder / f"{name}-{number}{end}.npz") for end in ("", "-answer"))
    expected = network({key: images[key] for key in ("moving", "fixed")})
    assert np.abs(expected["displacement"]).max() > 0.5
    for key in ("moved", "displacement"):
        assert answer[key].dtype == np.float32
        np.testing.assert_allclose(answer[key], expected[key], rtol=0, atol=1e-5)


@pytest.fixture
def network():
    return VxmDense((16, 20), features=((4,), (4,)), integration_steps=0)


@pytest.fixture
def quick(monkeypatch):
    """Writes a stand-in for the model: where it goes is the question, not what it holds."""

    def write(network, directory, weights):
        Path(directory, "saved_model.pb").touch()
        return ()

    monkeypatch.setattr(export, "_write", write)


def test_the_signature_takes_and_answers_by_name_with_unknown_sizes(network, tmp_path):
    signature = tf.saved_model.load(export_saved_model(network, tmp_path)).signatures["serving_default"]
    _, inputs = signature.structured_input_signature
    assert {name: spec.shape.as_list() for name, spec in inputs.items()} == {
        "moving": [None, None, None, 1],
        "fixed": [None, None, None, 1],
    }
    assert {spec.dtype for spec in inputs.values()} == {tf.float32}
    assert set(signature.structured_outputs) == {"moved", "displacement"}
    assert signature.structured_outputs["displacement"].shape[-1] == 2


def test_versions_count_from_1(network, tmp_path, quick):
    assert next_version(tmp_path / "models") == 1
    assert [export_saved_model(network, tmp_path / "models").name for _ in range(2)] == ["1", "2"]


def test_the_next_version_follows_the_highest_and_passes_other_names_over(network, tmp_path):
    for name in ("3", "12", "backup", ".writing-x"):
        (tmp_path / name).mkdir()
    assert next_version(tmp_path) == 13


def test_a_version_can_be_chosen(network, tmp_path, quick):
    folder = export_saved_model(network, tmp_path, version=7)
    assert (folder, (folder / "saved_model.pb").is_file()) == (tmp_path / "7", True)


def test_an_existing_version_is_refused_and_left_alone(network, tmp_path):
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "saved_model.pb").write_text("in service")
    with pytest.raises(ValueError, match="2: this version exists already"):
        export_saved_model(network, tmp_path, version=2)
    assert (tmp_path / "2" / "saved_model.pb").read_text() == "in service"
    assert [path.name for path in tmp_path.iterdir()] == ["2"]


@pytest.mark.parametrize("version", (0, -3))
def test_a_version_that_is_not_positive_is_refused(network, tmp_path, version):
    with pytest.raises(ValueError, match=f"positive numbers; got {version}"):
        export_saved_model(network, tmp_path, version=version)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        tf.errors.ResourceExhaustedError(None, None, "No space left on device"),
        KeyboardInterrupt(),
    ],
    ids=("OSError", "tensorflow", "interrupt"),
)
def test_nothing_half_written_is_left(network, tmp_path, monkeypatch, error):
    def write_half(network, directory, weights):
        (Path(directory) / "saved_model.pb").write_text("half")
        raise error

    monkeypatch.setattr(export, "_write", write_half)
    with pytest.raises((ValueError, KeyboardInterrupt)) as caught:
        export_saved_model(network, tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []
    if caught.type is ValueError:
        assert "models/1: cannot be written" in str(caught.value) and "No space left" in str(caught.value)


def test_a_server_never_sees_a_number_before_the_model_is_whole(network, tmp_path, monkeypatch):
    seen = []

    def look(network, directory, weights):
        Path(directory, "saved_model.pb").touch()
        seen.extend(path.name for path in tmp_path.iterdir())
        return ()

    monkeypatch.setattr(export, "_write", look)
    folder = export_saved_model(network, tmp_path)
    assert len(seen) == 1 and not seen[0].isdigit()
    assert os.stat(folder).st_mode & 0o777 == 0o755


def test_a_folder_that_cannot_be_written_is_named(network, tmp_path):
    (tmp_path / "file").write_text("a regular file")
    with pytest.raises(ValueError, match="file/models/1: cannot be written"):
        export_saved_model(network, tmp_path / "file" / "models")


def test_the_network_is_as_it_was(network, tmp_path):
    before = network.get_weights()
    export_saved_model(network, tmp_path)
    assert network.settings["image_shape"] == (16, 20)
    assert keras.config.dtype_policy().name == "float32"
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_no_compiled_kernel_is_in_the_graph(network, tmp_path, compiler):
    def forbidden(function):
        raise AssertionError("compiled")

    compiler(forbidden)
    assert export_saved_model(network, tmp_path).is_dir()
    assert fusion._compiler is forbidden


def test_steps_of_a_descent_share_what_they_do(tmp_path):
    sizes = []
    for steps in (1, 4):
        network = VxmPyramid((16, 20), features=(4, 4), iterations=(steps, 0), integration_steps=1)
        folder = export_saved_model(network, tmp_path, warm_up=False)
        sizes.append((folder / "saved_model.pb").stat().st_size)
    # Written out, three more steps make it 2.6 times as large.
    assert sizes[1] < 1.5 * sizes[0]
