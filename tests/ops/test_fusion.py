"""What is compiled gives what is not compiled, and is compiled only where sizes are known."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from vxm_tf import losses, ops
from vxm_tf.ops import fusion

FUSED = {
    "warp": lambda image, other, field: ops.warp(image, field),
    "warp with constant fill": lambda image, other, field: ops.warp(image, field, "linear", "constant", 2.0),
    "warp labels": lambda image, other, field: ops.warp(image, field, "nearest"),
    "resize": lambda image, other, field: ops.resize(field, [size + 3 for size in field.shape[1:-1]]),
    "integrate": lambda image, other, field: ops.integrate(field, 3),
    "LNCC": lambda image, other, field: losses.LNCC(3, reduction=None)(image, other),
    "l1": lambda image, other, field: losses.GradientPenalty("l1")(field),
    "l2": lambda image, other, field: losses.GradientPenalty("l2")(field),
    "bending energy": lambda image, other, field: losses.BendingEnergy()(field),
}
ALL = pytest.mark.parametrize("name", FUSED)


class CountingCompiler:
    """Compiles nothing, and counts what it is given and how often that is called."""

    def __init__(self):
        self.compiled = self.called = 0

    def __call__(self, function):
        self.compiled += 1

        def run(*tensors):
            self.called += 1
            return function(*tensors)

        return run


@pytest.fixture
def counter(compiler):
    counting = CountingCompiler()
    compiler(counting)
    return counting


@pytest.fixture
def inputs(rng):
    """Two images and a displacement whose locations keep clear of voxel centres, where the gradient jumps."""

    def draw(shape):
        cells = rng.integers(-2, 2, (2, *shape, len(shape)))
        field = (cells + rng.uniform(0.1, 0.4, cells.shape)).astype("float32")
        return [*rng.random((2, 2, *shape, 2), "float32"), field]

    return draw


def value_and_gradients(function, arrays):
    tensors = [tf.constant(array) for array in arrays]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = function(*tensors)
    return value, tape.gradient(value, tensors, unconnected_gradients="zero")


@ALL
def test_fused_values_and_gradients_equal_unfused_ones(name, inputs):
    arrays = inputs((9, 10, 11))
    fused, fused_gradients = value_and_gradients(FUSED[name], arrays)
    with fusion.unfused():
        plain, plain_gradients = value_and_gradients(FUSED[name], arrays)
    np.testing.assert_allclose(fused, plain, atol=1e-6 * max(1.0, np.abs(plain).max()))
    for ours, expected in zip(fused_gradients, plain_gradients, strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-6 * max(1.0, np.abs(expected).max()))


@ALL
def test_known_sizes_are_compiled(name, inputs, counter):
    FUSED[name](*inputs((15, 18)))
    assert counter.called > 0


def test_tensorflow_compiles_by_default():
    assert fusion._compiler is not None


@ALL
def test_nothing_is_compiled_inside_unfused(name, inputs, counter):
    with fusion.unfused():
        FUSED[name](*inputs((15, 18)))
    assert counter.compiled == 0


def test_compiling_resumes_after_unfused(inputs, counter):
    with fusion.unfused():
        pass
    FUSED["warp"](*inputs((15, 18)))
    assert counter.called == 1


def test_unfused_may_be_nested(inputs, counter):
    with fusion.unfused():
        with fusion.unfused():
            pass
        FUSED["warp"](*inputs((15, 18)))
    assert counter.compiled == 0


def test_compiling_resumes_after_an_error_inside_unfused(inputs, counter):
    with pytest.raises(ValueError, match="cubic"), fusion.unfused():
        ops.warp(*inputs((15, 18))[1:], "cubic")
    FUSED["warp"](*inputs((15, 18)))
    assert counter.called == 1


def test_another_compiler_takes_any_shape(inputs, counter):
    other = CountingCompiler()
    image, _, field = inputs((15, 18))
    signature = [tf.TensorSpec((2, None, None, 2)), tf.TensorSpec((2, None, None, 2))]
    with fusion.compiled_by(other):
        for _ in range(2):
            tf.function(ops.warp, input_signature=signature)(image, field)
    assert (counter.compiled, other.compiled, other.called) == (0, 1, 2)


@ALL
def test_unknown_spatial_sizes_are_not_compiled(name, inputs, counter):
    arrays = inputs((15, 18))
    if name == "resize":
        function = lambda image, other, field: ops.resize(field, (20, 21))  # noqa: E731
    else:
        function = FUSED[name]
    signature = [tf.TensorSpec((2, None, None, array.shape[-1])) for array in arrays]
    tf.function(function, input_signature=signature)(*arrays)
    assert counter.compiled == 0


def test_an_unknown_batch_size_is_compiled(inputs, counter):
    image, _, field = inputs((15, 18))
    signature = [tf.TensorSpec((None, 15, 18, 2)), tf.TensorSpec((None, 15, 18, 2))]
    tf.function(ops.warp, input_signature=signature)(image, field)
    assert counter.called == 1


def test_symbolic_tensors_of_keras_are_not_compiled(counter):
    ops.warp(keras.KerasTensor((1, 15, 18, 1)), keras.KerasTensor((1, 15, 18, 2)))
    assert counter.compiled == 0


def test_without_a_compiler_nothing_is_compiled(compiler, inputs, counter):
    compiler(None)
    FUSED["warp"](*inputs((15, 18)))
    assert counter.compiled == 0


def test_the_same_settings_are_compiled_once(inputs, counter):
    for _ in range(3):
        FUSED["warp"](*inputs((15, 18)))
    assert (counter.compiled, counter.called) == (1, 3)


def test_other_settings_are_compiled_on_their_own(inputs, counter):
    image, _, field = inputs((15, 18))
    linear, nearest = ops.warp(image, field), ops.warp(image, field, "nearest")
    assert counter.compiled == 2
    assert not np.allclose(linear, nearest)


def test_a_scalar_of_numpy_is_a_setting_and_not_a_tensor(counter):
    @fusion.fused
    def scaled(tensor, factor):
        return [type(factor), tensor * factor]

    kind, _ = scaled(np.ones((1, 2, 1)), np.float32(3))
    assert kind is np.float32
    assert counter.called == 1


def test_settings_known_only_when_the_graph_runs_are_not_compiled(counter):
    @fusion.fused
    def scaled(tensor, factor):
        return tensor * factor

    np.testing.assert_array_equal(scaled(np.ones((1, 2, 1), "float32"), tf.constant(3.0)), np.full((1, 2, 1), 3.0))
    assert counter.compiled == 0


def test_a_marked_function_keeps_its_name():
    assert ops.displacement._warp.__name__ == "_warp"
