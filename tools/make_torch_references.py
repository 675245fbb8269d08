"""Save a small model of the original VoxelMorph for PyTorch, with its outputs, as a reference for the tests.

The original runs in an environment of its own::

    python3 -m venv old_torch
    old_torch/bin/pip install torch 'voxelmorph==0.2' 'neurite==0.2' pystrum
    old_torch/bin/python tools/make_torch_references.py tests/models/legacy/files

It leaves `torch_dense.pt`, as the original saves it, `torch_dense.npz` with `moving`, `fixed`, `displacement` and
`moved`, each float32 of the shape `[1, *spatial, channels]`, and `torch_dense_state.npz` with the constructor
arguments as JSON under `config` and each tensor of the state under its name.
"""

import argparse
import inspect
import json
import os
from pathlib import Path

os.environ["VXM_BACKEND"] = "pytorch"
os.environ["NEURITE_BACKEND"] = "pytorch"
if not hasattr(inspect, "getargspec"):
    # VoxelMorph 0.2 calls a function that Python 3.11 removed.
    inspect.getargspec = lambda function: inspect.getfullargspec(function)[:4]

import numpy as np
import torch
import voxelmorph as vxm

# Small, because the border rules of PyTorch and TensorFlow differ.
MEAN_DISPLACEMENT = 0.5
MEAN_OFFSET = (0.1, -0.05, 0.15)
SHAPE = (8, 16, 24)
FEATURES = [[4, 6, 6], [6, 6, 6, 6, 4, 4]]


def smooth_image(rng, shape):
    """Return a smooth random image in [0, 1] of the shape `[1, 1, *shape]`, in steps of 1/255."""
    image = rng.random((1, 1, *shape))
    for _ in range(3):
        for axis in range(2, len(shape) + 2):
            image = (np.roll(image, 1, axis) + image + np.roll(image, -1, axis)) / 3
    image = (image - image.min()) / (image.max() - image.min())
    return torch.from_numpy((np.round(image * 255) / 255).astype("float32"))


def channels_last(tensor):
    """Return a tensor of the shape `[1, channels, *spatial]` as an array of the shape `[1, *spatial, channels]`."""
    return np.ascontiguousarray(np.moveaxis(tensor.numpy(), 1, -1))


def randomise(model, pair):
    """Give the flow head random weights that make a small, varying displacement."""
    torch.nn.init.normal_(model.flow.weight, 0, 0.1)
    torch.nn.init.normal_(model.flow.bias, 0, 0.05)
    for _ in range(12):
        _, displacement = model(*pair, registration=True)
        offset = displacement.mean(dim=(0, 2, 3, 4)) - torch.tensor(MEAN_OFFSET)
        scale = MEAN_DISPLACEMENT / (displacement - offset.view(1, -1, 1, 1, 1)).norm(dim=1).mean()
        model.flow.weight.mul_(scale)
        model.flow.bias.sub_(offset / 2).mul_(scale)


@torch.no_grad()
def main():
    """Save the model, its state and its outputs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder for the files")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    pair = [smooth_image(rng, SHAPE), smooth_image(rng, SHAPE)]
    model = vxm.networks.VxmDense(SHAPE, nb_unet_features=FEATURES, int_steps=7, int_downsize=2)
    model.eval()
    randomise(model, pair)
    model.save(folder / "torch_dense.pt")
    moved, displacement = model(*pair, registration=True)
    arrays = dict(zip(("moving", "fixed", "displacement", "moved"), map(channels_last, (*pair, displacement, moved))))
    np.savez_compressed(folder / "torch_dense.npz", **arrays)
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items() if not name.endswith(".grid")}
    np.savez_compressed(folder / "torch_dense_state.npz", config=json.dumps(model.config), **state)
    norm = np.linalg.norm(arrays["displacement"], axis=-1)
    print(f"torch_dense: mean {norm.mean():.3f}, max {norm.max():.3f} voxels")


if __name__ == "__main__":
    main()
