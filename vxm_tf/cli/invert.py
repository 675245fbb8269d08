"""The command vxm-invert."""

from vxm_tf.cli import command
from vxm_tf.workflows.invert_transform import InvertConfig, invert_file

DESCRIPTION = "Turn a transform round, and say in millimetres how well that holds."


def define_flags(values):
    """One flag for each field of `InvertConfig`."""
    command.define(values, InvertConfig)


def main(argv=None):
    """Entry point."""
    command.run(define_flags, _call, DESCRIPTION, argv)


def _call(values):
    command.require(values, "transform", "moving", "output")
    invert_file(command.read(InvertConfig, values))


if __name__ == "__main__":
    main()
