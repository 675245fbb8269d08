"""Predict once with VoxelMorph 0.3.4's torch network for each line on standard input; print the seconds.

Runs under a Python that has `torch` and `voxelmorph==0.3.4`; called by `prediction.py`.
"""

import sys
import time

import torch
import voxelmorph
from contest.voxelmorph_network import new_network

SHAPE = (160, 192, 224)

torch.manual_seed(0)
network = new_network().eval()
images = [torch.rand(1, 1, *SHAPE) for _ in range(2)]
print(f"voxelmorph {voxelmorph.__version__}, torch {torch.__version__}, {torch.get_num_threads()} threads", flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    with torch.no_grad():
        network(*images, return_warped_source=True, return_field_type="displacement")
    print(time.perf_counter() - start, flush=True)
