"""The command vxm-evaluate."""

from vxm_tf.cli import command
from vxm_tf.evaluation import EvaluateConfig, run_evaluation as evaluate

DESCRIPTION = "Score a network on pairs with segmentations: Dice, surface distances, folds, seconds, memory."


def define_flags(values):
    """One flag for each field of `EvaluateConfig`."""
    flag = command.Flags(values, EvaluateConfig())
    flag.string("model", "The .keras file of the network, or shipped for the one that comes with the package.")
    flag.string("data_dir", "Folder of scans: its val/, or the fraction that training kept.")
    flag.string("val_list", "Text file of scans instead: image and segmentation on each line.")
    flag.string("pairs", "Text file of pairs instead: moving, fixed and, if any, both segmentations.")
    flag.float("validation_fraction", "As in training.")
    flag.integer("seed", "As in training.")
    flag.string("image_suffix", "How image names end before the extension.")
    flag.string("labels_suffix", "How segmentation names end before the extension.")
    flag.string("atlas", "Fixed image of every pair.")
    flag.numbers("labels", "Label ids to score, with commas between; all that occur if empty.")
    flag.numbers("spacing_mm", "Voxel size, in place of the files' own; needed where they hold none.")
    flag.integer("max_pairs", "At most so many pairs; 0 for all.")
    flag.boolean("surface", "Measure surface distances too.")
    flag.string("output_dir", "For pairs.csv, labels.csv, summary.json and table.md.")
    flag.string("report", "Where a page of the whole set goes, one HTML file (.html).")


def main(argv=None):
    """Entry point."""
    command.run(define_flags, _call, DESCRIPTION, argv)


def _call(values):
    command.require(values, "model")
    if not (values.data_dir or values.val_list or values.pairs):
        raise ValueError("Say which scans to evaluate: --data_dir, --val_list or --pairs. See --help.")
    labels, spacing_mm = command.numbers(values, "labels", int), command.numbers(values, "spacing_mm", float)
    evaluate(command.config(EvaluateConfig, values, labels=labels, spacing_mm=spacing_mm))
