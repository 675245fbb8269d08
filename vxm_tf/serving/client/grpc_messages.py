"""The few messages of TensorFlow Serving's gRPC interface, without its package, which requires a TensorFlow version of
its own.

They are described at run time, in a separate descriptor pool: TensorFlow registers the same names in the shared one.
Field numbers are those of `predict.proto`, `model.proto`, `get_model_status.proto`, `tensor.proto` and
`tensor_shape.proto`; fields that are not listed here are ignored.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from vxm_tf.files.errors import InputError

PACKAGE = "tensorflow.serving"
PREDICT = f"/{PACKAGE}.PredictionService/Predict"
MODEL_STATUS = f"/{PACKAGE}.ModelService/GetModelStatus"
AVAILABLE = 30
DT_STRING = 7
# Key: TensorFlow's number of a type. Value: (NumPy's name of the type, the field that holds its numbers one by one).
NUMBERS = {
    1: ("float32", "float_val"),
    2: ("float64", "double_val"),
    3: ("int32", "int_val"),
    4: ("uint8", "int_val"),
    5: ("int16", "int_val"),
    6: ("int8", "int_val"),
    9: ("int64", "int64_val"),
    10: ("bool", "bool_val"),
    17: ("uint16", "int_val"),
}
# Message: {field: (number, type, repeated)}; a capitalised type is another message.
MESSAGES = {
    "Dim": {"size": (1, "int64", False)},
    "TensorShape": {"dim": (2, "Dim", True)},
    "Tensor": {
        "dtype": (1, "int32", False),
        "tensor_shape": (2, "TensorShape", False),
        "tensor_content": (4, "bytes", False),
        "float_val": (5, "float", True),
        "double_val": (6, "double", True),
        "int_val": (7, "int32", True),
        "string_val": (8, "bytes", True),
        "int64_val": (10, "int64", True),
        "bool_val": (11, "bool", True),
    },
    # A map is a repeated pair on the wire.
    "NamedTensor": {"key": (1, "string", False), "value": (2, "Tensor", False)},
    "Version": {"value": (1, "int64", False)},
    "ModelSpec": {
        "name": (1, "string", False),
        "version": (2, "Version", False),
        "signature_name": (3, "string", False),
        "version_label": (4, "string", False),
    },
    "PredictRequest": {"model_spec": (1, "ModelSpec", False), "inputs": (2, "NamedTensor", True)},
    "PredictResponse": {"outputs": (1, "NamedTensor", True)},
    "StatusRequest": {"model_spec": (1, "ModelSpec", False)},
    "VersionStatus": {"version": (1, "int64", False), "state": (2, "int32", False)},
    "StatusResponse": {"model_version_status": (1, "VersionStatus", True)},
}


def _classes() -> dict[str, type]:
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="vxm_tf_serving.proto", package=PACKAGE, syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for key, (number, kind, repeated) in fields.items():
            label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            added = message.field.add(name=key, number=number, label=label)
            if kind in MESSAGES:
                added.type, added.type_name = field.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
            else:
                added.type = getattr(field, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in MESSAGES}


_CLASSES = _classes()
PredictRequest, PredictResponse = _CLASSES["PredictRequest"], _CLASSES["PredictResponse"]
StatusRequest, StatusResponse = _CLASSES["StatusRequest"], _CLASSES["StatusResponse"]


def to_tensor(value: Any, tensor: Any = None) -> Any:
    """Return a tensor message of bytes or strings, of an array, or of numbers as int32 or float32.

    Raises:
        InputError: the value is none of these.
    """
    tensor = _CLASSES["Tensor"]() if tensor is None else tensor
    strings = value if isinstance(value, (list, tuple)) else [value]
    if strings and all(isinstance(entry, (bytes, str)) for entry in strings):
        tensor.dtype = DT_STRING
        tensor.string_val.extend(entry.encode() if isinstance(entry, str) else entry for entry in strings)
        _set_shape(tensor, () if strings is not value else (len(strings),))
        return tensor
    array = value if isinstance(value, np.ndarray) else _narrow(np.asarray(value))
    numbers = {name: number for number, (name, _) in NUMBERS.items()}
    if array.dtype.name not in numbers:
        raise InputError(f"Tensors hold {', '.join(numbers)} or strings; got {array.dtype}.")
    tensor.dtype = numbers[array.dtype.name]
    tensor.tensor_content = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    _set_shape(tensor, array.shape)
    return tensor


def _narrow(array: np.ndarray) -> np.ndarray:
    kind = {"i": "int32", "u": "int32", "f": "float32"}.get(array.dtype.kind)
    if kind == "int32" and array.size and (array.min() < -(2**31) or array.max() >= 2**31):
        raise InputError(
            f"Whole numbers are sent in 32 bits, from {-(2**31)} to {2**31 - 1}; got {array.min()} to {array.max()}. "
            "Give label ids smaller numbers and keep a table of both."
        )
    return array.astype(kind) if kind else array


def _set_shape(tensor: Any, shape: Iterable[int]) -> None:
    tensor.tensor_shape.SetInParent()
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)


def from_tensor(tensor: Any) -> Any:
    """Return bytes or a list of them, or an array, from a tensor message.

    Raises:
        ValueError: a type or a number of values that does not fit.
    """
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    if tensor.dtype == DT_STRING:
        return list(tensor.string_val) if shape else tensor.string_val[0]
    if tensor.dtype not in NUMBERS:
        raise ValueError(f"a tensor of TensorFlow's type {tensor.dtype}, which is not known here")
    name, field = NUMBERS[tensor.dtype]
    if tensor.tensor_content:
        return np.frombuffer(tensor.tensor_content, np.dtype(name).newbyteorder("<")).reshape(shape)
    values, count = np.array(getattr(tensor, field), name), math.prod(shape)
    # A server may leave out trailing values that equal the last one it sends.
    if 0 < len(values) < count:
        values = np.concatenate([values, np.full(count - len(values), values[-1])])
    return values.reshape(shape)
