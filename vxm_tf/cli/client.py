"""The command vxm-client."""

from absl import flags

from vxm_tf.cli import command
from vxm_tf.serving.client.register_through_server import (
    GRPC_ADDRESS,
    REST_URL,
    ClientConfig,
    register_through_server,
)

DESCRIPTION = "Register two scans by a model server; TensorFlow is not needed here."


def define_flags(values: flags.FlagValues) -> None:
    """Define one flag for each field of `ClientConfig`."""
    flag = command.Flags(values, ClientConfig())
    flag.string("url", f"The server: {REST_URL} if empty; with --grpc host:port, {GRPC_ADDRESS} if empty.")
    flag.string("model_name", "Name of the model on the server.")
    flag.string("moving", "Scan to move: NIfTI as it is, other formats that nibabel reads are converted.")
    flag.string("fixed", "Scan to move it to, whose grid both outputs get.")
    flag.string("output_dir", "Folder for moved.nii.gz and transform.nii.gz (ITK, LPS mm).")
    flag.float("timeout_seconds", "Longest silence of the server to put up with.")
    flag.integer("retries", "Number of attempts after the first while the server is busy or out of reach.")
    flag.integer("version", "Number of the model's version; 0 for the latest.")
    flag.string("label", "Label of a version, such as stable, instead of its number.")
    flag.boolean("grpc", "Call by gRPC; needs the extra grpc.")


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    command.run(define_flags, _call, DESCRIPTION, argv)


def _call(values: flags.FlagValues) -> None:
    command.require(values, "moving", "fixed", "output_dir")
    register_through_server(command.config(ClientConfig, values))


if __name__ == "__main__":
    main()
