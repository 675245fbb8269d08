"""The command vxm-client."""

from absl import flags

from vxm_tf.cli import command
from vxm_tf.serving.client.register_through_server import ClientConfig, register_through_server

DESCRIPTION = "Register two scans by a model server; TensorFlow is not needed here."


def define_flags(values: flags.FlagValues) -> None:
    """Define one flag for each field of `ClientConfig`."""
    command.define(values, ClientConfig)


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    command.run(define_flags, _call, DESCRIPTION, argv, computes=False)


def _call(values: flags.FlagValues) -> None:
    command.require(values, "moving", "fixed", "output_dir")
    register_through_server(command.read(ClientConfig, values))


if __name__ == "__main__":
    main()
