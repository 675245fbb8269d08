"""Client of a served model over gRPC; needs grpcio and protobuf, the extra `grpc`, and no TensorFlow."""

from typing import Any

from vxm_tf.files.errors import InputError
from vxm_tf.serving.client.errors import ServingError, plain
from vxm_tf.serving.client.registration_calls import RegistrationCalls
from vxm_tf.serving.client.rest_client import check_choices
from vxm_tf.serving.client.retries import wait

try:
    import grpc
    from google.protobuf.message import Message

    from vxm_tf.serving.client import grpc_messages
except ImportError as error:
    raise ImportError(f"The gRPC client needs grpcio and protobuf ({error}): pip install 'vxm-tf[grpc]'.") from error

# Volumes are larger than the 4 MB that gRPC takes by default.
OPTIONS = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))
ADVICE = {
    "UNAVAILABLE": "Check the address, that this is the gRPC port (8500), and that the server runs.",
    "NOT_FOUND": "Check the model's name, and its version or label.",
    "RESOURCE_EXHAUSTED": "The server lacks memory or limits the size of messages.",
}


class GrpcClient(RegistrationCalls):
    """Calls a model by TensorFlow Serving's gRPC interface, unencrypted: for this machine or a trusted network.

    Args:
        address: host and port of the server, such as "127.0.0.1:8500".
        model: name of the model.
        version: number of the version; the server's choice, the latest, if None.
        label: label of a version, such as "stable", instead of its number.
        timeout_seconds: longest time of a whole call.
        retries: number of attempts after the first while the server is unavailable.

    Raises:
        InputError: no address, both version and label, or a time-out that is not positive.
    """

    def __init__(
        self,
        address: str,
        model: str = "vxm",
        version: int | None = None,
        label: str | None = None,
        timeout_seconds: float = 300.0,
        retries: int = 5,
    ):
        check_choices(model, version, label, timeout_seconds, retries)
        if not address or "//" in address or not address.rpartition(":")[2].isdigit():
            raise InputError(f"gRPC takes host:port, such as 127.0.0.1:8500; got {address!r}.")
        self._address = address
        self._spec: dict[str, Any] = {"name": model, **({"version_label": label} if label else {})}
        if version is not None:
            self._spec["version"] = {"value": version}
        self._timeout_seconds = timeout_seconds
        self._retries = retries
        self._channel = grpc.insecure_channel(address, OPTIONS)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def is_available(self) -> bool:
        """Ask once whether the server has the model loaded."""
        request = grpc_messages.StatusRequest(model_spec=self._spec)
        try:
            answer = self._once(grpc_messages.MODEL_STATUS, request, grpc_messages.StatusResponse)
        except grpc.RpcError:
            return False
        return any(version.state == grpc_messages.AVAILABLE for version in answer.model_version_status)

    def predict(self, signature: str, inputs: dict[str, Any]) -> Any:
        """Return the outputs of a signature by name, strings as bytes, numbers as arrays.

        Args:
            signature: name of the signature, as in `vxm_tf.serving.signatures`.
            inputs: bytes, strings, numbers or arrays by name.

        Returns:
            The outputs by name; the value itself if the signature has a single output, as over REST.

        Raises:
            ServingError: no answer, or an error.
            InputError: an input that is no tensor.
        """
        request = grpc_messages.PredictRequest(model_spec={**self._spec, "signature_name": signature})
        for name, value in inputs.items():
            grpc_messages.to_tensor(value, request.inputs.add(key=name).value)
        answer = self._call(grpc_messages.PREDICT, request, grpc_messages.PredictResponse)
        try:
            outputs = {output.key: grpc_messages.from_tensor(output.value) for output in answer.outputs}
        except (ValueError, IndexError) as error:
            raise ServingError(f"{self._address} answered with what cannot be read: {error}.") from error
        return next(iter(outputs.values())) if len(outputs) == 1 else outputs

    def _call(self, method: str, request: Message, kind: Any) -> Any:
        for attempt in range(1, self._retries + 2):
            try:
                return self._once(method, request, kind)
            except grpc.RpcError as error:
                failure = self._failure(error)
                if error.code() != grpc.StatusCode.UNAVAILABLE or attempt > self._retries:
                    raise failure from error
                wait(attempt, self._retries, str(failure))

    def _once(self, method: str, request: Message, kind: Any) -> Any:
        serialize = type(request).SerializeToString
        call = self._channel.unary_unary(method, request_serializer=serialize, response_deserializer=kind.FromString)
        return call(request, timeout=self._timeout_seconds)

    def _failure(self, error: grpc.RpcError) -> ServingError:
        code = error.code().name
        if code == "DEADLINE_EXCEEDED":
            return ServingError(
                f"{self._address} did not answer within {self._timeout_seconds:g} s. Large volumes and a busy server "
                "take longer: raise timeout_seconds."
            )
        sentence = plain(error.details() or "no reason given")
        return ServingError(" ".join(filter(None, [f"{self._address} answered {code}: {sentence}", ADVICE.get(code)])))
