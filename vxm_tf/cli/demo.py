"""The command vxm-demo."""

from absl import flags

from vxm_tf.cli import command
from vxm_tf.workflows.demonstration import DemoConfig, demonstrate

DESCRIPTION = "Train, evaluate, export and register on procedural head phantoms, and draw the result."


def define_flags(values: flags.FlagValues) -> None:
    """Define one flag for each field of `DemoConfig`."""
    command.define(values, DemoConfig)


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    command.run(define_flags, lambda values: demonstrate(command.read(DemoConfig, values)), DESCRIPTION, argv)


if __name__ == "__main__":
    main()
