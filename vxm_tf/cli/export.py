"""The command vxm-export."""

from absl import flags

from vxm_tf.cli import command
from vxm_tf.workflows.export_network import ExportConfig, export_file

DESCRIPTION = "Write a trained network as a SavedModel for TensorFlow Serving: <output_dir>/<version>/saved_model.pb."


def define_flags(values: flags.FlagValues) -> None:
    """Define one flag for each field of `ExportConfig`."""
    command.define(values, ExportConfig)


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    command.run(define_flags, _call, DESCRIPTION, argv)


def _call(values: flags.FlagValues) -> None:
    command.require(values, "model", "output_dir")
    export_file(command.read(ExportConfig, values))


if __name__ == "__main__":
    main()
