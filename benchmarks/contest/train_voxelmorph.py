"""Train VoxelMorph 0.3.4's torch network on the pairs that `train.py` would see, with its own losses.

    PYTHON_WITH_TORCH benchmarks/contest/train_voxelmorph.py --data_dir ../shared/data/brains-2mm --steps 2000 \
        --output models/voxelmorph-torch.pt

The defaults are those of the authors' training script: normalised cross-correlation in windows of 9, squared gradient
of weight 1, Adam at 1e-4, one pair per step. Images are divided by 255.
"""

import argparse
import itertools
import json
import random
import time
from pathlib import Path

import numpy as np
import torch
from neurite.nn.modules import NCC, SpatialGradient
from voxelmorph_network import in_bfloat16, new_network, padded


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", required=True, help="folder with NPZ scans in train")
    parser.add_argument("--steps", type=int, default=2000, help="steps of training")
    parser.add_argument("--minutes", type=float, default=0, help="time limit; 0 for none")
    parser.add_argument("--weight", type=float, default=1.0, help="weight of the squared gradient")
    parser.add_argument("--learning_rate", type=float, default=1e-4, help="learning rate of Adam")
    parser.add_argument("--output", required=True, type=Path, help="weights (.pt); a record goes beside them as .json")
    options = parser.parse_args()
    torch.manual_seed(0)
    random.seed(0)
    files = sorted((Path(options.data_dir) / "train").glob("*.npz"))
    images = [padded(torch.from_numpy(np.load(file)["vol"].astype("float32") / 255.0)[None, None]) for file in files]
    pairs = list(itertools.permutations(range(len(images)), 2))
    network = new_network().to(memory_format=torch.channels_last_3d)
    network.model.forward = in_bfloat16(network.model.forward)
    ncc, gradient = NCC(window_size=9), SpatialGradient("l2")
    optimizer = torch.optim.Adam(network.parameters(), lr=options.learning_rate)
    begin, history = time.perf_counter(), []
    for step in range(1, options.steps + 1):
        moving, fixed = (images[index] for index in random.choice(pairs))
        velocity, moved = network(moving, fixed, return_warped_source=True, return_field_type="velocity")
        loss = -ncc(moved, fixed).mean() + options.weight * gradient(velocity)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
        seconds = time.perf_counter() - begin
        if step % 50 == 0:
            print(f"step {step}: loss {np.mean(history[-50:]):.4f}, {seconds / step:.2f} s a step", flush=True)
        if options.minutes and seconds > 60 * options.minutes:
            break
    options.output.parent.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), options.output)
    record = {"steps": step, "seconds": seconds, "threads": torch.get_num_threads(), "loss": history[49::50]}
    options.output.with_suffix(".json").write_text(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
