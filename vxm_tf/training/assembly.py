"""Assembly of a training: network, losses, optimiser and precision."""

from collections.abc import Callable
from typing import Any

import keras

from vxm_tf import losses
from vxm_tf.files.errors import InputError
from vxm_tf.models import RegistrationNetwork, VxmProbabilistic, from_preset, load_model
from vxm_tf.ops.tensors import Shape
from vxm_tf.training.config import TrainConfig
from vxm_tf.training.probabilistic_trainer import ProbabilisticTrainer
from vxm_tf.training.trainer import RegistrationTrainer

POLICIES = {"off": "float32", "float16": "mixed_float16", "bfloat16": "mixed_bfloat16"}


def precision_policy(choice: str) -> str:
    """The Keras policy that `--mixed_precision` stands for.

    "auto" takes bfloat16 where a GPU computes in it fast (NVIDIA Ampere and later), float16 on older
    GPUs with tensor cores, and float32 on a CPU, where half precision gains nothing.

    Raises:
        InputError: a choice that does not exist.
    """
    if choice in POLICIES:
        return POLICIES[choice]
    if choice != "auto":
        raise InputError(f"mixed_precision is one of auto, {', '.join(POLICIES)}; got {choice!r}.")
    import tensorflow as tf

    devices = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(device) for device in devices]
    capabilities = [detail.get("compute_capability", (0, 0)) for detail in details]
    if capabilities and min(capabilities) >= (8, 0):
        return "mixed_bfloat16"
    return "mixed_float16" if capabilities and min(capabilities) >= (7, 0) else "float32"


def build_network(config: TrainConfig, image_shape: Shape, channels: int) -> RegistrationNetwork:
    """A new network of the preset, or the one in `initial_model`, for images of this shape.

    Raises:
        InputError: an initial network for images with other axes or channels, of the other kind (deterministic or
            probabilistic), or with another number of integration steps.
        ValueError: a preset that does not exist for this kind of network.
    """
    policy = precision_policy(config.mixed_precision)
    if config.initial_model:
        network = load_model(config.initial_model)
        _check_initial(network, config, len(image_shape), channels)
        return network.for_shape(image_shape, policy)
    overrides: dict[str, Any] = {"channels": channels, "dtype": policy}
    if config.integration_steps >= 0:
        overrides["integration_steps"] = config.integration_steps
    return from_preset(config.preset, image_shape, probabilistic=config.model == "probabilistic", **overrides)


def _check_initial(network: RegistrationNetwork, config: TrainConfig, axes: int, channels: int) -> None:
    path, settings = config.initial_model, network.settings
    ndim, taken = len(settings["image_shape"]), settings["channels"]
    if (ndim, taken) != (axes, (channels, channels)):
        raise InputError(
            f"{path}: takes {ndim}-D images with {taken} channels (moving, fixed), but the scans are {axes}-D with "
            f"{channels}."
        )
    wanted, probabilistic = config.model == "probabilistic", isinstance(network, VxmProbabilistic)
    if wanted and not probabilistic:
        raise InputError(
            f"{path}: a {type(network).__name__} predicts no variance, so it cannot start a probabilistic network. "
            "Leave --model or --initial_model out."
        )
    if probabilistic and not wanted:
        raise InputError(
            f"{path}: predicts a variance, which a deterministic training would leave behind. Add --model "
            "probabilistic."
        )
    if config.integration_steps not in (-1, settings["integration_steps"]):
        raise InputError(
            f"{path}: integrates its velocity in {settings['integration_steps']} steps, not "
            f"{config.integration_steps}. Leave --integration_steps out."
        )


def build_trainer(config: TrainConfig, network: RegistrationNetwork) -> RegistrationTrainer:
    """The network wrapped with the losses, compiled with Adam and its learning rate schedule.

    Raises:
        InputError: a probabilistic network with another regularity than l2.
    """
    similarities: dict[str, Callable[[], Any]] = {
        "lncc": lambda: losses.LNCC(config.window),
        "mse": lambda: losses.MSE(config.image_sigma),
    }
    regularities: dict[str, Callable[[], Any]] = {
        "l1": lambda: losses.GradientPenalty("l1"),
        "l2": lambda: losses.GradientPenalty("l2"),
        "bending": losses.BendingEnergy,
    }
    kind: type[RegistrationTrainer] = RegistrationTrainer
    settings: dict[str, Any] = {}
    if config.model == "probabilistic":
        if config.regularity != "l2":
            raise InputError(f"The prior of a probabilistic network is regularity l2; got {config.regularity!r}.")
        kind, settings = ProbabilisticTrainer, {"prior_lambda": config.prior_lambda, "seed": config.seed}
    trainer = kind(
        network,
        similarities[config.similarity](),
        regularities[config.regularity](),
        weight=config.weight,
        bidirectional=config.bidirectional and network.settings["integration_steps"] > 0,
        **settings,
    )
    steps = config.epochs * config.steps_per_epoch
    warmup = min(config.warmup_steps, steps // 2)
    schedule = keras.optimizers.schedules.CosineDecay(
        config.learning_rate / 10, steps - warmup, alpha=0.01, warmup_target=config.learning_rate, warmup_steps=warmup
    )
    trainer.compile(keras.optimizers.Adam(schedule), jit_compile="auto" if _has_gpu() else False)
    return trainer


def _has_gpu() -> bool:
    """Whether there is a GPU; on a CPU, XLA runs 3-D convolutions several times slower than the plain graph."""
    if keras.backend.backend() != "tensorflow":
        return True
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
