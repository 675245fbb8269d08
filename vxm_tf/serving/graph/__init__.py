"""Computations inside a SavedModel, in TensorFlow alone and for shapes that only a request tells."""
