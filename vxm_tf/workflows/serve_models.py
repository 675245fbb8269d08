"""Serving exported models over HTTP on this machine."""

import dataclasses
from collections.abc import Iterable

from absl import logging

from vxm_tf.configuration import described, option
from vxm_tf.files.errors import InputError


@described
@dataclasses.dataclass(frozen=True)
class ServeConfig:
    """Settings of `serve_models`; `vxm-serve` has one flag for each."""

    model_base_path: str = option("", "Base folder of the model; its versions are the subfolders 1, 2, ...")
    model_name: str = option("vxm", "Name of the model in the addresses of requests.")
    host: str = option("127.0.0.1", "Address to listen on; the default can be reached from this machine only.")
    port: int = option(8501, "Port to listen on; 0 for any free port.")
    labels: tuple[str, ...] = option((), "Labels for versions, such as stable=1,canary=2.")
    versions: tuple[str, ...] = option(("latest",), "Versions to serve: latest, all, or numbers such as 1,2.")
    poll_seconds: float = option(1.0, "Seconds between two checks for new versions.")
    workers: int = option(1, "Number of inferences that run at the same time.")
    queue: int = option(16, "Number of requests that may wait for a worker; further ones are answered with status 503.")
    max_request_mb: float = option(
        256.0, "Largest size of a request, before and after inflation, in megabytes of 2**20 bytes."
    )
    max_inflated_mb: float = option(
        1024.0, "Largest size to which the gzipped volumes of one request may inflate, in megabytes of 2**20 bytes."
    )
    request_seconds: float = option(60.0, "Seconds that a client may take to send a request.")
    answer_seconds: float = option(600.0, "Seconds that an inference may take, waiting included.")


def serve_models(config: ServeConfig) -> None:
    """Serve a model with TensorFlow Serving's REST interface until the process is interrupted.

    Raises:
        InputError: an impossible setting, no model to serve, or a package of the extra serve that is missing.
    """
    try:
        from vxm_tf.serving import rest
    except ImportError as error:
        raise InputError(str(error)) from error
    if any(c in config.model_name for c in '/:"\\\n'):
        raise InputError(f"--model_name is part of an address: no slash, colon or quote; got {config.model_name!r}.")
    if config.poll_seconds <= 0:
        raise InputError(f"--poll_seconds must be more than 0; got {config.poll_seconds}.")
    limits = rest.Limits(**{field.name: getattr(config, field.name) for field in dataclasses.fields(rest.Limits)})
    policy = rest.Policy.parse(",".join(config.versions))
    model = rest.Model(config.model_name, config.model_base_path, policy, parse_labels(config.labels))
    server = rest.RestServer(
        [model], host=config.host, port=config.port, limits=limits, poll_seconds=config.poll_seconds
    )
    address = f"http://{config.host}:{server.port}/v1/models/{config.model_name}"
    logging.info("Serving at %s; end with Ctrl-C.", address)
    server.run()


def parse_labels(entries: Iterable[str]) -> dict[str, int]:
    """The version of each label, from entries such as "stable=1".

    Raises:
        InputError: an entry of another form, or a label that occurs twice.

    Example:
        >>> parse_labels(["stable=1"])
        {'stable': 1}
    """
    labels: dict[str, int] = {}
    for entry in entries:
        label, _, number = entry.partition("=")
        if not (label and number.isascii() and number.isdigit()) or any(c in label for c in "/:"):
            raise InputError(f"--labels has entries such as stable=1; got {entry!r}.")
        if label in labels:
            raise InputError(f"--labels names {label} twice; a label stands for one version.")
        labels[label] = int(number)
    return labels
