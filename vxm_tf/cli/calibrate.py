"""The command vxm-calibrate."""

from absl import flags

from vxm_tf.cli import command
from vxm_tf.workflows.calibrate_network import CalibrateConfig, calibrate_file

DESCRIPTION = "Measure the errors of a network on pairs of images with known truth, and store an error bound in it."


def define_flags(values: flags.FlagValues) -> None:
    """Define one flag for each field of `CalibrateConfig`."""
    command.define(values, CalibrateConfig)


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    command.run(define_flags, _call, DESCRIPTION, argv)


def _call(values: flags.FlagValues) -> None:
    command.require(values, "model", "output")
    calibrate_file(command.read(CalibrateConfig, values))


if __name__ == "__main__":
    main()
