"""The command vxm-invert."""

from vxm_tf.cli import command
from vxm_tf.spatial.chain_files import InvertConfig, invert_file
from vxm_tf.spatial.transform_files import FORMATS

DESCRIPTION = "Turn a transform round, and say in millimetres how well that holds."


def define_flags(values):
    """One flag for each field of `InvertConfig`."""
    flag = command.Flags(values, InvertConfig())
    flag.string("transform", "File of the transform that carries images from moving to fixed.")
    flag.choice("transform_format", ("", *FORMATS), "Of it; by extension and content if empty.")
    flag.string("moving", "The moving image; its grid is the inverse's.")
    flag.string("fixed", "The fixed image, where a format needs it (FSL).")
    flag.string("output", "Where the transform from fixed to moving goes.")
    flag.choice("output_format", ("", *FORMATS), "Of it; by extension if empty.")


def main(argv=None):
    """Entry point."""
    command.run(define_flags, _call, DESCRIPTION, argv)


def _call(values):
    command.require(values, "transform", "moving", "output")
    invert_file(command.config(InvertConfig, values))


if __name__ == "__main__":
    main()
