"""The command vxm-serve."""

import dataclasses

from absl import logging

from vxm_tf.cli import command

DESCRIPTION = "Serve exported models over HTTP on this machine, with TensorFlow Serving's REST interface."


@dataclasses.dataclass(frozen=True)
class ServeConfig:
    """Settings of the command.

    Attributes:
        model_base_path: the model's base folder, as vxm-export writes it.
        model_name: in the addresses of requests.
        host: address to listen on.
        port: to listen on; 0 for any that is free.
        labels: label=version.
        versions: latest, all, or numbers.
        poll_seconds: between two looks for new versions.
        workers: inferences at a time.
        queue: requests beside those that run.
        max_request_mb: size of a request, in megabytes of 2**20 bytes.
        max_inflated_mb: what the gzipped volumes of a request inflate to, in megabytes.
        request_seconds: for a client to send a request.
        answer_seconds: for an inference, waiting included.
    """

    model_base_path: str = ""
    model_name: str = "vxm"
    host: str = "127.0.0.1"
    port: int = 8501
    labels: tuple[str, ...] = ()
    versions: tuple[str, ...] = ("latest",)
    poll_seconds: float = 1.0
    workers: int = 1
    queue: int = 16
    max_request_mb: float = 256.0
    max_inflated_mb: float = 1024.0
    request_seconds: float = 60.0
    answer_seconds: float = 600.0


def define_flags(values):
    """One flag for each field of `ServeConfig`."""
    flag = command.Flags(values, ServeConfig())
    flag.string("model_base_path", "The model's base folder; versions are its subfolders 1, 2, ...")
    flag.string("model_name", "The model's name in the addresses of requests.")
    flag.string("host", "The address to listen on; the default is reached from this machine only.")
    flag.integer("port", "The port to listen on; 0 for any that is free.")
    flag.strings("labels", "Names of versions, such as stable=1,canary=2.")
    flag.strings("versions", "Which versions are served: latest, all, or numbers such as 1,2.")
    flag.float("poll_seconds", "Seconds between two looks for new versions.")
    flag.integer("workers", "Inferences that run at a time.")
    flag.integer("queue", "Requests that may wait beside those that run; others get 503.")
    flag.float("max_request_mb", "Largest request, also when inflated, in megabytes.")
    flag.float("max_inflated_mb", "What the gzipped volumes of one request may inflate to, in megabytes.")
    flag.float("request_seconds", "Seconds that a client may take to send a request.")
    flag.float("answer_seconds", "Seconds that an inference may take, waiting included.")


def main(argv=None):
    """Entry point."""
    command.run(define_flags, _call, DESCRIPTION, argv)


def parse_labels(entries) -> dict[str, int]:
    """Label -> version, from entries such as "stable=1".

    Raises:
        ValueError: an entry of another form, or a label that occurs twice.

    Example:
        >>> parse_labels(["stable=1"])
        {'stable': 1}
    """
    labels = {}
    for entry in entries:
        label, _, number = entry.partition("=")
        if not (label and number.isascii() and number.isdigit()) or any(c in label for c in "/:"):
            raise ValueError(f"--labels has entries such as stable=1; got {entry!r}.")
        if label in labels:
            raise ValueError(f"--labels names {label} twice; a label stands for one version.")
        labels[label] = int(number)
    return labels


def _call(values):
    try:
        from vxm_tf.serving import rest
    except ImportError as error:
        raise ValueError(str(error)) from error

    command.require(values, "model_base_path", "model_name")
    if any(c in values.model_name for c in '/:"\\\n'):
        raise ValueError(f"--model_name is part of an address: no slash, colon or quote; got {values.model_name!r}.")
    if values.poll_seconds <= 0:
        raise ValueError(f"--poll_seconds must be more than 0; got {values.poll_seconds}.")
    limits = command.config(rest.Limits, values)
    policy = rest.Policy.parse(",".join(values.versions))
    model = rest.Model(values.model_name, values.model_base_path, policy, parse_labels(values.labels))
    server = rest.RestServer(
        [model], host=values.host, port=values.port, limits=limits, poll_seconds=values.poll_seconds
    )
    address = f"http://{values.host}:{server.port}/v1/models/{values.model_name}"
    logging.info("Serving at %s; end with Ctrl-C.", address)
    server.run()
