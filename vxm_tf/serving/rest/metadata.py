"""What the server tells of a model: the state of its versions, the signatures of one."""

import json

from tensorflow.core.framework import types_pb2

from vxm_tf.serving.rest.errors import STATUS_NAMES


def status_text(states) -> bytes:
    """The answer to GET /v1/models/NAME.

    Args:
        states: (version, name of the state, error message), in the order to show.
    """
    entries = [
        {
            "version": str(version),
            "state": state,
            "status": {"error_code": "UNKNOWN" if message else STATUS_NAMES[200], "error_message": message},
        }
        for version, state, message in states
    ]
    return (_json({"model_version_status": entries}) + "\n").encode()


def metadata_text(name: str, version: int, definitions) -> bytes:
    """The answer to GET /v1/models/NAME/metadata.

    Args:
        name: of the model.
        version: its number.
        definitions: name -> `SignatureDef`.
    """
    spec = _json({"name": name, "version": str(version), "signature_name": ""})
    signatures = {key: _signature(definition) for key, definition in sorted(definitions.items())}
    text = _json({"signature_def": signatures})
    return f'{{\n"model_spec":{spec}\n,\n"metadata": {{"signature_def": {text}\n}}\n}}\n'.encode()


def _json(value):
    return json.dumps(value, indent=1, ensure_ascii=False)


def _signature(definition):
    return {
        "inputs": {name: _tensor(info) for name, info in sorted(definition.inputs.items())},
        "outputs": {name: _tensor(info) for name, info in sorted(definition.outputs.items())},
        "method_name": definition.method_name,
        "defaults": {},
    }


def _tensor(info):
    return {
        "name": info.name,
        "dtype": types_pb2.DataType.Name(info.dtype),
        "tensor_shape": {
            "dim": [{"size": str(dim.size), "name": dim.name} for dim in info.tensor_shape.dim],
            "unknown_rank": info.tensor_shape.unknown_rank,
        },
    }
