"""Dice of pairs of unlike contrast: brains as they are, and with the moving image inverted.

    python -m studies.contrast --model shipped
    python -m studies.contrast --model none

- `network` and `network inverted`: the network alone;
- `mi` and `mi inverted`: with `--model none`, `refine` from the identity by mutual information.

The inverted image is 1 - moving where the normalised image is above 0, and 0 where it is 0, since an image of another
contrast has a dark background too. Labels are moved by nearest neighbour through each displacement. The seconds of the
first pair include compilation; medians leave them out. Writes `studies/results/contrast.json` and the page
`benchmarks/results/README.md`.
"""

import argparse
import functools
import itertools
import json
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

import vxm_tf  # before tensorflow, for oneDNN
from benchmarks.contest.labels import BRAIN_LABELS
from benchmarks.results_page import write_page
from vxm_tf import metrics
from vxm_tf.data import normalize
from vxm_tf.data.warping import warp_labels
from vxm_tf.files.json_file import write_json
from vxm_tf.models.saved import input_settings, load_model
from vxm_tf.registration import RefineConfig, refine
from vxm_tf.registration.predict import register_pair

HERE = Path(__file__).resolve().parent
SEED = 0


def refined(moving, fixed):
    """Register by mutual information; returns (displacement, seconds)."""
    begin = time.perf_counter()
    result = refine(moving, fixed, config=RefineConfig(similarity="mi"))
    return result.displacement, time.perf_counter() - begin


def predicted(network, moving, fixed):
    """Register by a network; returns (displacement, seconds)."""
    result = register_pair(network, moving, fixed)
    return result.displacement, result.seconds


def inverted(image):
    """The image in another contrast on the same dark background."""
    return np.where(image > 0, 1.0 - image, 0.0).astype("float32")


def contestants(network):
    """{name: function of a normalised moving and fixed image}."""
    name, register = ("mi", refined) if network is None else ("network", functools.partial(predicted, network))
    return {name: register, f"{name} inverted": lambda moving, fixed: register(inverted(moving), fixed)}


def score(displacement, moving_labels, fixed_labels):
    dice = metrics.dice(warp_labels(moving_labels, displacement), fixed_labels, BRAIN_LABELS)
    return {
        "dice": float(np.nanmean(list(dice.values()))),
        "fold_fraction": metrics.fold_fraction(displacement),
        "non_diffeomorphic_volume": metrics.non_diffeomorphic_volume(displacement),
    }


def load(path, normalization):
    with np.load(path) as data:
        image = data["vol"][..., None].astype("float32")
        return {"image": normalize(image, normalization), "labels": data["seg"]}


def summary(rows):
    """Means, medians and seconds of one contestant's rows."""
    values = {key: [row[key] for row in rows] for key in rows[0] if key not in ("moving", "fixed", "method")}
    later = values["seconds"][1:] or values["seconds"]
    return {
        **{f"mean_{key}": float(np.mean(numbers)) for key, numbers in values.items() if key != "seconds"},
        "median_dice": float(np.median(values["dice"])),
        "max_non_diffeomorphic_volume": max(values["non_diffeomorphic_volume"]),
        "median_seconds": float(np.median(later)),
        "first_seconds": values["seconds"][0],
    }


def environment():
    names = ("vxm_tf", "keras", "tensorflow", "numpy")
    versions = {name: vxm_tf.__version__ if name == "vxm_tf" else version(name) for name in names}
    return {
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "seed": SEED,
        "load_average": os.getloadavg(),
        "versions": versions,
    }


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", default=str(HERE.parents[1] / "shared" / "data" / "brains-2mm"))
    parser.add_argument("--split", choices=("val", "train"), default="val", help="folder of the scans")
    parser.add_argument("--pairs", type=int, default=0, help="number of ordered pairs, from the first; 0 for all")
    parser.add_argument("--model", default="none", help="shipped, a .keras file, or none")
    parser.add_argument("--output", default=str(HERE / "results" / "contrast.json"))
    return parser.parse_args()


def main():
    options = parse()
    np.random.seed(SEED)
    network = None if options.model == "none" else load_model(options.model)
    normalization = input_settings(network)["normalization"] if network else "percentile"
    scans = {p.stem: load(p, normalization) for p in sorted((Path(options.data_dir) / options.split).glob("*.npz"))}
    if network is not None:
        network = network.for_shape(next(iter(scans.values()))["image"].shape[:-1])
    pairs = list(itertools.permutations(scans, 2))[: options.pairs or None]
    rows, methods = [], {"affine": None, **contestants(network)}
    for number, (moving, fixed) in enumerate(pairs, 1):
        m, f = scans[moving], scans[fixed]
        for name, method in methods.items():
            nothing = np.zeros((*f["labels"].shape, 3), "float32"), 0.0
            field, seconds = method(m["image"], f["image"]) if method else nothing
            row = {"moving": moving, "fixed": fixed, "method": name, "seconds": seconds}
            rows.append({**row, **score(field, m["labels"], f["labels"])})
            print(f"{number}/{len(pairs)} {moving} -> {fixed} {name}: ", end="")
            print(f"Dice {rows[-1]['dice']:.4f}, folds {rows[-1]['fold_fraction']:.1e}, {seconds:.1f} s", flush=True)
    report(options, rows, methods)


def report(options, rows, methods):
    table = {name: summary([row for row in rows if row["method"] == name]) for name in methods}
    path = Path(options.output)
    result = json.loads(path.read_text()) if path.is_file() else {}
    entry = {"environment": environment(), "summary": table, "pairs": rows}
    result[f"{options.split}, {options.model}"] = entry
    write_json(path, result)
    write_page()
    print(f"\n{'':14}  mean Dice  median  folds     NDV       median s  first s")
    for name, line in table.items():
        print(
            f"{name:14}  {line['mean_dice']:9.4f}  {line['median_dice']:6.4f}  {line['mean_fold_fraction']:.2e}  "
            f"{line['mean_non_diffeomorphic_volume']:.2e}  {line['median_seconds']:8.2f}  {line['first_seconds']:7.1f}"
        )


if __name__ == "__main__":
    main()
