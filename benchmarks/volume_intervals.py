"""Intervals for the volumes of structures, on people who were scanned twice.

    python benchmarks/volume_intervals.py --data_dir ../shared/data/brains-2mm --spacing_mm 2

Registers each person's scan in `val` onto the same person's second visit in `rescan`, and gives the volume and the
Dice of each moved structure a 90 % interval from the spread of the registrations. The volume in the second visit's own
segmentation lies within it, or not: it was drawn by hand, and two drawings differ too. Pairs are matched by the order
of the files' names. Writes `results/volume-intervals.json`.
"""

import argparse
import math
import os
import platform
import time
from pathlib import Path

import vxm_tf  # noqa: F401 - before TensorFlow, for oneDNN

# isort: split
import keras
import numpy as np
from contest.labels import BRAIN_LABELS
from vxm_tf.registration.structure_intervals import NORMAL_90, StructureSamples

from vxm_tf.data import normalize
from vxm_tf.files.json_file import write_json
from vxm_tf.files.volumes import read_image, read_labels
from vxm_tf.models import input_settings, load_model
from vxm_tf.registration import displacement_by
from vxm_tf.trust import pair_uncertainty

RESULTS = Path(__file__).resolve().parent / "results"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--spacing_mm", type=float, required=True)
    parser.add_argument("--model", default="shipped")
    parser.add_argument("--samples", type=int, default=16)
    options = parser.parse_args()
    network = load_model(options.model)
    people = [sorted(Path(options.data_dir, folder).glob("*.npz")) for folder in ("val", "rescan")]
    rows = [row for moving, fixed in zip(*people, strict=True) for row in person(network, moving, fixed, options)]
    settings = {**vars(options), "deviations": NORMAL_90, "cores": os.cpu_count(), "python": platform.python_version()}
    result = {"settings": {**settings, "keras": keras.__version__}, **summary(rows), "structures": rows}
    write_json(RESULTS / "volume-intervals.json", result)
    print({name: value for name, value in result.items() if name not in ("settings", "structures")})


def person(network, moving, fixed, options):
    """A row for each structure of one person."""
    scans = [normalize(read_image(path).array, input_settings(network)["normalization"]) for path in (moving, fixed)]
    labels = [read_labels(path).array for path in (moving, fixed)]
    network = network.for_shape(scans[1].shape[:-1])
    register = displacement_by(network)
    voxel_volume = options.spacing_mm**3
    structures = StructureSamples(labels[0], BRAIN_LABELS, voxel_volume, fixed_labels=labels[1])
    linear, start = np.eye(3) * options.spacing_mm, time.perf_counter()
    settings = {"refined": False, "linear": linear, "samples": options.samples, "watch": (structures.look,)}
    spread = pair_uncertainty(*scans, register(*scans), register, network, **settings)
    inside = spread.displacement_std_mm[labels[1] > 0]
    print(
        f"{moving.stem} onto {fixed.stem}: median spread {np.median(inside):.2f} mm, "
        f"{time.perf_counter() - start:.0f} s",
        flush=True,
    )
    volumes, overlaps = structures.volumes_mm3(), structures.dice()
    return [
        {
            "moving": moving.stem,
            "fixed": fixed.stem,
            "label": label,
            "volume_mm3": vars(volumes[label]),
            "dice": vars(overlaps[label]),
            "moving_volume_mm3": voxel_volume * int(np.count_nonzero(labels[0] == label)),
            "fixed_volume_mm3": voxel_volume * int(np.count_nonzero(labels[1] == label)),
        }
        for label in BRAIN_LABELS
    ]


def summary(rows):
    """How wide the intervals are, how many hold the volume in the second visit's segmentation, and what would."""
    low, high, mean = (np.array([row["volume_mm3"][name] for row in rows]) for name in ("low", "high", "mean"))
    second = np.array([row["fixed_volume_mm3"] for row in rows])
    first = np.array([row["moving_volume_mm3"] for row in rows])
    distances = np.abs(second - mean) / np.maximum((high - mean) / NORMAL_90, 1e-9)
    people = np.array([row["moving"] for row in rows])
    left_out = [_inside_of_person(distances, people == person) for person in sorted(set(people))]
    return {
        "structures_of_all_people": len(rows),
        "median_half_width_percent": float(np.median(50.0 * (high - low) / mean)),
        "second_visit_inside_percent": float(100.0 * np.mean((low <= second) & (second <= high))),
        "median_difference_to_second_visit_percent": float(np.median(100.0 * np.abs(mean - second) / second)),
        "median_difference_between_visits_percent": float(np.median(100.0 * np.abs(first - second) / second)),
        "spreads_that_hold_90_percent": _conformal(distances),
        "person_left_out_inside_percent": float(100.0 * np.mean(left_out)),
    }


def _conformal(distances, coverage=0.9):
    """The ceil((n + 1) coverage)-th smallest of n."""
    rank = math.ceil((len(distances) + 1) * coverage)
    return float(np.sort(distances)[min(rank, len(distances)) - 1])


def _inside_of_person(distances, person):
    """How many of a person's volumes lie within as many spreads as hold 90 % of the others'."""
    return np.mean(distances[person] <= _conformal(distances[~person]))


if __name__ == "__main__":
    main()
