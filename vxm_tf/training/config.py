"""Settings of a training."""

import dataclasses

from vxm_tf.configuration import check_choices, check_types, described, option, paths_as_text
from vxm_tf.data import NORMALIZATIONS
from vxm_tf.models import PRESETS

MODELS = ("deterministic", "probabilistic")
SIMILARITIES = ("lncc", "mse")
REGULARITIES = ("l2", "l1", "bending")
PRECISIONS = ("auto", "off", "float16", "bfloat16")
CACHES = ("memory", "disk")


@described
@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Settings of `vxm_tf.training.train`; `train.py` has one flag for each.

    Raises:
        InputError: a choice that does not exist, or a value of another type.
    """

    data_dir: str = option(
        "", "Folder of scans (NPZ, NIfTI, MGZ), with or without train/ and val/ inside; empty for phantoms."
    )
    train_list: str = option(
        "", "Text file of scans instead of data_dir: an image and optionally its segmentation on each line."
    )
    val_list: str = option("", "Text file of validation scans, in the format of train_list.")
    train_pairs: str = option(
        "",
        "Text file of the pairs to train on instead of data_dir, such as a CSV with the columns moving and fixed; each "
        "pair comes once in every round. In place of all scans with each other.",
    )
    val_pairs: str = option("", "Text file of the pairs to validate on, in the format of train_pairs.")
    validation_fraction: float = option(
        0.2, "Fraction of the scans that is kept for validation where there is no val/ folder or list."
    )
    label_maps: str = option(
        "",
        "Folder of label maps, or several with commas between: the network trains on images of random contrast that "
        "are synthesised from them, instead of on scans, so that it does not depend on contrast.",
    )
    shape: tuple[int, ...] = option((), "Shape of the synthetic images, in voxels; 80,96,112 if empty.")
    image_suffix: str = option("", "End of the images' names before the extension, such as _norm.")
    labels_suffix: str = option("", "End of the segmentations' names before the extension, such as _seg.")
    atlas: str = option("", "Image that every scan is registered to; empty registers scans to each other.")
    multichannel: bool = option(False, "Read the last axis of the files as channels.")
    normalization: str = option(
        "percentile", "Method that brings intensities into [0, 1].", choices=tuple(NORMALIZATIONS)
    )
    spacing_mm: tuple[float, ...] = option(
        (),
        "Voxel size in millimetres of scans in files that hold none (NPZ): one number, or one for each axis. For "
        "synthetic images one number, 2 if empty.",
    )
    orientation: str = option("", "Orientation of the axes, such as LIA, of scans in files that record none.")
    cache: str = option(
        "memory", "Place where decompressed scans are kept; disk for sets that do not fit into memory.", choices=CACHES
    )
    output_dir: str = option(
        "models/vxm", "Folder for weights, logs and config.json; a training that was interrupted resumes from it."
    )
    model: str = option(
        "deterministic",
        "Kind of network: a probabilistic one also predicts the variance of its velocity.",
        choices=MODELS,
    )
    preset: str = option(
        "base",
        "Named settings of the network: small, base, large and any-contrast are VxmPyramid, default and fast VxmDense.",
        choices=tuple(PRESETS),
    )
    integration_steps: int = option(
        -1,
        "Number of squarings that integrate the velocity; 0 for a plain displacement, -1 for the preset's number.",
    )
    initial_model: str = option(
        "", "The .keras file of a network to start from, instead of a new network of the preset."
    )
    augmentations: tuple[str, ...] = option(
        (), "Random changes of scans, with commas between: flip, affine, deformation, intensity."
    )
    similarity: str = option("lncc", "Similarity of images that the loss maximises.", choices=SIMILARITIES)
    window: int = option(9, "Edge of the box in which LNCC correlates intensities, in voxels.")
    image_sigma: float = option(0.05, "Standard deviation of the noise that the MSE assumes, in normalised intensity.")
    regularity: str = option(
        "l2", "Penalty on the gradient (l1, l2) or on the bending of fields.", choices=REGULARITIES
    )
    weight: float = option(1.0, "Weight of the regularity relative to the similarity.")
    prior_lambda: float = option(
        10.0,
        "Precision of a probabilistic network's prior on the velocity, per cell^2. It sets the size of the variance, "
        "whereas weight sets the smoothness of the mean.",
    )
    bidirectional: bool = option(
        True, "Score both directions, moving to fixed and back, where the network integrates and so has an inverse."
    )
    epochs: int = option(20, "Largest number of epochs; patience may end training earlier.")
    steps_per_epoch: int = option(100, "Number of training steps in an epoch.")
    batch_size: int = option(1, "Number of pairs in a training step.")
    learning_rate: float = option(
        1e-3, "Highest learning rate, reached by warm-up; from there the rate falls along a cosine to a hundredth."
    )
    warmup_steps: int = option(20, "Number of steps until the learning rate is at its highest.")
    patience: int = option(0, "Number of epochs without a better score after which training stops; 0 never stops.")
    max_val_pairs: int = option(20, "Largest number of pairs that are validated after each epoch; 0 for none.")
    mixed_precision: str = option(
        "auto",
        "Precision of the convolutions: off is float32; auto is half precision on a GPU that is fast in it, else off.",
        choices=PRECISIONS,
    )
    tensorboard: bool = option(True, "Write scalars and pictures for TensorBoard.")
    seed: int = option(0, "Seed of all random numbers.")
    deterministic: bool = option(False, "Compute the same weights in every run, bit for bit, at some cost in speed.")

    def __post_init__(self) -> None:
        paths_as_text(self)
        check_types(self)
        check_choices(self)
