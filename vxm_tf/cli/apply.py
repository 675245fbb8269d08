"""The command vxm-apply."""

from absl import flags

from vxm_tf.cli import command
from vxm_tf.workflows.apply_transforms import ApplyConfig, apply_files

DESCRIPTION = "Move an image, a series, labels or landmarks by transforms of any tool."


def define_flags(values: flags.FlagValues) -> None:
    """Define one flag for each field of `ApplyConfig`."""
    command.define(values, ApplyConfig)


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    command.run(define_flags, _call, DESCRIPTION, argv)


def _call(values: flags.FlagValues) -> None:
    command.require(values, "transforms")
    apply_files(command.read(ApplyConfig, values))


if __name__ == "__main__":
    main()
