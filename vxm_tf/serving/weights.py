"""Weights of a network in the precision in which a SavedModel stores them."""

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager

import keras
import tensorflow as tf

from vxm_tf.files.errors import InputError
from vxm_tf.models import RegistrationNetwork

PRECISIONS = ("float32", "float16")


class StoredWeights(tf.Module):
    """Weights stored in half precision, for half the bytes on disk, and cast to float32 for all computing.

    Args:
        network: network in float32, which keeps its own weights.
    """

    def __init__(self, network: RegistrationNetwork) -> None:
        super().__init__(name="weights")
        self.variables_of = list(network.weights)
        self.halves = [tf.Variable(tf.cast(w, tf.float16), trainable=False) for w in self.variables_of]

    def in_place(self) -> AbstractContextManager:
        """A context in which the network computes with these weights instead of its own."""
        pairs = zip(self.variables_of, self.halves)
        return keras.StatelessScope(state_mapping=[(own, tf.cast(half, tf.float32)) for own, half in pairs])


def context_for(network: RegistrationNetwork, precision: str) -> Callable[[], AbstractContextManager]:
    """A function that returns the context in which the network computes with weights stored in a precision.

    Raises:
        InputError: a precision that is not in `PRECISIONS`, or weights too large for it.
    """
    if precision not in PRECISIONS:
        raise InputError(f"Weights are stored in {' or '.join(PRECISIONS)}; got {precision!r}.")
    if precision == "float32":
        return contextlib.nullcontext
    largest = max(float(tf.reduce_max(tf.abs(weight))) for weight in network.weights)
    if largest > float(tf.float16.max):
        raise InputError(f"A weight of {largest:g} does not fit in float16, which ends at {tf.float16.max:g}.")
    return StoredWeights(network).in_place
