"""The command vxm-register."""

from absl import flags

from vxm_tf.cli import command
from vxm_tf.files.errors import InputError
from vxm_tf.registration import RegistrationSettings
from vxm_tf.workflows import RegisterConfig, register_files

DESCRIPTION = "Align a moving image with a fixed one, each as it comes: any orientation, spacing and shape."
OUTPUTS = (
    "moved", "fixed_moved", "transform", "inverse_transform", "displacement", "jacobian", "moved_labels",
    "moved_points", "uncertainty", "error_bound", "certify", "gate", "report", "output_dir",
)  # fmt: skip


def define_flags(values: flags.FlagValues) -> None:
    """Define one flag for each file of `RegisterConfig` and each setting of `RegistrationSettings`."""
    command.define(values, RegisterConfig, RegistrationSettings)


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    command.run(define_flags, _call, DESCRIPTION, argv)


def _call(values: flags.FlagValues) -> None:
    command.require(values, "moving", "fixed")
    if not any(getattr(values, name) for name in OUTPUTS):
        raise InputError(f"Nothing to write: give {', '.join('--' + name for name in OUTPUTS[:-1])} or --output_dir.")
    register_files(command.read(RegisterConfig, values), command.read(RegistrationSettings, values))


if __name__ == "__main__":
    main()
