"""TensorFlow Serving's REST interface for laptops and tests, from one Python process."""

try:
    from vxm_tf.serving.rest.server import RestServer
except ImportError as error:
    raise ImportError(f'The server needs more packages ({error}): pip install "vxm-tf[serve]".') from error

from vxm_tf.serving.rest.served_models import Model
from vxm_tf.serving.rest.versions import Policy
from vxm_tf.serving.rest.work_queue import Limits

__all__ = ["Limits", "Model", "Policy", "RestServer"]
