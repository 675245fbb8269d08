"""Check calibrated error bars on pairs whose true displacement is known.

    python -m studies.uncertainty --shape 128 128 --calibrate 16 --test 20
    python -m studies.uncertainty --data_dir ../shared/data/brains-2mm --calibrate 6 --test 5

Each method of finding an error bar is calibrated on one set of pairs and scored on another: Spearman's correlation of
the bar and the error over the voxels inside the head, for all pairs and pair by pair, and the share of voxels that the
calibrated 90 % bound covers. Pairs are two phantoms, or one scan of --data_dir deformed twice; scans in `train`
calibrate, scans in `val` test. The pairs differ in the size of their deformation and in noise, as scans do, unless
--alike. Writes `studies/results/uncertainty-<shape>.json`, the name ending in -alike or -scans.
"""

import argparse
import functools
import os
import platform
import time
from pathlib import Path

import vxm_tf  # noqa: F401 - before TensorFlow, for oneDNN

# isort: split
import keras
import numpy as np
from scipy.stats import spearmanr

from vxm_tf.data import ScanStore, find_scans
from vxm_tf.files.json_file import write_json
from vxm_tf.models import PRESETS, from_preset, load_model
from vxm_tf.registration import displacement_by
from vxm_tf.trust import calibrate
from vxm_tf.trust.uncertainty.error_features import FLOOR, error_features
from vxm_tf.trust.uncertainty.known_pairs import deformed_pairs, phantom_pairs
from vxm_tf.trust.uncertainty.perturbation import perturbed_displacements
from vxm_tf.trust.uncertainty.spread import sampled_displacements, uncertainty_of

RESULTS = Path(__file__).resolve().parent / "results"
# Pairs of seeds 1 and 2 chose the features.
CALIBRATION_SEED, TEST_SEED = 11, 12


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs="+", default=[128, 128], help="voxels of the phantoms")
    parser.add_argument("--calibrate", type=int, default=16, help="number of pairs that calibrate")
    parser.add_argument("--test", type=int, default=20, help="number of pairs that test")
    parser.add_argument("--alike", action="store_true", help="phantoms that are all deformed and noisy alike")
    parser.add_argument(
        "--data_dir", default="", help="folder with scans on one grid in train and val, instead of phantoms"
    )
    parser.add_argument("--model", default="base", help="a .keras file, or a preset with untrained weights")
    parser.add_argument(
        "--probabilistic", default="", help=".keras file of a VxmProbabilistic, whose samples are scored too"
    )
    parser.add_argument("--samples", type=int, default=16, help="registrations for each estimate")
    return parser.parse_args()


def main():
    options = parse()
    rows, draws = {"calibrate": [], "test": []}, None
    for part in rows:
        for number, pair in enumerate(pairs_of(part, options), 1):
            options.shape = pair.fixed.shape[:-1]
            draws = draws or ways(options, options.shape)
            rows[part].append(rows_of(pair, draws, options.samples, number))
            print(f"{part} {number} of {getattr(options, part)}", flush=True)
    methods = {
        name: score(name, *([pair[name] for pair in pairs] for pairs in rows.values())) for name in rows["test"][0]
    }
    result = {"settings": settings(options), "methods": methods}
    print(table(result["methods"]))
    ending = "-scans" if options.data_dir else "-alike" if options.alike else ""
    write_json(RESULTS / f"uncertainty-{'x'.join(map(str, options.shape))}{ending}.json", result)


def pairs_of(part, options):
    """Pairs of known displacement that calibrate or test."""
    count, seed = getattr(options, part), {"calibrate": CALIBRATION_SEED, "test": TEST_SEED}[part]
    if not options.data_dir:
        return phantom_pairs(tuple(options.shape), count, seed, alike=options.alike)
    scans = find_scans(Path(options.data_dir, {"calibrate": "train", "test": "val"}[part]))
    return deformed_pairs([ScanStore([scan]).image(0) for scan in scans[:count]], count, seed)


def ways(options, shape):
    """{method: (network, function that draws registrations)}."""
    model = options.model
    network = from_preset(model, shape) if model in PRESETS else load_model(model).for_shape(shape)

    def perturbed(network, moving, fixed, samples, seed, **settings):
        return perturbed_displacements(displacement_by(network), moving, fixed, samples, seed, **settings)

    noise_alone = functools.partial(perturbed, size=0.0)
    methods = {"perturbations": (network, perturbed), "noise alone": (network, noise_alone)}
    if options.probabilistic:
        network = load_model(options.probabilistic).for_shape(shape)
        methods |= {"samples": (network, sampled_displacements)}
    return methods


def rows_of(pair, draws, samples, seed):
    """Register a pair by each method; returns {row of the table: (error, features, seconds)}.

    Each method has two rows: its spread alone, and its spread with the other features.
    """
    images, rows = (pair.moving, pair.fixed), {}
    for name, (network, draw) in draws.items():
        start = time.perf_counter()
        displacement = displacement_by(network)(*images)
        displacements = draw(network, *images, samples, seed)
        spread = uncertainty_of(displacements, np.eye(displacement.shape[-1]), name).displacement_std_mm
        features = {key: values[pair.inside] for key, values in error_features(*images, displacement, spread).items()}
        seconds = time.perf_counter() - start
        error = np.linalg.norm(displacement - pair.displacement, axis=-1)[pair.inside]
        rows[f"{name}, all features"] = error, features, seconds
        rows[f"{name}, spread alone"] = error, {"spread": np.log(spread[pair.inside] + FLOOR)}, seconds
    return rows


def score(name, calibration_rows, test_rows):
    """Calibrate and test one row of the table; lengths are in voxels."""
    calibration = calibrate([row[:2] for row in calibration_rows], name, 0)
    errors, features, seconds = zip(*test_rows, strict=True)
    radii = [calibration.radius(values) for values in features]
    covered = [np.mean(error <= radius) for error, radius in zip(errors, radii, strict=True)]
    each = [spearmanr(radius, error).statistic for error, radius in zip(errors, radii, strict=True)]
    error, radius = np.concatenate(errors), np.concatenate(radii)
    return {
        "spearman": float(spearmanr(radius, error).statistic),
        "spearman_of_a_pair": {
            "median": float(np.median(each)),
            "lowest": float(min(each)),
            "highest": float(max(each)),
        },
        "bound": calibration.bound,
        "weights": calibration.weights,
        "covered": float(np.mean(covered)),
        "covered_of_a_pair": {"lowest": float(min(covered)), "highest": float(max(covered))},
        "median_bound": float(np.median(radius)),
        "median_error": float(np.median(error)),
        "percentile90_error": float(np.percentile(error, 90)),
        "seconds": float(np.median(seconds)),
    }


def table(methods):
    """Markdown table of the scores."""
    lines = [
        "| error bar from | Spearman | of a pair, median | 90 % covers | of a pair | median bound | median error | s |",
        "| --- |" + " ---: |" * 7,
    ]
    for name, row in methods.items():
        cover = row["covered_of_a_pair"]
        cells = [
            f"{row['spearman']:.2f}",
            f"{row['spearman_of_a_pair']['median']:.2f}",
            f"{100 * row['covered']:.1f} %",
            f"{100 * cover['lowest']:.0f} to {100 * cover['highest']:.0f} %",
            f"{row['median_bound']:.2f}",
            f"{row['median_error']:.2f}",
            f"{row['seconds']:.1f}",
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def settings(options):
    return {
        **vars(options),
        "seeds": {"calibrate": CALIBRATION_SEED, "test": TEST_SEED},
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "keras": keras.__version__,
    }


if __name__ == "__main__":
    main()
