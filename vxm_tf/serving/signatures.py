"""All signatures of a served network, in one place.

All numbers in requests and answers are float32 or int32; TensorFlow Serving answers in base64 where a name ends in
`_bytes`.

| signature | inputs | outputs |
|---|---|---|
| `register`, also `serving_default` | `moving`, `fixed` | `moved`, `displacement` |
| `displacement_only` | `moving`, `fixed` | `displacement` |
| `inverse` | `moving`, `fixed` | `fixed_moved`, `inverse_displacement`, solved |
| `warp` | `image`, `displacement` | `moved`, linear |
| `warp_labels` | `labels`, int32, `displacement` | `moved`, int32, nearest neighbour |
| `register_bytes` | see `volume_bytes` | `moved_bytes`, `moved_range`, `displacement_bytes`, `shape` |
| `register_nifti` | `moving`, `fixed`, as files | `moved_bytes`, `transform_bytes`, as files |

`inverse` needs a network that integrates, `register_bytes` and `register_nifti` one for single-channel images, and
`register_nifti` three axes.
"""

import contextlib
import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

import tensorflow as tf
from absl import logging

from vxm_tf import ops
from vxm_tf.models import RegistrationNetwork
from vxm_tf.ops.tensors import Shape
from vxm_tf.serving.graph import conditions, volume_bytes
from vxm_tf.serving.graph.graph_inversion import solved_inverse
from vxm_tf.serving.graph.graph_registration import register_native
from vxm_tf.serving.graph.intensity import normalize
from vxm_tf.serving.graph.nifti_reading import read_nifti
from vxm_tf.serving.graph.nifti_writing import VECTOR_INTENT, right_angled, write_nifti
from vxm_tf.spatial.working_grid import GridSettings

DEFAULT = "serving_default"

Tensors: TypeAlias = dict[str, tf.Tensor]
Context: TypeAlias = Callable[[], AbstractContextManager]


def signatures(network: RegistrationNetwork, context: Context = contextlib.nullcontext) -> dict[str, Callable]:
    """The `tf.function` of each signature by name, with its input signature.

    Args:
        network: network for any shape, in float32.
        context: returns the context in which the network computes, see `weights.context_for`.
    """

    answering = functools.cache(functools.partial(_answering, network, context))
    functions = {
        "register": _of_pair(network, answering("moved", "displacement")),
        "displacement_only": _of_pair(network, answering("displacement")),
    }
    if network.settings["integration_steps"]:
        functions["inverse"] = _inverse(network, answering("displacement", "inverse_displacement"))
    ndim, channels = len(network.settings["image_shape"]), tuple(network.settings["channels"])
    functions["warp"] = _warp(ndim, "image", "linear", tf.float32)
    # Ids of atlases reach beyond 2^24, where float32 ends to be exact.
    functions["warp_labels"] = _warp(ndim, "labels", "nearest", tf.int32)
    if channels == (1, 1):
        functions["register_bytes"] = _register_bytes(network, answering("displacement"))
        if ndim == 3:
            functions["register_nifti"] = _register_nifti(network, answering("displacement"))
    return {DEFAULT: functions["register"], **functions}


def _answering(network: RegistrationNetwork, context: Context, *names: str) -> Callable[..., Tensors]:
    """A function from `moving` and `fixed` to outputs of a network, traced once for all signatures that share it."""
    logging.info("Tracing the network for %s.", " and ".join(names))
    model = network.with_outputs(*names)

    def answer(moving: tf.Tensor, fixed: tf.Tensor) -> Tensors:
        with context():
            outputs = model({"moving": moving, "fixed": fixed})
        return {name: _finite_answer(tensor) for name, tensor in outputs.items()}

    # A function that is not concrete would be traced once more when it is saved.
    return _function(answer, _pair_specs(network)).get_concrete_function()


def _finite_answer(tensor: tf.Tensor) -> tf.Tensor:
    message = "the network's answer is not finite; are moving and fixed normalised as it was trained?"
    return conditions.after([conditions.require(tf.reduce_all(tf.math.is_finite(tensor)), message)], tensor)


def normalization(network: RegistrationNetwork) -> str:
    """Name of the method that normalises a network's input, see `vxm_tf.data.normalization`."""
    return network.metadata.get("normalization", "percentile")


def _of_pair(network: RegistrationNetwork, answer: Callable[..., Tensors]) -> Callable:
    channels = network.settings["channels"]

    def call(moving: tf.Tensor, fixed: tf.Tensor) -> Tensors:
        moving, fixed = (conditions.image(t, n, c) for t, n, c in zip((moving, fixed), ("moving", "fixed"), channels))
        moving, fixed = conditions.same_grid(moving, fixed, ("moving", "fixed"))
        return answer(moving, fixed)

    return _function(call, _pair_specs(network))


def _pair_specs(network: RegistrationNetwork) -> list[tf.TensorSpec]:
    spatial, channels = network.settings["image_shape"], network.settings["channels"]
    return [_spec((None, *spatial, count), name) for name, count in zip(("moving", "fixed"), channels)]


def _inverse(network: RegistrationNetwork, answer: Callable[..., Tensors]) -> Callable:
    """The displacement that undoes the network's, solved; the network's own, from its negative velocity, is a start."""
    fill_value = network.settings.get("fill_value")
    border: dict[str, Any] = {} if fill_value is None else {"fill_mode": "constant", "fill_value": fill_value}

    def solve(moving: tf.Tensor, fixed: tf.Tensor) -> Tensors:
        fields = answer(moving, fixed)
        inverse = solved_inverse(fields["displacement"], fields["inverse_displacement"])
        return {"inverse_displacement": inverse, "fixed_moved": ops.warp(fixed, inverse, **border)}

    return _of_pair(network, solve)


def _warp(ndim: int, name: str, interpolation: str, dtype: tf.DType) -> Callable:
    spatial = (None,) * ndim
    specs = [_spec((None, *spatial, None), name, dtype), _spec((None, *spatial, ndim), "displacement")]

    def call(image: tf.Tensor, displacement: tf.Tensor) -> Tensors:
        image, displacement = conditions.image(image, name), conditions.image(displacement, "displacement", ndim)
        image, displacement = conditions.same_grid(image, displacement, (name, "displacement"))
        return {"moved": ops.warp(image, displacement, interpolation)}

    return _function(call, specs)


def _register_bytes(network: RegistrationNetwork, answer: Callable[..., Tensors]) -> Callable:
    ndim, method = len(network.settings["image_shape"]), normalization(network)
    specs = []
    for name in ("moving", "fixed"):
        specs += [
            _spec((), name, tf.string),
            _spec((None,), f"{name}_shape", tf.int32),
            _spec((), f"{name}_dtype", tf.string),
        ]

    def call(
        moving: tf.Tensor,
        moving_shape: tf.Tensor,
        moving_dtype: tf.Tensor,
        fixed: tf.Tensor,
        fixed_shape: tf.Tensor,
        fixed_dtype: tf.Tensor,
    ) -> Tensors:
        moving = volume_bytes.decode(moving, moving_shape, moving_dtype, ndim, "moving")
        fixed = volume_bytes.decode(fixed, fixed_shape, fixed_dtype, ndim, "fixed")
        pair = conditions.same_grid(moving[None, ..., None], fixed[None, ..., None], ("moving", "fixed"))
        images = {name: normalize(image[0, ..., 0], method, name) for image, name in zip(pair, ("moving", "fixed"))}
        images = {name: image[None, ..., None] for name, image in images.items()}
        displacement = answer(**images)["displacement"]
        moved = ops.warp(pair[0], displacement)
        moved_bytes, moved_range = volume_bytes.encode_image(moved[0, ..., 0])
        return {
            "moved_bytes": moved_bytes,
            "moved_range": moved_range,
            "displacement_bytes": volume_bytes.encode_displacement(displacement[0]),
            "shape": tf.identity(fixed_shape),
        }

    return _function(call, specs)


def _register_nifti(network: RegistrationNetwork, answer: Callable[..., Tensors]) -> Callable:
    settings, method = GridSettings.recorded(network.metadata), normalization(network)

    def predict(moving: tf.Tensor, fixed: tf.Tensor) -> tf.Tensor:
        return answer(moving, fixed)["displacement"]

    def call(moving: tf.Tensor, fixed: tf.Tensor) -> Tensors:
        moving_volume, fixed_volume = read_nifti(moving, "moving"), read_nifti(fixed, "fixed")
        fixed_volume = fixed_volume._replace(affine=right_angled(fixed_volume.affine, "fixed"))
        moved, displacement_mm = register_native(predict, moving_volume, fixed_volume, settings, method)
        # ITK's axes run to the left and to the back.
        vectors = displacement_mm * tf.constant([-1.0, -1.0, 1.0])
        return {
            "moved_bytes": write_nifti(moved, fixed_volume.affine),
            "transform_bytes": write_nifti(vectors, fixed_volume.affine, VECTOR_INTENT),
        }

    return _function(call, [_spec((), name, tf.string) for name in ("moving", "fixed")])


def _function(call: Callable[..., Tensors], specs: list[tf.TensorSpec]) -> Any:
    # No Python control flow here depends on a tensor, and AutoGraph's search for it takes longer than tracing.
    return tf.function(call, input_signature=specs, autograph=False)


def _spec(shape: Shape, name: str, dtype: tf.DType = tf.float32) -> tf.TensorSpec:
    return tf.TensorSpec(shape, dtype, name=name)
