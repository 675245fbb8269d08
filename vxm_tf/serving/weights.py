"""The numbers of a network, as a SavedModel stores them."""

import contextlib

import keras
import tensorflow as tf

PRECISIONS = ("float32", "float16")


class StoredWeights(tf.Module):
    """Weights in half precision: half the bytes on disk, float32 wherever anything is computed.

    Args:
        network: in float32; its own weights stay as they are.
    """

    def __init__(self, network):
        super().__init__(name="weights")
        self.variables_of = list(network.weights)
        self.halves = [tf.Variable(tf.cast(w, tf.float16), trainable=False) for w in self.variables_of]

    def in_place(self):
        """A context in which the network computes with these."""
        pairs = zip(self.variables_of, self.halves)
        return keras.StatelessScope(state_mapping=[(own, tf.cast(half, tf.float32)) for own, half in pairs])


def context_for(network, precision: str):
    """A function that gives the context in which the network computes with weights of a precision.

    Raises:
        ValueError: another precision than `PRECISIONS`, or weights too large for it.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"Weights are stored in {' or '.join(PRECISIONS)}; got {precision!r}.")
    if precision == "float32":
        return contextlib.nullcontext
    largest = max(float(tf.reduce_max(tf.abs(weight))) for weight in network.weights)
    if largest > float(tf.float16.max):
        raise ValueError(f"A weight of {largest:g} does not fit in float16, which ends at {tf.float16.max:g}.")
    return StoredWeights(network).in_place
