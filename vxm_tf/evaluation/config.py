"""Settings of an evaluation."""

import dataclasses

from vxm_tf.configuration import check_choices, check_types, described, option, paths_as_text


@described
@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """Settings of `vxm_tf.evaluation.evaluate`; `evaluate.py` has one flag for each.

    Raises:
        InputError: a value of another type.
    """

    model: str = option("", "The .keras file of the network, or shipped for the network that comes with the package.")
    data_dir: str = option(
        "", "Folder of scans; its val/ folder is scored, or the fraction that training kept for validation."
    )
    val_list: str = option(
        "",
        "Text file of scans in place of data_dir, an image and its segmentation on each line; every ordered pair is "
        "scored.",
    )
    pairs: str = option(
        "",
        "Text file of pairs in place of data_dir, such as a CSV with the columns moving and fixed: on each line a "
        "moving and a fixed image, then their segmentations where there are any.",
    )
    validation_fraction: float = option(0.2, "Fraction of the scans that training kept for validation.")
    seed: int = option(0, "Seed of the training, which chose the scans for validation.")
    image_suffix: str = option("", "End of the images' names before the extension, such as _norm.")
    labels_suffix: str = option("", "End of the segmentations' names before the extension, such as _seg.")
    atlas: str = option("", "Fixed image of every pair; empty registers scans to each other.")
    labels: tuple[int, ...] = option((), "Label ids to score, with commas between; all that occur if empty.")
    spacing_mm: tuple[float, ...] = option(
        (),
        "Voxel size in millimetres, in place of the files' own: one number, or one for each axis; needed where the "
        "files hold none.",
    )
    max_pairs: int = option(
        0,
        "Largest number of pairs: drawn with the seed, or the first ones of a list or with an atlas; 0 for all.",
    )
    surface: bool = option(True, "Measure the distances between the surfaces of structures too.")
    output_dir: str = option("evaluation", "Folder for pairs.csv, labels.csv, summary.json and table.md.")
    report: str = option(
        "", "Output page (.html) of the whole set: distributions of the scores, and pictures of the worst pairs."
    )

    def __post_init__(self) -> None:
        paths_as_text(self)
        check_types(self)
        check_choices(self)
