"""A client of a served model that needs no TensorFlow."""

from vxm_tf.serving.client.errors import ServingError
from vxm_tf.serving.client.registration_calls import ArrayAnswer, NiftiAnswer
from vxm_tf.serving.client.rest_client import Client

__all__ = ["ArrayAnswer", "Client", "NiftiAnswer", "ServingError"]
