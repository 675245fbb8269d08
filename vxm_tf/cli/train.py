"""The command vxm-train."""

from absl import flags

from vxm_tf.cli import command
from vxm_tf.training import TrainConfig, train

DESCRIPTION = "Train a registration network on a folder of scans; without --data_dir on procedural phantoms."


def define_flags(values: flags.FlagValues) -> None:
    """Define one flag for each field of `TrainConfig`."""
    command.define(values, TrainConfig)


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    command.run(define_flags, _call, DESCRIPTION, argv)


def _call(values: flags.FlagValues) -> None:
    train(command.read(TrainConfig, values))


if __name__ == "__main__":
    main()
