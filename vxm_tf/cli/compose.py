"""The command vxm-compose."""

from absl import flags

from vxm_tf.cli import command
from vxm_tf.workflows.compose_transforms import ComposeConfig, compose_files

DESCRIPTION = "Write several transforms as one, or one in another tool's format."


def define_flags(values: flags.FlagValues) -> None:
    """Define one flag for each field of `ComposeConfig`."""
    command.define(values, ComposeConfig)


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    command.run(define_flags, _call, DESCRIPTION, argv)


def _call(values: flags.FlagValues) -> None:
    command.require(values, "transforms", "fixed", "output")
    compose_files(command.read(ComposeConfig, values))


if __name__ == "__main__":
    main()
