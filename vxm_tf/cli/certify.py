"""The command vxm-certify."""

from vxm_tf.cli import command
from vxm_tf.workflows.certify_transform import CertifyConfig, certify_file
from vxm_tf.spatial.transform_files import FORMATS

DESCRIPTION = "Say whether a transform folds anywhere, how regular it is, and how well its inverse undoes it."


def define_flags(values):
    """One flag for each field of `CertifyConfig`."""
    flag = command.Flags(values, CertifyConfig())
    flag.string("transform", "File of the transform that carries images from moving to fixed.")
    flag.string("inverse_transform", "File of the one from fixed to moving, where there is one.")
    flag.choice("transform_format", ("", *FORMATS), "Of both; by extension and content if empty.")
    flag.string("fixed", "The fixed image, on whose grid the transform is looked at; else its own grid.")
    flag.string("moving", "The moving image, likewise for the inverse, and where a format needs it (FSL).")
    flag.string("output", "Where the certificate goes (.json); only logged if empty.")


def main(argv=None):
    """Entry point."""
    command.run(define_flags, _call, DESCRIPTION, argv)


def _call(values):
    command.require(values, "transform")
    certify_file(command.config(CertifyConfig, values))


if __name__ == "__main__":
    main()
