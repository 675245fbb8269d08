"""The command vxm-certify."""

from absl import flags

from vxm_tf.cli import command
from vxm_tf.workflows.certify_transform import CertifyConfig, certify_file

DESCRIPTION = "Measure whether a transform folds anywhere, how regular it is, and how well its inverse undoes it."


def define_flags(values: flags.FlagValues) -> None:
    """Define one flag for each field of `CertifyConfig`."""
    command.define(values, CertifyConfig)


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    command.run(define_flags, _call, DESCRIPTION, argv)


def _call(values: flags.FlagValues) -> None:
    command.require(values, "transform")
    certify_file(command.read(CertifyConfig, values))


if __name__ == "__main__":
    main()
