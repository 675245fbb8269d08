"""TensorFlow Serving's REST interface for laptops and tests, from one Python process."""

from vxm_tf.serving.rest.limits import Limits
from vxm_tf.serving.rest.models import Model
from vxm_tf.serving.rest.server import RestServer
from vxm_tf.serving.rest.versions import Policy

__all__ = ["Limits", "Model", "Policy", "RestServer"]
