"""The command vxm-demo."""

from vxm_tf.cli import command
from vxm_tf.workflows.demonstration import DemoConfig, demonstrate

DESCRIPTION = "Train, evaluate, export and register on procedural head phantoms, and draw the result."


def define_flags(values):
    """One flag for each field of `DemoConfig`."""
    command.define(values, DemoConfig)


def main(argv=None):
    """Entry point."""
    command.run(define_flags, lambda values: demonstrate(command.read(DemoConfig, values)), DESCRIPTION, argv)


if __name__ == "__main__":
    main()
