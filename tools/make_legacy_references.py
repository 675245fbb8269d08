"""Save small models of the original VoxelMorph for TensorFlow, with their outputs, as references for the tests.

The original needs an old Python and legacy Keras, so it runs in an environment of its own::

    python3.10 -m venv old
    old/bin/pip install tensorflow-cpu tf-keras 'voxelmorph==0.2' 'neurite==0.2' pystrum
    old/bin/python tools/make_legacy_references.py tests/models/legacy/files

Every case leaves `<case>.h5`, the whole model without optimizer, and `<case>.npz` with `moving`, `fixed`,
`displacement` and `moved` (and `fixed_moved` where the model is bidirectional), each float32 of the shape
`[1, *spatial, channels]`. The case `weights_only` leaves its weights in both layouts of legacy Keras,
`weights_only.h5` and `weights_only.weights.h5`, and its constructor arguments in `weights_only.json`.

With `voxelmorph==0.1` installed in place of 0.2 the script writes the case `version_0_1` only.
"""

import argparse
import json
import os
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["VXM_BACKEND"] = "tensorflow"
os.environ["NEURITE_BACKEND"] = "tensorflow"
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
import voxelmorph as vxm

MEAN_DISPLACEMENT = 1.5
MEAN_OFFSET = (0.5, -0.3, 0.4)
DEEP_SHAPE = (16, 32, 48)
SHAPE = (8, 12, 16)
FEATURES = [[4, 6], [6, 4, 4]]
SMALL = {"inshape": SHAPE, "nb_unet_features": FEATURES}

CASES = {
    "default": {"inshape": DEEP_SHAPE},
    "int_steps_0": {**SMALL, "int_steps": 0},
    "bidir": {**SMALL, "bidir": True},
    "use_probs": {**SMALL, "use_probs": True},
    "multichannel": {**SMALL, "src_feats": 2, "trg_feats": 3},
    "two_d": {"inshape": (16, 24), "nb_unet_features": FEATURES},
    "integer_features": {
        "inshape": (8, 16, 24),
        "nb_unet_features": 4,
        "nb_unet_levels": 4,
        "unet_feat_mult": 2,
        "nb_unet_conv_per_level": 2,
    },
    "int_downsize": {**SMALL, "int_downsize": 4},
    "half_res": {**SMALL, "svf_resolution": 2, "int_resolution": 2},
    "svf_2_int_1": {**SMALL, "svf_resolution": 2, "int_resolution": 1},
    "unet_half_res": {**SMALL, "unet_half_res": True},
    "fill_value": {**SMALL, "fill_value": 0.25},
    "reg_field_warp": {**SMALL, "reg_field": "warp"},
    "no_final": {"inshape": SHAPE, "nb_unet_features": [[4, 6], [6, 4]]},
}


def smooth_image(rng, shape, channels):
    """Return a smooth random image in [0, 1] of the shape `[1, *shape, channels]`, in steps of 1/255."""
    image = rng.random((1, *shape, channels))
    for _ in range(3):
        for axis in range(1, len(shape) + 1):
            image = (np.roll(image, 1, axis) + image + np.roll(image, -1, axis)) / 3
    image = (image - image.min()) / (image.max() - image.min())
    return (np.round(image * 255) / 255).astype("float32")


def find_layer(model, ending):
    """Return the convolution of `model` whose name ends with `ending`, or None."""
    found = [layer for layer in model.layers if layer.name.endswith(ending) and hasattr(layer, "kernel")]
    return found[0] if found else None


def mean_norm(field):
    """Return the mean length of the vectors of `field`."""
    return float(np.linalg.norm(field, axis=-1).mean())


def randomise(model, pair, rng):
    """Give the convolutions random biases and set the flow head to a varying displacement of a voxel or two."""
    flow, log_sigma = find_layer(model, "flow"), find_layer(model, "log_sigma")
    for layer in model.layers:
        if hasattr(layer, "kernel") and layer is not log_sigma:
            layer.bias.assign(rng.normal(0, 0.05, layer.bias.shape))
    flow.kernel.assign(rng.normal(0, 0.1, flow.kernel.shape))
    if log_sigma is not None:
        # The standard deviation exp(-1000 / 2) is 0 in float32, so that the sampled flow equals its mean.
        log_sigma.bias.assign(np.full(log_sigma.bias.shape, -1000.0))
    registration = model.get_registration_model()
    for _ in range(12):
        displacement = registration(pair).numpy()
        offset = displacement.mean(tuple(range(displacement.ndim - 1))) - MEAN_OFFSET[: displacement.shape[-1]]
        scale = MEAN_DISPLACEMENT / mean_norm(displacement - offset)
        flow.kernel.assign(flow.kernel * scale)
        flow.bias.assign((flow.bias - offset / 2) * scale)


def build(arguments, seed):
    """Return a VxmDense with seeded random weights, and a pair of images for it."""
    rng = np.random.default_rng(seed)
    tf.keras.utils.set_random_seed(seed)
    shape = arguments["inshape"]
    moving = smooth_image(rng, shape, arguments.get("src_feats", 1))
    fixed = smooth_image(rng, shape, arguments.get("trg_feats", 1))
    model = vxm.networks.VxmDense(**arguments)
    randomise(model, [moving, fixed], rng)
    return model, [moving, fixed]


def save_outputs(model, pair, path, bidir=False):
    """Save the images in `pair` and the outputs of `model` for them to `path`."""
    outputs = [output.numpy() for output in model(pair)]
    arrays = {
        "moving": pair[0],
        "fixed": pair[1],
        "displacement": model.get_registration_model()(pair).numpy(),
        "moved": outputs[0],
    }
    if bidir:
        arrays["fixed_moved"] = outputs[1]
    np.savez_compressed(path, **arrays)
    norm = np.linalg.norm(arrays["displacement"], axis=-1)
    shapes = {name: array.shape for name, array in arrays.items()}
    print(f"{path.stem}: mean {norm.mean():.3f}, max {norm.max():.3f} voxels; {shapes}")


def save_case(folder, case, arguments, seed):
    """Save the model and the outputs of one case."""
    model, pair = build(arguments, seed)
    model.save(folder / f"{case}.h5", include_optimizer=False)
    save_outputs(model, pair, folder / f"{case}.npz", arguments.get("bidir", False))


def label_branch(number):
    """Return a label map input and the image that a Lambda and a trainable convolution compute from it."""
    encode = lambda x: tf.one_hot(tf.cast(x[..., 0], tf.int32), depth=4)  # noqa: E731
    # The model file holds the lambda's byte code, with the path of its source.
    encode.__code__ = encode.__code__.replace(co_filename="synthesis.py")
    labels = tf.keras.Input((*SHAPE, 1), name=f"labels_{number}")
    one_hot = tf.keras.layers.Lambda(encode, name=f"one_hot_{number}")(labels)
    image = tf.keras.layers.Conv3D(1, 3, padding="same", bias_initializer="random_normal", name=f"synth_conv_{number}")(
        one_hot
    )
    return labels, image


def save_input_model(folder, seed):
    """Save a model stacked on the generation of its images, as SynthMorph's training does.

    The outputs are those of the registration alone, with the same weights, for images given after the input model.
    """
    plain, pair = build(SMALL, seed)
    branches = [label_branch(1), label_branch(2)]
    labels, images = zip(*branches)
    generation = tf.keras.Model(inputs=list(labels), outputs=list(images), name="generation")
    model = vxm.networks.VxmDense(**SMALL, input_model=generation)
    for layer in plain.layers:
        if layer.weights:
            model.get_layer(layer.name).set_weights(layer.get_weights())
    model.save(folder / "input_model.h5", include_optimizer=False)
    save_outputs(plain, pair, folder / "input_model.npz")


def save_weights_only(folder, seed):
    """Save weights in both layouts of legacy Keras, the constructor arguments, and the outputs."""
    model, pair = build(SMALL, seed)
    model.save_weights(folder / "weights_only.h5", save_format="h5")
    model.save_weights(folder / "weights_only.weights.h5")
    (folder / "weights_only.json").write_text(json.dumps(SMALL, indent=2) + "\n")
    save_outputs(model, pair, folder / "weights_only.npz")


def main():
    """Save all cases of the installed version of VoxelMorph."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder for the files")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    if not hasattr(vxm, "__version__"):  # 0.1 does not tell its version
        save_case(folder, "version_0_1", SMALL, seed=100)
        return
    for seed, (case, arguments) in enumerate(CASES.items()):
        save_case(folder, case, arguments, seed)
    save_input_model(folder, len(CASES))
    save_weights_only(folder, len(CASES) + 1)


if __name__ == "__main__":
    main()
