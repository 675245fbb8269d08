"""The command vxm-evaluate."""

from vxm_tf.cli import command
from vxm_tf.evaluation import EvaluateConfig, evaluate
from vxm_tf.files.errors import InputError

DESCRIPTION = "Score a network on pairs with segmentations: Dice, surface distances, folds, seconds, memory."


def define_flags(values):
    """One flag for each field of `EvaluateConfig`."""
    command.define(values, EvaluateConfig)


def main(argv=None):
    """Entry point."""
    command.run(define_flags, _call, DESCRIPTION, argv)


def _call(values):
    command.require(values, "model")
    if not (values.data_dir or values.val_list or values.pairs):
        raise InputError("Say which scans to evaluate: --data_dir, --val_list or --pairs. See --help.")
    evaluate(command.read(EvaluateConfig, values))
