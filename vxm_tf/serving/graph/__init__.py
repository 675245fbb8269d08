"""What runs inside a SavedModel: TensorFlow alone, shapes known when a request comes."""
