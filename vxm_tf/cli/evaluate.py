"""The command vxm-evaluate."""

from absl import flags

from vxm_tf.cli import command
from vxm_tf.evaluation import EvaluateConfig, evaluate
from vxm_tf.files.errors import InputError

DESCRIPTION = "Score a network on pairs with segmentations: Dice, surface distances, folds, seconds, memory."


def define_flags(values: flags.FlagValues) -> None:
    """Define one flag for each field of `EvaluateConfig`."""
    command.define(values, EvaluateConfig)


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    command.run(define_flags, _call, DESCRIPTION, argv)


def _call(values: flags.FlagValues) -> None:
    command.require(values, "model")
    if not (values.data_dir or values.val_list or values.pairs):
        raise InputError("Say which scans to evaluate: --data_dir, --val_list or --pairs. See --help.")
    evaluate(command.read(EvaluateConfig, values))


if __name__ == "__main__":
    main()
