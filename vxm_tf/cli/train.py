"""The command vxm-train."""

from vxm_tf.cli import command
from vxm_tf.training import TrainConfig, train

DESCRIPTION = "Train a registration network on a folder of scans; without --data_dir on procedural phantoms."


def define_flags(values):
    """One flag for each field of `TrainConfig`."""
    command.define(values, TrainConfig)


def main(argv=None):
    """Entry point."""
    command.run(define_flags, _call, DESCRIPTION, argv)


def _call(values):
    train(command.read(TrainConfig, values))
