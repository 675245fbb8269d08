"""Registers two files by a model server: files in, files out."""

import dataclasses
import functools
import gzip
from pathlib import Path
from typing import Any

import nibabel
from absl import logging

from vxm_tf.configuration import described, option
from vxm_tf.files.atomic import check_output_dir, replace_atomically
from vxm_tf.files.distinct_paths import check_distinct
from vxm_tf.files.errors import InputError
from vxm_tf.files.opening import open_image
from vxm_tf.serving.client.registration_calls import RegistrationCalls
from vxm_tf.serving.client.rest_client import Client

REST_URL, GRPC_ADDRESS = "http://127.0.0.1:8501", "127.0.0.1:8500"
# gzip's fastest level, which compresses numbers that are not whole hardly less than the others.
COMPRESSION = 1


@described
@dataclasses.dataclass(frozen=True)
class ClientConfig:
    """Settings of `register_through_server`; `vxm-client` has one flag for each."""

    url: str = option(
        "",
        f"Address of the server: {REST_URL} if empty; with grpc host:port, {GRPC_ADDRESS} if empty.",
    )
    model_name: str = option("vxm", "Name of the model on the server.")
    moving: str = option(
        "", "Scan to move. NIfTI files are sent unchanged; MGZ, NRRD, MetaImage and Analyze are converted."
    )
    fixed: str = option("", "Scan to align the moving scan with; both outputs lie on its grid.")
    output_dir: str = option("", "Folder for moved.nii.gz and transform.nii.gz (ITK, LPS mm).")
    timeout_seconds: float = option(300.0, "Longest silence of the server, in seconds.")
    retries: int = option(5, "Number of attempts after the first while the server is busy or out of reach.")
    version: int = option(0, "Number of the model's version; 0 for the latest.")
    label: str = option("", "Label of a version, such as stable, instead of its number.")
    grpc: bool = option(False, "Call by gRPC instead of REST; needs the extra grpc.")


def register_through_server(config: ClientConfig) -> dict[str, Path]:
    """Send both scans to a server and write its answer, whole or not at all.

    Returns:
        The files that were written, by name: "moved" and "transform".

    Raises:
        InputError: a scan that cannot be read, or a folder that cannot be written.
        ServingError: no answer, or an error of the server.
        InputError: settings that contradict each other, or a package that is not installed.
    """
    folder = Path(config.output_dir)
    outputs = {name: folder / f"{name}.nii.gz" for name in ("moved", "transform")}
    check_distinct(outputs, {"--moving": config.moving, "--fixed": config.fixed})
    client = _client(config)
    moving, fixed = nifti_bytes(config.moving), nifti_bytes(config.fixed)
    check_output_dir(folder)
    answer = client.register_nifti(moving, fixed)
    for name, path in outputs.items():
        replace_atomically(path, functools.partial(_write_gzip, content=getattr(answer, name)))
        logging.info("Written: %s.", path)
    return outputs


def _client(config: ClientConfig) -> RegistrationCalls:
    settings: dict[str, Any] = {
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
            raise InputError(str(error)) from error
        return GrpcClient(config.url or GRPC_ADDRESS, **settings)
    return Client(config.url or REST_URL, **settings, progress=ProgressLog())


def nifti_bytes(path: str | Path) -> bytes:
    """Return a scan as the content of a NIfTI file; other formats are converted in memory.

    Raises:
        InputError: missing, unreadable, or in an unknown format.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: there is no such file.")
    try:
        if path.name.lower().endswith((".nii", ".nii.gz")):
            return path.read_bytes()
        logging.info("%s is converted to NIfTI.", path)
        return gzip.compress(nibabel.Nifti1Image.from_image(open_image(path)).to_bytes(), COMPRESSION)
    except Exception as error:
        raise InputError(f"{path}: cannot be read as a scan ({type(error).__name__}: {error}).") from error


def _write_gzip(path: str | Path, content: bytes) -> None:
    # No name and no time inside, so that equal answers make equal files.
    with open(path, "wb") as file, gzip.GzipFile("", "wb", COMPRESSION, file, mtime=0) as archive:
        archive.write(content)


class ProgressLog:
    """Logs a line at each quarter of the bytes that are sent and received."""

    def __init__(self) -> None:
        self._shown: tuple[str, int | None] | None = None

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Log the progress.

        Args:
            stage: "sent" or "received".
            done: number of bytes so far.
            total: number of all bytes, or None if the server does not state it.
        """
        quarter = (stage, 4 * done // total if total else None)
        if quarter == self._shown:
            return
        self._shown = quarter
        of = f" of {total / 1e6:.1f}" if total else ""
        logging.info("%s %.1f%s MB.", stage.capitalize(), done / 1e6, of)
        if stage == "sent" and done == total:
            logging.info("Waiting for the registration.")
