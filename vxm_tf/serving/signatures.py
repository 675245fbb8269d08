"""All signatures of a served network, in one place.

Every number at an edge is float32 or int32; names that end in `_bytes` make TensorFlow Serving answer in base64.

| signature | in | out |
|---|---|---|
| `register`, also `serving_default` | `moving`, `fixed` | `moved`, `displacement` |
| `displacement_only` | `moving`, `fixed` | `displacement` |
| `inverse` | `moving`, `fixed` | `fixed_moved`, `inverse_displacement` |
| `warp` | `image`, `displacement` | `moved`, linear |
| `warp_labels` | `labels`, `displacement` | `moved`, nearest neighbour |
| `register_bytes` | see `volume_bytes` | `moved_bytes`, `moved_range`, `displacement_bytes`, `shape` |
| `register_nifti` | `moving`, `fixed`, files | `moved_bytes`, `transform_bytes`, files |

`inverse` needs a network that integrates; the last two one that takes single channels, `register_nifti` three axes.
"""

import contextlib
import functools

import tensorflow as tf
from absl import logging

from vxm_tf import ops
from vxm_tf.serving.graph import conditions, volume_bytes
from vxm_tf.serving.graph.graph_registration import register_native
from vxm_tf.serving.graph.intensity import normalize
from vxm_tf.serving.graph.nifti_reading import read_nifti
from vxm_tf.serving.graph.nifti_writing import VECTOR_INTENT, right_angled, write_nifti
from vxm_tf.spatial.working_grid import GridSettings

DEFAULT = "serving_default"


def signatures(network, context=contextlib.nullcontext) -> dict:
    """Name to `tf.function` with its input signature.

    Args:
        network: a `RegistrationNetwork` for any shape, in float32.
        context: gives the context that the network computes in, see `weights.context_for`.
    """

    answering = functools.cache(functools.partial(_answering, network, context))
    found = {
        "register": _of_pair(network, answering("moved", "displacement")),
        "displacement_only": _of_pair(network, answering("displacement")),
    }
    if network.settings["integration_steps"]:
        found["inverse"] = _of_pair(network, answering("fixed_moved", "inverse_displacement"))
    ndim, channels = len(network.settings["image_shape"]), tuple(network.settings["channels"])
    found["warp"] = _warp(ndim, "image", "linear")
    found["warp_labels"] = _warp(ndim, "labels", "nearest")
    if channels == (1, 1):
        found["register_bytes"] = _register_bytes(network, answering("displacement"))
        if ndim == 3:
            found["register_nifti"] = _register_nifti(network, answering("displacement"))
    return {DEFAULT: found["register"], **found}


def _answering(network, context, *names):
    """From `moving` and `fixed` to a network's outputs; traced once for all signatures that ask for the same."""
    logging.info("Tracing the network for %s.", " and ".join(names))
    model = network.with_outputs(*names)

    def answer(moving, fixed):
        with context():
            outputs = model({"moving": moving, "fixed": fixed})
        return {name: _finite_answer(tensor) for name, tensor in outputs.items()}

    # A function that is not concrete would be traced once more when it is saved.
    return _function(answer, _pair_specs(network)).get_concrete_function()


def _finite_answer(tensor):
    said = "the network's answer is not finite; are moving and fixed normalised as it was trained?"
    return conditions.after([conditions.require(tf.reduce_all(tf.math.is_finite(tensor)), said)], tensor)


def normalization(network) -> str:
    """How intensities are normalised before a network sees them."""
    return network.metadata.get("normalization", "percentile")


def _of_pair(network, answer):
    channels = network.settings["channels"]

    def call(moving, fixed):
        moving, fixed = (conditions.image(t, n, c) for t, n, c in zip((moving, fixed), ("moving", "fixed"), channels))
        moving, fixed = conditions.same_grid(moving, fixed, ("moving", "fixed"))
        return answer(moving, fixed)

    return _function(call, _pair_specs(network))


def _pair_specs(network):
    spatial, channels = network.settings["image_shape"], network.settings["channels"]
    return [_spec((None, *spatial, count), name) for name, count in zip(("moving", "fixed"), channels)]


def _warp(ndim, name, interpolation):
    spatial = (None,) * ndim
    specs = [_spec((None, *spatial, None), name), _spec((None, *spatial, ndim), "displacement")]

    def call(image, displacement):
        image, displacement = conditions.image(image, name), conditions.image(displacement, "displacement", ndim)
        image, displacement = conditions.same_grid(image, displacement, (name, "displacement"))
        return {"moved": ops.warp(image, displacement, interpolation)}

    return _function(call, specs)


def _register_bytes(network, answer):
    ndim, method = len(network.settings["image_shape"]), normalization(network)
    specs = []
    for name in ("moving", "fixed"):
        specs += [
            _spec((), name, tf.string),
            _spec((None,), f"{name}_shape", tf.int32),
            _spec((), f"{name}_dtype", tf.string),
        ]

    def call(moving, moving_shape, moving_dtype, fixed, fixed_shape, fixed_dtype):
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


def _register_nifti(network, answer):
    settings, method = GridSettings.recorded(network.metadata), normalization(network)

    def predict(moving, fixed):
        return answer(moving, fixed)["displacement"]

    def call(moving, fixed):
        moving, fixed = read_nifti(moving, "moving"), read_nifti(fixed, "fixed")
        fixed = fixed._replace(affine=right_angled(fixed.affine, "fixed"))
        moved, displacement_mm = register_native(predict, moving, fixed, settings, method)
        # ITK's axes run to the left and to the back.
        vectors = displacement_mm * tf.constant([-1.0, -1.0, 1.0])
        return {
            "moved_bytes": write_nifti(moved, fixed.affine),
            "transform_bytes": write_nifti(vectors, fixed.affine, VECTOR_INTENT),
        }

    return _function(call, [_spec((), name, tf.string) for name in ("moving", "fixed")])


def _function(call, specs):
    """Nothing here depends on a tensor by way of Python, and looking for it takes longer than tracing."""
    return tf.function(call, input_signature=specs, autograph=False)


def _spec(shape, name, dtype=tf.float32):
    return tf.TensorSpec(shape, dtype, name=name)
