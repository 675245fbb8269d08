"""Computations inside a SavedModel, in TensorFlow alone and for shapes that are known only when a request arrives."""
