"""The command vxm-register."""

from vxm_tf.cli import command
from vxm_tf.registration import RegisterConfig, register_files

DESCRIPTION = "Align a moving image with a fixed one that shares its grid."


def define_flags(values):
    """One flag for each field of `RegisterConfig`."""
    flag = command.Flags(values, RegisterConfig())
    flag.string("moving", "Image to move (NPZ, NIfTI, MGZ).")
    flag.string("fixed", "Image to align it with, on the same grid.")
    flag.string("model", "The .keras file of the network.")
    flag.string("moved", "Where the moved image goes.")
    flag.string("displacement", "Where the displacement goes, in voxels of the fixed grid.")
    flag.string("labels", "Segmentation of the moving image.")
    flag.string("moved_labels", "Where it goes, moved by nearest neighbour.")


def main(argv=None):
    """Entry point."""
    command.run(define_flags, _call, DESCRIPTION, argv)


def _call(values):
    command.require(values, "moving", "fixed", "model")
    if not (values.moved or values.displacement or values.moved_labels):
        raise ValueError("Nothing to write: give --moved, --displacement or --moved_labels.")
    register_files(command.config(RegisterConfig, values))
