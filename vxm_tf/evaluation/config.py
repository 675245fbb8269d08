"""Everything an evaluation is told."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """Settings of `vxm_tf.evaluation.run_evaluation`; `evaluate.py` has one flag for each.

    Attributes:
        model: `.keras` file of the network.
        data_dir: folder of scans; its `val` folder, or the fraction that training kept for validation.
        val_list: text file of scans instead; all ordered pairs of them.
        pairs: text file of pairs instead: on each line a moving image and a fixed image, then, where there
            are, the moving and the fixed segmentation.
        validation_fraction: as in training.
        seed: as in training.
        image_suffix: how image names end.
        labels_suffix: how segmentation names end.
        atlas: fixed image of every pair.
        labels: ids to score; all that occur if empty.
        spacing_mm: voxel size, whatever the files say; one number, or one for each axis. Theirs if empty.
        max_pairs: at most so many, drawn with `seed`, or the first of `pairs` or with `atlas`; 0 for all.
        surface: measure surface distances too.
        output_dir: for the tables.
        report: where a page of the whole set goes, one HTML file: distributions, and the worst pairs to look at.
    """

    model: str = ""
    data_dir: str = ""
    val_list: str = ""
    pairs: str = ""
    validation_fraction: float = 0.2
    seed: int = 0
    image_suffix: str = ""
    labels_suffix: str = ""
    atlas: str = ""
    labels: tuple[int, ...] = ()
    spacing_mm: tuple[float, ...] = ()
    max_pairs: int = 0
    surface: bool = True
    output_dir: str = "evaluation"
    report: str = ""
