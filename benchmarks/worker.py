"""Predict once with a network of one preset for each line on standard input; print the seconds.

Called by `prediction.py`.
"""

import sys
import time

import numpy as np

import vxm_tf

SHAPE = (160, 192, 224)

network = vxm_tf.models.from_preset(sys.argv[1], SHAPE)
rng = np.random.default_rng(0)
images = {name: rng.random((1, *SHAPE, 1), "float32") for name in ("moving", "fixed")}
print(f"vxm_tf {vxm_tf.__version__}, {network.count_params()} parameters", flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    network.predict_on_batch(images)
    print(time.perf_counter() - start, flush=True)
