"""The command vxm-calibrate."""

from vxm_tf.cli import command
from vxm_tf.workflows.calibrate_network import CalibrateConfig, calibrate_file

DESCRIPTION = "Measure how far off a network is, on pairs of images with known truth, and keep that in the network."


def define_flags(values):
    """One flag for each field of `CalibrateConfig`."""
    flag = command.Flags(values, CalibrateConfig())
    flag.string("model", "The .keras file of the network, or shipped for the one that comes with the package.")
    flag.string("output", "Where the network goes with its calibration (.keras).")
    flag.string("data_dir", "Folder of scans as for training, each deformed twice in a known way; else head phantoms.")
    flag.string("image_suffix", "Take only images whose names, without extension, end in this.")
    flag.string("labels_suffix", "What ends the names of segmentations, which are left aside.")
    flag.integer("pairs", "How many pairs, 2 or more.")
    flag.integer("samples", "Registrations of each pair; as many as register.py is told later.")
    flag.float("coverage", "Part of the true displacements that the bound is to hold.")
    flag.integer("seed", "Of everything random.")


def main(argv=None):
    """Entry point."""
    command.run(define_flags, _call, DESCRIPTION, argv)


def _call(values):
    command.require(values, "model", "output")
    calibrate_file(command.config(CalibrateConfig, values))


if __name__ == "__main__":
    main()
