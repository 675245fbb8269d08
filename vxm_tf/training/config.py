"""Everything a training is told."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Settings of `vxm_tf.training.run_training`; `train.py` has one flag for each.

    Attributes:
        data_dir: folder of scans, with or without `train` and `val` inside; phantoms if empty.
        train_list: text file of scans instead of `data_dir`.
        val_list: likewise, for validation.
        validation_fraction: of the scans, where there is no `val` folder or list.
        label_maps: folder of label maps, or several joined by commas: instead of scans, images of random contrast
            synthesised from them, for a network that heeds no contrast.
        shape: of synthetic images; 80, 96, 112 if empty.
        image_suffix: how image names end, such as "_norm".
        labels_suffix: how segmentation names end, such as "_seg".
        atlas: image that every scan is registered to; scan to scan if empty.
        multichannel: the files' last axis is channels.
        normalization: name, see `vxm_tf.data.normalization`.
        spacing_mm: voxel size, for scans in files that hold none (NPZ); one number, or one for each axis. Of
            synthetic images: one number, 2 if empty.
        orientation: where the axes point to, such as "LIA", for scans in files that do not say.
        cache: "memory" or "disk".
        output_dir: for weights, logs and `config.json`.
        model: "deterministic", or "probabilistic" for a network that says how sure it is.
        preset: of the network, see `vxm_tf.models.PRESETS`.
        integration_steps: squarings; 0 for a plain displacement; -1 keeps the preset's.
        initial_model: `.keras` file to start from, instead of a new network of the preset; it integrates as before.
        augmentations: random changes of scans, see `vxm_tf.data.synthetic.augmentation`.
        similarity: "lncc" or "mse".
        window: edge of the LNCC's box, in voxels.
        image_sigma: noise of the MSE, in normalised intensity.
        regularity: "l2" or "l1" (gradient), or "bending".
        weight: of the regularity against the similarity.
        prior_lambda: of a probabilistic network: precision of the velocity's prior, per cell^2. It decides how large
            the variance becomes, and `weight` how smooth the mean.
        bidirectional: score both directions, where the network integrates and so has an inverse.
        epochs: at most.
        steps_per_epoch: training steps an epoch.
        batch_size: pairs a step.
        learning_rate: the highest; it warms up, then falls along a cosine to a hundredth.
        warmup_steps: steps until the highest.
        patience: epochs without a better validation score until training stops; 0 never stops.
        max_val_pairs: pairs validated after each epoch, at most; 0 for none.
        mixed_precision: "auto", "off", "float16" or "bfloat16".
        tensorboard: write scalars and pictures for TensorBoard.
        seed: of everything random.
        deterministic: the same weights twice, bit for bit, at some cost in speed.
    """

    data_dir: str = ""
    train_list: str = ""
    val_list: str = ""
    validation_fraction: float = 0.2
    label_maps: str = ""
    shape: tuple[int, ...] = ()
    image_suffix: str = ""
    labels_suffix: str = ""
    atlas: str = ""
    multichannel: bool = False
    normalization: str = "percentile"
    spacing_mm: tuple[float, ...] = ()
    orientation: str = ""
    cache: str = "memory"
    output_dir: str = "models/vxm"
    model: str = "deterministic"
    preset: str = "base"
    integration_steps: int = -1
    initial_model: str = ""
    augmentations: tuple[str, ...] = ()
    similarity: str = "lncc"
    window: int = 9
    image_sigma: float = 0.05
    regularity: str = "l2"
    weight: float = 1.0
    prior_lambda: float = 10.0
    bidirectional: bool = True
    epochs: int = 20
    steps_per_epoch: int = 100
    batch_size: int = 1
    learning_rate: float = 1e-3
    warmup_steps: int = 20
    patience: int = 0
    max_val_pairs: int = 20
    mixed_precision: str = "auto"
    tensorboard: bool = True
    seed: int = 0
    deterministic: bool = False
