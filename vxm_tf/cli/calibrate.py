"""The command vxm-calibrate."""

from vxm_tf.cli import command
from vxm_tf.workflows.calibrate_network import CalibrateConfig, calibrate_file

DESCRIPTION = "Measure how far off a network is, on pairs of images with known truth, and keep that in the network."


def define_flags(values):
    """One flag for each field of `CalibrateConfig`."""
    command.define(values, CalibrateConfig)


def main(argv=None):
    """Entry point."""
    command.run(define_flags, _call, DESCRIPTION, argv)


def _call(values):
    command.require(values, "model", "output")
    calibrate_file(command.read(CalibrateConfig, values))


if __name__ == "__main__":
    main()
