"""The command vxm-invert."""

from absl import flags

from vxm_tf.cli import command
from vxm_tf.workflows.invert_transform import InvertConfig, invert_file

DESCRIPTION = "Invert a transform, and report the residual in millimetres."


def define_flags(values: flags.FlagValues) -> None:
    """Define one flag for each field of `InvertConfig`."""
    command.define(values, InvertConfig)


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    command.run(define_flags, _call, DESCRIPTION, argv)


def _call(values: flags.FlagValues) -> None:
    command.require(values, "transform", "moving", "output")
    invert_file(command.read(InvertConfig, values))


if __name__ == "__main__":
    main()
