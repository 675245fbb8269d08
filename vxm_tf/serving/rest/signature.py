"""A signature of a SavedModel: what goes in, what comes out, and the call."""

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Signature:
    """One signature.

    Attributes:
        inputs: name -> type and shape.
        definition: the protocol buffer of the SavedModel.
        function: takes tensors by name, returns tensors by name; None where there is none to call.
    """

    inputs: dict[str, tf.TensorSpec]
    definition: object
    function: object

    @classmethod
    def of(cls, definition, function):
        """From the `SignatureDef` of a SavedModel."""
        inputs = {
            name: tf.TensorSpec(tf.TensorShape(info.tensor_shape), tf.as_dtype(info.dtype))
            for name, info in sorted(definition.inputs.items())
        }
        return cls(inputs, definition, function)
