"""How much one server takes on."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits of a server; a megabyte has 2**20 bytes.

    Attributes:
        workers: inferences that run at a time.
        queue: requests that may be received or wait beside those that run.
        max_request_mb: size of a body in megabytes, and of what a gzipped one inflates to.
        max_inflated_mb: megabytes that the gzipped binary inputs of a request inflate to.
        request_seconds: for a client to send a body, and to take each megabyte of an answer.
        answer_seconds: for an inference, waiting included.
    """

    workers: int = 1
    queue: int = 16
    max_request_mb: float = 256
    max_inflated_mb: float = 1024
    request_seconds: float = 60
    answer_seconds: float = 600

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name == "queue" else 1 if field.name == "workers" else None
            if (value <= 0) if least is None else (value < least):
                bound = "more than 0" if least is None else f"at least {least}"
                raise ValueError(f"{field.name} must be {bound}; got {value}.")
