"""One battery for every layer, loss, penalty and model: saved, loaded, traced, in half precision, of any size."""

import dataclasses
import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import vxm_tf
from vxm_tf import layers, losses, models
from vxm_tf.ops import fusion
from vxm_tf.serving.saved_model import function_of_any_shape

FEATURES = ((4, 5), (6, 4, 4))


@dataclasses.dataclass(frozen=True)
class Example:
    """How to build an object and what to call it with.

    `channels` holds the last axis of every input, which is `extra` voxels larger than `shape` and then `coarser` times
    smaller; `half` is the policy for what concerns mixed precision.
    """

    build: Callable
    shape: tuple[int, ...]
    channels: tuple[int, ...]
    extra: tuple[int, ...] = (0, 0, 0)
    coarser: tuple[int, ...] = (1, 1, 1)
    half: str = "mixed_float16"

    def inputs(self, rng, batch=2, longer=0):
        inputs = zip(self.channels, self.extra, self.coarser, strict=False)
        sizes = [([(n + longer + more) // times for n in self.shape], count) for count, more, times in inputs]
        return [rng.random((batch, *size, count), "float32") for size, count in sizes]

    def specs(self):
        return [tf.TensorSpec([*[None] * (len(self.shape) + 1), count]) for count in self.channels]


def vxm_dense(*args, **settings):
    """A small network whose displacement is not nearly zero."""
    return moving(models.VxmDense(*args, **{"features": FEATURES, "integration_steps": 1, **settings}))


def vxm_pyramid(*args, **settings):
    """A small network whose displacement is not nearly zero."""
    small = {"features": (4, 5), "iterations": (1, 0), "integration_steps": 5}
    return moving(models.VxmPyramid(*args, **{**small, **settings}), "flow_0")


def vxm_probabilistic(*args, **settings):
    """A small network whose displacement is not nearly zero."""
    small = {"features": (4, 5), "iterations": (1, 0), "integration_steps": 5}
    return moving(models.VxmProbabilistic(*args, **{**small, **settings}), "flow_0")


def moving(network, head="flow"):
    """The network with a displacement that is not nearly zero."""
    head = network.get_layer(head)
    kernel, bias = head.get_weights()
    head.set_weights([np.random.default_rng(1).normal(0, 0.03, kernel.shape), bias])
    return network


def bare_unet(shape):
    images = keras.Input((*shape, 2))
    return keras.Model(images, models.unet(images, *FEATURES))


EVERYTHING = (*models.VxmDense.BIDIRECTIONAL, "velocity")
EXAMPLES = {
    "SpatialTransformer": Example(layers.SpatialTransformer, (9, 10, 11), (2, 3)),
    "SpatialTransformer, all settings": Example(
        lambda: layers.SpatialTransformer("nearest", fill_mode="constant", fill_value=2.0, name="labels"),
        (15, 18),
        (1, 2),
        extra=(-3, 0),
    ),
    "VecInt": Example(lambda: layers.VecInt(3), (15, 18), (2,)),
    "VecInt without steps": Example(lambda: layers.VecInt(0), (9, 10, 11), (3,)),
    "ResizeDisplacement up": Example(lambda: layers.ResizeDisplacement(2), (9, 10, 11), (3,)),
    "ResizeDisplacement down": Example(lambda: layers.ResizeDisplacement(1 / 3), (15, 18), (2,)),
    "ResizeDisplacement from the origin": Example(
        lambda: layers.ResizeDisplacement(2, rule="origin"), (9, 10, 11), (3,)
    ),
    "AlignmentForce": Example(layers.AlignmentForce, (8, 10, 12), (2, 2, 3), coarser=(1, 1, 2)),
    "AlignmentForce, all settings": Example(
        lambda: layers.AlignmentForce(3, name="pull"), (16, 18), (1, 1, 2), coarser=(1, 1, 2)
    ),
    "DescentStep": Example(lambda: layers.DescentStep(2, 0.3, 0.2, 0.7), (15, 18), (2, 2, 2)),
    "EdgeStrength": Example(layers.EdgeStrength, (9, 10, 11), (2,)),
    "PadToMultiple": Example(lambda: layers.PadToMultiple(8), (9, 10, 11), (2,)),
    "CropLike": Example(layers.CropLike, (15, 18), (3, 1), extra=(5, 0)),
    "LNCC": Example(losses.LNCC, (15, 18), (1, 1)),
    "LNCC, all settings": Example(
        lambda: losses.LNCC(3, epsilon=1e-6, name="similarity", reduction="sum"), (9, 10, 11), (2, 2)
    ),
    "MSE": Example(lambda: losses.MSE(0.1), (15, 18), (2, 2)),
    "MutualInformation": Example(lambda: losses.MutualInformation(8), (15, 18), (1, 1)),
    "MutualInformation in blocks": Example(
        lambda: losses.MutualInformation(6, patch=4, name="similarity", reduction="sum"), (9, 10, 11), (2, 2)
    ),
    "SoftDice": Example(losses.SoftDice, (9, 10, 11), (4, 4)),
    "GradientPenalty l1": Example(lambda: losses.GradientPenalty("l1"), (15, 18), (2,)),
    "GradientPenalty l2": Example(losses.GradientPenalty, (9, 10, 11), (3,)),
    "LaplacianKL": Example(lambda: losses.LaplacianKL(3.0, 0.4), (9, 10, 11), (3, 3)),
    "BendingEnergy": Example(losses.BendingEnergy, (9, 10, 11), (3,)),
    "VxmDense 2-D": Example(lambda: vxm_dense((15, 18), outputs=EVERYTHING, name="brains"), (15, 18), (1, 1)),
    # On a CPU, TensorFlow pools volumes in bfloat16 but not in float16.
    "VxmDense 3-D": Example(
        lambda: vxm_dense((9, 10, 11), channels=(2, 1), velocity_resolution=2),
        (9, 10, 11),
        (2, 1),
        half="mixed_bfloat16",
    ),
    "VxmDense of any size": Example(lambda: vxm_dense((None, None)), (15, 18), (1, 1)),
    "VxmDense with normalised features": Example(
        lambda: vxm_dense((15, 18), instance_normalization=True, outputs=("displacement",)), (15, 18), (1, 1)
    ),
    "VxmDense without integration": Example(
        lambda: vxm_dense((15, 18), integration_steps=0, integration_resolution=1),
        (15, 18),
        (1, 1),
        half="mixed_bfloat16",
    ),
    "VxmPyramid 2-D": Example(
        lambda: vxm_pyramid((15, 18), iterations=(2, 1), outputs=EVERYTHING, window=3, name="brains"), (15, 18), (1, 1)
    ),
    "VxmPyramid 3-D": Example(lambda: vxm_pyramid((9, 10, 11), channels=2), (9, 10, 11), (2, 2)),
    "VxmPyramid of any size": Example(lambda: vxm_pyramid((None, None), descriptor="edges"), (15, 18), (1, 1)),
    "VxmProbabilistic": Example(
        lambda: vxm_probabilistic((15, 18), outputs=("displacement", "log_variance")), (15, 18), (1, 1)
    ),
    "VxmDense as VoxelMorph's": Example(
        lambda: vxm_dense((15, 18), features=(((4, 3), 5), (6, (4, 5), 4)), resize_rule="corners", fill_value=0.25),
        (15, 18),
        (1, 1),
    ),
    "Vxm2018 2-D, integrated": Example(
        lambda: moving(
            models.Vxm2018((15, 18), features=((4, 4, 5, 6), (6, 5, 4, 4, 3)), integration_steps=2, outputs=EVERYTHING)
        ),
        (15, 18),
        (1, 1),
    ),
    "Vxm2018 3-D": Example(
        lambda: moving(models.Vxm2018((9, 10, 11), channels=(2, 1), features=((4, 4, 5, 6), (6, 5, 4, 4, 4, 3, 4)))),
        (9, 10, 11),
        (2, 1),
    ),
    "unet": Example(lambda: bare_unet((None, None)), (16, 20), (2,)),
}
each_example = pytest.mark.parametrize("example", list(EXAMPLES.values()), ids=list(EXAMPLES))


def call(thing, *inputs):
    """A list of outputs."""
    if isinstance(thing, models.RegistrationNetwork):
        answer = thing(dict(zip(("moving", "fixed"), inputs, strict=True)))
        return [answer[name] for name in thing.settings["outputs"]]
    answer = thing(*inputs)
    return list(answer) if isinstance(answer, tuple) else [answer]


def plain(thing, *inputs):
    """`call` without compiling, which takes longer than all the rest."""
    with fusion.unfused():
        return call(thing, *inputs)


def of_any_size(thing):
    """The same thing for inputs whose sizes are known only when it runs."""
    if isinstance(thing, models.RegistrationNetwork):
        return thing.for_shape([None] * len(thing.settings["image_shape"]))
    return thing


def host(thing, example):
    """A model that holds the thing where Keras saves it: as itself, as a layer, a loss or a regulariser."""
    if isinstance(thing, keras.Model):
        return thing
    inputs = [keras.Input(spec.shape[1:], dtype="float32") for spec in example.specs()]
    if isinstance(thing, keras.layers.Layer):
        return keras.Model(inputs, thing(*inputs))
    if isinstance(thing, keras.losses.Loss):
        model = keras.Model(inputs[:1], keras.layers.Identity()(inputs[0]))
        model.compile("sgd", loss=thing)
        return model
    weighted = keras.layers.Dense(example.channels[0], activity_regularizer=thing)
    return keras.Model(inputs, weighted(inputs[0]))


def guest(model, thing):
    """What `host` put into a model, after loading it."""
    if isinstance(thing, keras.Model):
        return model
    if isinstance(thing, keras.layers.Layer):
        return model.get_layer(thing.name)
    return model.loss if isinstance(thing, keras.losses.Loss) else model.layers[-1].activity_regularizer


def policies(thing):
    """Every layer's, but for input layers, which compute nothing and take the global policy."""
    parts = [layer for layer in getattr(thing, "layers", []) if not isinstance(layer, keras.layers.InputLayer)]
    if type(thing).__module__.startswith("vxm_tf"):
        parts.append(thing)
    return [str(getattr(part, "dtype_policy", getattr(part, "dtype", None))) for part in parts]


def assert_equal(ours, expected, **tolerance):
    for one, other in zip(ours, expected, strict=True):
        one, other = (np.asarray(keras.ops.cast(value, "float32")) for value in (one, other))
        np.testing.assert_allclose(one, other, **{"rtol": 0, "atol": 0, **tolerance})


def test_every_public_class_has_an_example():
    public = {name for package in (layers, losses, models) for name in package.__all__}
    public = {name for name in public if any(inspect.isclass(getattr(p, name, 0)) for p in (layers, losses, models))}
    public.remove("RegistrationNetwork")  # What the networks inherit from.
    assert public <= {type(example.build()).__name__ for example in EXAMPLES.values()}


@each_example
def test_config_round_trip(example, rng):
    thing, inputs = example.build(), example.inputs(rng)
    text = json.dumps(keras.saving.serialize_keras_object(thing))
    again = keras.saving.deserialize_keras_object(json.loads(text))
    assert type(again) is type(thing)
    assert json.dumps(keras.saving.serialize_keras_object(again)) == text
    if isinstance(thing, keras.Model):
        again.set_weights(thing.get_weights())
    assert_equal(plain(again, *inputs), plain(thing, *inputs))


@each_example
@pytest.mark.parametrize("direction", [1, -1], ids=["saved in half precision", "loaded in half precision"])
def test_a_file_keeps_its_precision_policy_under_another(example, rng, tmp_path, direction):
    saved, loaded = ("float32", example.half)[::-direction]
    keras.config.set_dtype_policy(saved)
    thing, inputs = example.build(), example.inputs(rng)
    before, expected = policies(thing), plain(thing, *inputs)
    host(thing, example).save(tmp_path / "model.keras")
    keras.config.set_dtype_policy(loaded)
    again = guest(keras.models.load_model(tmp_path / "model.keras"), thing)
    assert type(again) is type(thing)
    assert policies(again) == before
    assert_equal(plain(again, *inputs), expected)


def test_files_load_in_safe_mode_where_nothing_but_the_package_is_imported(tmp_path):
    paths = []
    for number, example in enumerate(EXAMPLES.values()):
        paths.append(str(tmp_path / f"{number}.keras"))
        host(example.build(), example).save(paths[-1])
    program = "import sys, vxm_tf, keras\nfor path in sys.argv[1:]: keras.models.load_model(path)"
    root = Path(vxm_tf.__file__).parents[1]  # `-c` imports from the working directory first.
    run = subprocess.run([sys.executable, "-c", program, *paths], cwd=root, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]


@each_example
def test_saved_model_round_trip_with_unknown_batch_and_spatial_sizes(example, rng, tmp_path):
    thing = of_any_size(example.build())
    archive = keras.export.ExportArchive()
    if not isinstance(thing, keras.losses.Loss) and hasattr(thing, "weights"):
        plain(thing, *example.inputs(rng))
    with fusion.compiled_by(function_of_any_shape):
        archive.add_endpoint("serve", lambda *inputs: call(thing, *inputs), input_signature=example.specs())
        archive.write_out(tmp_path, verbose=False)
    artefact = tf.saved_model.load(tmp_path)
    for batch, longer in ((2, 0), (1, 4)):
        inputs = example.inputs(rng, batch, longer)
        assert_equal(artefact.serve(*inputs), plain(thing, *inputs), atol=1e-5)


@each_example
def test_graph_equals_eager(example, rng):
    thing, inputs = example.build(), example.inputs(rng)
    graph = tf.function(lambda *inputs: call(thing, *inputs))
    assert_equal(graph(*inputs), plain(thing, *inputs), rtol=1e-5, atol=1e-5)


@each_example
def test_unknown_batch_and_spatial_sizes_give_what_known_ones_give(example, rng):
    thing = example.build()
    flexible = of_any_size(thing)
    graph = tf.function(lambda *inputs: plain(flexible, *inputs), input_signature=example.specs())
    for batch, longer in ((2, 0), (1, 4)):
        inputs = example.inputs(rng, batch, longer)
        known = thing.for_shape(inputs[0].shape[1:-1]) if isinstance(thing, models.RegistrationNetwork) else thing
        assert_equal(graph(*inputs), plain(known, *inputs), atol=1e-5)


@each_example
def test_mixed_precision_is_finite_and_close(example, rng):
    whole, inputs = example.build(), example.inputs(rng)
    keras.config.set_dtype_policy(example.half)
    half = example.build()
    if isinstance(half, keras.Model):
        half.set_weights(whole.get_weights())
    for ours, expected in zip(plain(half, *inputs), plain(whole, *inputs), strict=True):
        assert np.isfinite(keras.ops.cast(ours, "float32")).all()
        scale = max(1.0, np.abs(expected).max())
        assert_equal([ours], [expected], atol=scale * {"mixed_float16": 0.01, "mixed_bfloat16": 0.05}[example.half])


@each_example
@pytest.mark.parametrize("half", [False, True], ids=["float32", "mixed precision"])
def test_gradients_are_finite_and_not_all_zero(example, rng, half):
    keras.config.set_dtype_policy(example.half if half else "float32")
    thing, inputs = example.build(), [tf.constant(array) for array in example.inputs(rng)]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        total = sum(keras.ops.sum(keras.ops.cast(output, "float32") ** 2) for output in plain(thing, *inputs))
    weights = [weight.value for weight in getattr(thing, "trainable_variables", [])]
    gradients = tape.gradient(total, [*inputs, *weights], unconnected_gradients="zero")
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    assert any(np.any(gradient) for gradient in gradients)
