"""The command vxm-client."""

import dataclasses
import gzip
from pathlib import Path

import nibabel
from absl import logging

from vxm_tf.cli import command
from vxm_tf.files.atomic import check_output_dir, replace_atomically
from vxm_tf.files.distinct_paths import check_distinct
from vxm_tf.files.errors import VolumeError
from vxm_tf.serving.client import Client

DESCRIPTION = "Register two scans by a model server; TensorFlow is not needed here."
REST_URL, GRPC_ADDRESS = "http://127.0.0.1:8501", "127.0.0.1:8500"
# The fastest, and hardly larger for numbers that are not whole.
COMPRESSION = 1


@dataclasses.dataclass(frozen=True)
class ClientConfig:
    """Settings of the command.

    Attributes:
        url: of the server's REST interface, or host:port of gRPC; those of this machine if empty.
        model_name: of the model on the server.
        moving: scan to move, in a format that nibabel reads.
        fixed: scan to move it to.
        output_dir: folder for `moved.nii.gz` and `transform.nii.gz`.
        timeout_seconds: of silence from the server.
        retries: attempts after the first while the server is busy or out of reach.
        version: of the model; 0 for the latest.
        label: of a version, such as "stable"; empty for none.
        grpc: by gRPC instead of REST.
    """

    url: str = ""
    model_name: str = "vxm"
    moving: str = ""
    fixed: str = ""
    output_dir: str = ""
    timeout_seconds: float = 300.0
    retries: int = 5
    version: int = 0
    label: str = ""
    grpc: bool = False


def define_flags(values):
    """One flag for each field of `ClientConfig`."""
    flag = command.Flags(values, ClientConfig())
    flag.string("url", f"The server: {REST_URL} if empty; with --grpc host:port, {GRPC_ADDRESS} if empty.")
    flag.string("model_name", "Of the model on the server.")
    flag.string("moving", "Scan to move: NIfTI as it is, other formats that nibabel reads are converted.")
    flag.string("fixed", "Scan to move it to, whose grid both outputs get.")
    flag.string("output_dir", "Folder for moved.nii.gz and transform.nii.gz (ITK, LPS mm).")
    flag.float("timeout_seconds", "Longest silence of the server to put up with.")
    flag.integer("retries", "Attempts after the first while the server is busy or out of reach.")
    flag.integer("version", "Of the model; 0 for the latest.")
    flag.string("label", "Of a version, such as stable, instead of its number.")
    flag.boolean("grpc", "Call by gRPC; needs the extra grpc.")


def main(argv=None):
    """Entry point."""
    command.run(define_flags, _call, DESCRIPTION, argv)


def _call(values):
    command.require(values, "moving", "fixed", "output_dir")
    register(command.config(ClientConfig, values))


def register(config: ClientConfig):
    """Send both scans and write what comes back, whole or not at all.

    Raises:
        VolumeError: a scan that cannot be read, or a folder that cannot be written.
        ServingError: no answer, or an error of the server.
        ValueError: settings that cannot be, or gRPC where it is not installed.
    """
    folder = Path(config.output_dir)
    outputs = {name: folder / f"{name}.nii.gz" for name in ("moved", "transform")}
    check_distinct(outputs, {"--moving": config.moving, "--fixed": config.fixed})
    client = _client(config)
    moving, fixed = nifti_bytes(config.moving), nifti_bytes(config.fixed)
    check_output_dir(folder)
    answer = client.register_nifti(moving, fixed)
    for name, path in outputs.items():
        content = getattr(answer, name)
        replace_atomically(path, lambda temporary, content=content: _write_gzip(temporary, content))
        logging.info("Written: %s.", path)


def _client(config):
    settings = {
        "model": config.model_name,
        "version": config.version or None,
        "label": config.label or None,
        "timeout_seconds": config.timeout_seconds,
        "retries": config.retries,
    }
    if config.grpc:
        try:
            from vxm_tf.serving.client.grpc_client import GrpcClient
        except ImportError as error:
            raise ValueError(str(error)) from error
        return GrpcClient(config.url or GRPC_ADDRESS, **settings)
    return Client(config.url or REST_URL, **settings, progress=Progress())


def nifti_bytes(path) -> bytes:
    """A scan as the content of a NIfTI file: itself if it is one, else converted in memory.

    Raises:
        VolumeError: missing, unreadable, or in a format that nibabel does not read.
    """
    path = Path(path)
    if not path.is_file():
        raise VolumeError(f"{path}: there is no such file.")
    try:
        if path.name.lower().endswith((".nii", ".nii.gz")):
            return path.read_bytes()
        logging.info("%s is converted to NIfTI.", path)
        return gzip.compress(nibabel.Nifti1Image.from_image(nibabel.load(path)).to_bytes(), COMPRESSION)
    except Exception as error:
        raise VolumeError(f"{path}: cannot be read as a scan ({type(error).__name__}: {error}).") from error


def _write_gzip(path, content):
    # No name and no time inside, so that equal answers make equal files.
    with open(path, "wb") as file, gzip.GzipFile("", "wb", COMPRESSION, file, mtime=0) as archive:
        archive.write(content)


class Progress:
    """Logs a line at each quarter of what is sent and received."""

    def __init__(self):
        self._shown = None

    def __call__(self, stage, done, total):
        """Args: stage "sent" or "received"; bytes done; bytes in total, or None."""
        quarter = (stage, 4 * done // total if total else None)
        if quarter == self._shown:
            return
        self._shown = quarter
        of = f" of {total / 1e6:.1f}" if total else ""
        logging.info("%s %.1f%s MB.", stage.capitalize(), done / 1e6, of)
        if stage == "sent" and done == total:
            logging.info("Waiting for the registration.")


if __name__ == "__main__":
    main()
