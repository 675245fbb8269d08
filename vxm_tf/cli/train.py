"""The command vxm-train."""

from vxm_tf.cli import command
from vxm_tf.data import NORMALIZATIONS
from vxm_tf.models import PRESETS
from vxm_tf.training import TrainConfig, run_training as train
from vxm_tf.training.assembly import MODELS

DESCRIPTION = "Train a registration network on a folder of scans; without --data_dir on procedural phantoms."


def define_flags(values):
    """One flag for each field of `TrainConfig`."""
    flag = command.Flags(values, TrainConfig())
    flag.string("data_dir", "Folder of scans (NPZ, NIfTI, MGZ), with or without train/ and val/ inside.")
    flag.string("train_list", "Text file: image and optional segmentation on each line; instead of --data_dir.")
    flag.string("val_list", "The same, for validation.")
    flag.float("validation_fraction", "Of the scans, where there is no val/ folder or list.")
    flag.string("label_maps", "Folder(s) of label maps: images of random contrast made of them, instead of scans.")
    flag.numbers("shape", "Of those images; 80,96,112 by default.")
    flag.string("image_suffix", "How image names end before the extension, such as _norm.")
    flag.string("labels_suffix", "How segmentation names end before the extension, such as _seg.")
    flag.string("atlas", "Image that every scan is registered to; scan to scan without.")
    flag.boolean("multichannel", "The last axis of the files is channels.")
    flag.choice("normalization", NORMALIZATIONS, "How intensities are brought into [0, 1].")
    flag.numbers("spacing_mm", "Voxel size of files that hold none.")
    flag.string("orientation", "Where the axes of files that do not say point to, such as LIA.")
    flag.choice("cache", ("memory", "disk"), "Where decompressed scans are kept.")
    flag.string("output_dir", "For weights, logs and config.json; the same folder resumes.")
    flag.choice("model", MODELS, "Whether the network says how sure it is of every voxel.")
    flag.choice(
        "preset", PRESETS, "Network: small, base, large, any-contrast are VxmPyramid; default and fast VxmDense."
    )
    flag.integer("integration_steps", "Squarings; 0 for a plain displacement, -1 for the preset's.")
    flag.string("initial_model", "A .keras file to start from, instead of a new network of the preset.")
    flag.strings("augmentations", "Random changes of scans: flip, affine, deformation, intensity.")
    flag.choice("similarity", ("lncc", "mse"), "What makes two images alike.")
    flag.integer("window", "Edge of the LNCC's box, in voxels.")
    flag.float("image_sigma", "Noise of the MSE, in normalised intensity.")
    flag.choice("regularity", ("l2", "l1", "bending"), "What makes a field smooth.")
    flag.float("weight", "Of the regularity against the similarity.")
    flag.float("prior_lambda", "Precision of a probabilistic network's prior, per cell^2.")
    flag.boolean("bidirectional", "Score both directions, where the network integrates.")
    flag.integer("epochs", "At most so many.")
    flag.integer("steps_per_epoch", "Training steps an epoch.")
    flag.integer("batch_size", "Pairs a step.")
    flag.float("learning_rate", "The highest; it warms up, then falls along a cosine to a hundredth.")
    flag.integer("warmup_steps", "Steps until the highest learning rate.")
    flag.integer("patience", "Stop after so many epochs without a better validation score; 0 never.")
    flag.integer("max_val_pairs", "Pairs validated after each epoch, at most; 0 for none.")
    flag.choice("mixed_precision", ("auto", "off", "float16", "bfloat16"), "Precision of the convolutions.")
    flag.boolean("tensorboard", "Write scalars and pictures for TensorBoard.")
    flag.integer("seed", "Of everything random.")
    flag.boolean("deterministic", "The same weights twice, bit for bit.")


def main(argv=None):
    """Entry point."""
    command.run(define_flags, _call, DESCRIPTION, argv)


def _call(values):
    lists = {"spacing_mm": command.numbers(values, "spacing_mm", float), "shape": command.numbers(values, "shape", int)}
    lists["augmentations"] = tuple(values.augmentations)
    train(command.config(TrainConfig, values, **lists))
