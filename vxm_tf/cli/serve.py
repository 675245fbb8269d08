"""The command vxm-serve."""

from absl import flags

from vxm_tf.cli import command
from vxm_tf.workflows.serve_models import ServeConfig, serve_models

DESCRIPTION = "Serve exported models over HTTP on this machine, with TensorFlow Serving's REST interface."


def define_flags(values: flags.FlagValues) -> None:
    """Define one flag for each field of `ServeConfig`."""
    command.define(values, ServeConfig)


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    command.run(define_flags, _call, DESCRIPTION, argv)


def _call(values: flags.FlagValues) -> None:
    command.require(values, "model_base_path", "model_name")
    serve_models(command.read(ServeConfig, values))


if __name__ == "__main__":
    main()
