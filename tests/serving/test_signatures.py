"""Every signature, asked in a process that knows nothing of this package, answers as the package does."""

import gzip
import io
import json
import os
import subprocess
import sys
import textwrap

import keras
import nibabel
import numpy as np
import pytest
import tensorflow as tf
from skimage.io import imread
from tensorflow.core.framework.tensor_pb2 import TensorProto

from vxm_tf import ops
from vxm_tf.data import normalize
from vxm_tf.models import VxmDense
from vxm_tf.registration import RegistrationSettings, register_images
from vxm_tf.serving import export_saved_model
from vxm_tf.serving.warm_up import FILE
from vxm_tf.spatial import read_spatial_image

SHAPE = (18, 20, 16)
NAMES = ("register", "displacement_only", "inverse", "warp", "warp_labels", "register_bytes", "register_nifti")
GRID = {"shape": (16, 16, 16), "spacing_mm": (2.0, 2.0, 2.0), "orientation": "LIA"}
CLIENT = """
    import json, pickle, sys
    import tensorflow as tf

    model = tf.saved_model.load("1")
    answers = {}
    for name, inputs in pickle.load(open("inputs.pickle", "rb")).items():
        answer = model.signatures[name](**{key: tf.constant(value) for key, value in inputs.items()})
        answers[name] = {key: value.numpy() for key, value in answer.items()}
    pickle.dump(answers, open("answers.pickle", "wb"))
    print(json.dumps([name for name in sys.modules if name.split(".")[0] in ("vxm_tf", "nibabel")]))
"""


def volume(seed, dtype="float32"):
    """Smooth shapes on a dark background, in the numbers of that type."""
    rng = np.random.default_rng(seed)
    places = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1) - np.array(SHAPE) / 2
    radius = np.linalg.norm(places / (7.0, 8.0, 6.0) + rng.normal(0, 0.05, 3), axis=-1)
    texture = 1.5 + np.sin(places[..., 0] / 2 + seed) * np.cos(places[..., 1] / 3)
    return (900 * np.clip(3 * (1 - radius), 0, 1) * texture).astype(dtype)


def nifti(seed, orientation):
    affine = np.diag([1.8, 2.1, 2.0, 1.0])
    affine[:3, 3] = -15.0, -20.0, -12.0
    image = nibabel.Nifti1Image(volume(seed, "int16"), affine)
    wanted = nibabel.orientations.axcodes2ornt(orientation)
    return image.as_reoriented(nibabel.orientations.ornt_transform(nibabel.io_orientation(affine), wanted))


def make_network():
    keras.utils.set_random_seed(1)
    network = VxmDense((None,) * 3, features=((4, 4), (4, 4, 4)), integration_steps=3)
    flow = network.get_layer("flow")
    flow.set_weights([np.random.default_rng(1).normal(0, 0.6, weight.shape) for weight in flow.get_weights()])
    network.metadata = {"normalization": "percentile", "grid": GRID}
    return network


@pytest.fixture(scope="module")
def network():
    return make_network()


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(0)
    pair = {k: normalize(volume(s)[..., None], "percentile")[None] for s, k in enumerate(("moving", "fixed"))}
    displacement = rng.normal(0, 2, (1, *SHAPE, 3)).astype("float32")
    content = {k: gzip.compress(volume(s, "uint16").tobytes()) for s, k in enumerate(("moving", "fixed"))}
    described = {f"{k}_shape": np.array(SHAPE, "int32") for k in content} | {f"{k}_dtype": b"uint16" for k in content}
    return {
        **{name: pair for name in ("serving_default", "register", "displacement_only", "inverse")},
        "warp": {"image": pair["moving"], "displacement": displacement},
        "warp_labels": {"labels": ids_of(pair["moving"]), "displacement": displacement},
        "register_bytes": {**content, **described},
        "register_nifti": {"moving": nifti(0, "PIR").to_bytes(), "fixed": gzip.compress(nifti(1, "RAS").to_bytes())},
    }


def ids_of(image):
    """A label map with the ids of the Allen mouse atlas, and the largest and smallest of all."""
    ids = np.array([0, 1, 16777217, 496345672, 614454277, 2**31 - 1, -(2**31)], "int32")
    return ids[np.round(6 * image).astype(int)]


def ask(folder, inputs):
    """Answers of every signature, and what the client had imported."""
    import pickle

    (folder / "inputs.pickle").write_bytes(pickle.dumps(inputs))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", textwrap.dedent(CLIENT)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return pickle.loads((folder / "answers.pickle").read_bytes()), json.loads(done.stdout)


@pytest.fixture(scope="module")
def served(network, inputs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("signatures")
    export_saved_model(network, folder)
    return (folder, *ask(folder, inputs))


@pytest.fixture(scope="module")
def answers(served):
    return served[1]


def test_the_client_has_not_imported_this_package(served):
    assert served[2] == []


@pytest.mark.parametrize("name", ("serving_default", "register", "displacement_only"))
def test_pairs_of_tensors(answers, inputs, network, name):
    expected = network.with_outputs("moved", "displacement", "fixed_moved", "inverse_displacement")(inputs["register"])
    assert np.abs(expected["displacement"]).max() > 1.0
    for key, value in answers[name].items():
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, expected[key], atol=1e-5)
    assert set(answers[name]) == ({"displacement"} if name == "displacement_only" else {"moved", "displacement"})


def test_the_inverse_is_closer_than_the_network_s_own_and_moves_the_fixed_image(answers, inputs, network):
    """This network's field folds; where it does not, see test_graph_inversion."""
    own = network.with_outputs("displacement", "inverse_displacement")(inputs["inverse"])
    answer = answers["inverse"]
    assert set(answer) == {"fixed_moved", "inverse_displacement"}
    assert {value.dtype for value in answer.values()} == {np.dtype("float32")}
    before, after = (
        np.linalg.norm(ops.compose(own["displacement"], inverse), axis=-1)
        for inverse in (own["inverse_displacement"], answer["inverse_displacement"])
    )
    assert after.mean() < 0.5 * before.mean() and np.all(after < before + 1e-4)
    moved = ops.warp(inputs["inverse"]["fixed"], answer["inverse_displacement"])
    np.testing.assert_allclose(answer["fixed_moved"], moved, atol=1e-5)


def test_a_warp_of_an_image(answers, inputs):
    expected = ops.warp(**inputs["warp"])
    np.testing.assert_allclose(answers["warp"]["moved"], expected, atol=1e-5)


def test_ids_of_labels_come_back_exactly(answers, inputs):
    labels, displacement = inputs["warp_labels"]["labels"], inputs["warp_labels"]["displacement"]
    places = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1) + displacement[0]
    nearest = np.clip(np.rint(places).astype(int), 0, np.array(SHAPE) - 1)
    moved = answers["warp_labels"]["moved"]
    assert moved.dtype == np.int32 and 496345672 in moved
    np.testing.assert_array_equal(moved[0, ..., 0], labels[0, ..., 0][tuple(np.moveaxis(nearest, -1, 0))])


def test_bytes(answers, network):
    answer = answers["register_bytes"]
    volumes = [volume(seed, "uint16").astype("float32") for seed in (0, 1)]
    pair = {k: normalize(v[..., None], "percentile")[None] for k, v in zip(("moving", "fixed"), volumes)}
    expected = network(pair)["displacement"][0]
    components = [decoded(png).astype("float32") for png in answer["displacement_bytes"]]
    displacement = (np.stack(components, axis=-1) - 32768) / 128
    assert np.abs(displacement - expected).max() < 0.01
    low, high = answer["moved_range"]
    moved = low + decoded(answer["moved_bytes"]) / 65535 * (high - low)
    reference = ops.warp(volumes[0][None, ..., None], expected[None])[0, ..., 0]
    assert np.abs(moved - reference).max() < 1e-4 * np.ptp(volumes[0])
    assert tuple(answer["shape"]) == SHAPE


def decoded(png):
    return imread(io.BytesIO(png)).reshape(SHAPE)


def test_nifti(answers, network, tmp_path):
    paths = [tmp_path / name for name in ("moving.nii", "fixed.nii")]
    for seed, (path, orientation) in enumerate(zip(paths, ("PIR", "RAS"))):
        nibabel.save(nifti(seed, orientation), path)
    images = [read_spatial_image(path) for path in paths]
    expected = register_images(*images, network, RegistrationSettings(affine="header"))
    moved, transform = (
        nibabel.Nifti1Image.from_bytes(answers["register_nifti"][key]) for key in ("moved_bytes", "transform_bytes")
    )
    np.testing.assert_allclose(moved.affine, images[1].grid.affine, atol=1e-6)
    assert np.abs(moved.get_fdata() - expected.moved[..., 0]).max() < 1e-3 * np.ptp(expected.moved)
    field = expected.transform.displacement_mm * [-1, -1, 1]
    np.testing.assert_allclose(transform.get_fdata()[:, :, :, 0], field, atol=1e-3)


def test_half_precision_is_half_the_size_and_nearly_the_same(served, inputs, answers, network, tmp_path):
    folder = export_saved_model(network, tmp_path, weights="float16", warm_up=False)
    whole, half = (sum(f.stat().st_size for f in (path / "variables").iterdir()) for path in (served[0] / "1", folder))
    assert half < 0.6 * whole
    register = tf.saved_model.load(str(folder)).signatures["register"]
    found = register(**{key: tf.constant(value) for key, value in inputs["register"].items()})
    difference = np.abs(found["displacement"] - answers["register"]["displacement"])
    assert 0 < difference.max() < 0.05


def test_weights_that_do_not_fit_are_refused(tmp_path):
    network = VxmDense((16, 20), features=((4,), (4,)))
    network.get_layer("flow").bias.assign([1e6, 0.0])
    with pytest.raises(ValueError, match="does not fit in float16"):
        export_saved_model(network, tmp_path, weights="float16")
    assert not list(tmp_path.iterdir())


def test_the_card_says_what_the_model_is(served, network):
    card = json.loads((served[0] / "model_card.json").read_text())
    assert card == json.loads((served[0] / "1" / "assets.extra" / "model_card.json").read_text())
    assert card["version"] == 1 and set(card["signatures"]) == {*NAMES, "serving_default"}
    assert card["grid"] == {key: list(v) if isinstance(v, tuple) else v for key, v in GRID.items()}
    assert card["network"]["parameters"] == network.count_params()
    assert card["intensities"]["normalization"] == "percentile"
    assert card["sha256"]["saved_model.pb"].startswith("sha256:")


@pytest.fixture(scope="module")
def model(served):
    return tf.saved_model.load(str(served[0] / "1"))


def test_warm_up_requests_are_answered(served, model):
    """Parsed as protocol buffers by hand: field numbers of TensorFlow Serving's prediction_log.proto."""
    asked = []
    for record in tf.data.TFRecordDataset(str(served[0] / "1" / FILE)):
        request = fields(fields(fields(record.numpy())[6][0])[1][0])
        name = fields(request[1][0])[3][0].decode()
        values = {}
        for entry in request[2]:
            key, tensor = (fields(entry)[number][0] for number in (1, 2))
            values[key.decode()] = tf.constant(tf.make_ndarray(TensorProto.FromString(tensor)))
        answer = model.signatures[name](**values)
        assert all(np.all(np.isfinite(v)) for v in answer.values() if v.dtype == tf.float32)
        asked.append(name)
    assert set(asked) == {*NAMES, "serving_default"}


def fields(message):
    """{number: [content, ...]} of a message of length-delimited fields."""
    found, place = {}, 0
    while place < len(message):
        tag, place = varint(message, place)
        assert tag & 7 == 2
        size, place = varint(message, place)
        found.setdefault(tag >> 3, []).append(message[place : place + size])
        place += size
    return found


def varint(message, place):
    value = shift = 0
    while True:
        byte = message[place]
        value, shift, place = value | (byte & 127) << shift, shift + 7, place + 1
        if byte < 128:
            return value, place


PLAIN = np.zeros((1, 6, 7, 8, 1), "float32") + np.arange(8, dtype="float32")[:, None]
ZIP = gzip.compress(np.arange(336, dtype="<u2").tobytes())
VOLUME = {"shape": np.array([6, 7, 8], "int32"), "dtype": b"uint16"}


def bytes_request(content=ZIP, **changes):
    described = {**VOLUME, **changes}
    pair = {"moving": content, "fixed": ZIP}
    return {**pair, **{f"moving_{k}": v for k, v in described.items()}, **{f"fixed_{k}": v for k, v in VOLUME.items()}}


HOSTILE = {
    "nan": ("register", {"moving": PLAIN * np.nan, "fixed": PLAIN}, "moving: holds values that are NaN"),
    "other shape": ("register", {"moving": PLAIN, "fixed": PLAIN[:, 1:]}, "lie on one grid"),
    "empty batch": ("register", {"moving": PLAIN[:0], "fixed": PLAIN[:0]}, "the batch is empty"),
    "no voxels": ("register", {"moving": PLAIN[:, :0], "fixed": PLAIN[:, :0]}, "at least 1 voxel"),
    "channels": ("register", {"moving": np.repeat(PLAIN, 2, -1), "fixed": PLAIN}, "moving: an image has 1 channel"),
    "displacement": ("warp", {"image": PLAIN, "displacement": np.zeros((1, 6, 7, 9, 3), "f4")}, "lie on one grid"),
    "not gzip": ("register_bytes", bytes_request(b"volume"), "is not gzipped"),
    "short": ("register_bytes", bytes_request(gzip.compress(b"ab")), "bytes once inflated"),
    "negative": ("register_bytes", bytes_request(shape=np.array([-6, 7, 8], "int32")), "at least 1 voxel"),
    "axes": ("register_bytes", bytes_request(shape=np.array([6, 56], "int32")), "moving_shape: holds 3 sizes"),
    "huge": ("register_bytes", bytes_request(shape=np.array([30000] * 3, "int32")), "at most"),
    "type": ("register_bytes", bytes_request(dtype=b"\xff\xfe"), "moving_dtype: is one of uint8"),
    "no nifti": ("register_nifti", {"moving": b"volume", "fixed": b""}, "is no NIfTI file"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_wrong_with_a_request_is_said(model, case):
    name, request, message = HOSTILE[case]
    signature = model.signatures[name]
    with pytest.raises((tf.errors.InvalidArgumentError, ValueError), match=message):
        signature(**{key: tf.constant(value) for key, value in request.items()})
