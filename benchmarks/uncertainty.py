"""Whether a registration's spread says where it errs: on phantoms, whose true deformation is known.

    python benchmarks/uncertainty.py --shape 128 128 --calibrate 12 --test 20

Calibrates each way to find a spread on one set of pairs and scores it on another: Spearman's correlation of spread and
error over the voxels inside the head, of all pairs and pair by pair, and how many of them the calibrated 90 % bound
covers. Individuals differ in how far they are deformed and in noise, as scans do, unless --alike. Writes
`results/uncertainty-<shape>.json`, and with --alike `results/uncertainty-<shape>-alike.json`.
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

from vxm_tf.data.phantoms import phantom
from vxm_tf.files.json_file import write_json
from vxm_tf.models import PRESETS, from_preset
from vxm_tf.ops import compose
from vxm_tf.registration import calibrate, load_model, register_pair
from vxm_tf.registration.perturbation import perturbed_displacements
from vxm_tf.registration.uncertainty import sampled_displacements, uncertainty_of

RESULTS = Path(__file__).resolve().parent / "results"
MAGNITUDES, NOISES = (0.008, 0.04), (0.01, 0.08)
CALIBRATION_SEED, TEST_SEED = 1, 2


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs="+", default=[128, 128])
    parser.add_argument("--calibrate", type=int, default=12, help="pairs")
    parser.add_argument("--test", type=int, default=20, help="pairs")
    parser.add_argument("--alike", action="store_true", help="phantoms as `vxm_tf.data.phantoms` makes them by default")
    parser.add_argument("--model", default="base", help="a .keras file, or a preset, which nobody has trained")
    parser.add_argument("--probabilistic", default="", help=".keras file of a VxmProbabilistic, for its samples")
    parser.add_argument("--samples", type=int, default=16)
    return parser.parse_args()


def main():
    options = parse()
    shape = tuple(options.shape)
    methods = ways(options, shape)
    found = {name: {"calibrate": [], "test": []} for name in methods}
    sets = {"calibrate": (CALIBRATION_SEED, options.calibrate), "test": (TEST_SEED, options.test)}
    for part, (seed, count) in sets.items():
        for number in range(count):
            images, truth, head = pair(shape, seed, number, options.alike)
            for name, (network, draw) in methods.items():
                start = time.perf_counter()
                error = np.linalg.norm(register_pair(network, *images).displacement - truth, axis=-1)
                displacements = draw(network, *images, options.samples, number)
                spread = uncertainty_of(displacements, np.eye(len(shape)), name).displacement_std_mm
                found[name][part].append((error[head], spread[head], time.perf_counter() - start))
            print(f"{part} {number + 1} of {count}", flush=True)
    result = {
        "settings": settings(options),
        "methods": {name: score(name, row, options) for name, row in found.items()},
    }
    print(table(result["methods"]))
    ending = "-alike" if options.alike else ""
    write_json(RESULTS / f"uncertainty-{'x'.join(map(str, shape))}{ending}.json", result)


def ways(options, shape):
    """{row of the table: (network, how it draws registrations)}."""
    model = options.model
    network = from_preset(model, shape) if model in PRESETS else load_model(model).for_shape(shape)

    def perturbed(network, moving, fixed, samples, seed, **settings):
        def register(*images):
            return register_pair(network, *images).displacement

        return perturbed_displacements(register, moving, fixed, samples, seed, **settings)

    noise_alone = functools.partial(perturbed, size=0.0)
    found = {"perturbations": (network, perturbed), "noise alone": (network, noise_alone)}
    if options.probabilistic:
        network = load_model(options.probabilistic).for_shape(shape)
        found |= {"samples": (network, sampled_displacements), "perturbations, probabilistic": (network, perturbed)}
    return found


def pair(shape, seed, number, alike):
    """((moving, fixed), true displacement in voxels, voxels inside the head) of two individuals."""
    rng = np.random.default_rng((seed, number))
    drawn = {"magnitude": MAGNITUDES, "noise": NOISES}
    drawn = {name: float(np.exp(rng.uniform(*np.log(limits)))) for name, limits in drawn.items()}
    two = [phantom(shape, np.random.SeedSequence((seed, number, k)), **({} if alike else drawn)) for k in (0, 1)]
    moving, fixed = two
    truth = np.asarray(compose(moving.inverse_displacement[None], fixed.displacement[None]))[0]
    return [person.image[..., None] for person in two], truth, fixed.labels > 0


def score(name, rows, options):
    """Everything about one way to find a spread, lengths in voxels."""
    calibration = calibrate([row[:2] for row in rows["calibrate"]], name, options.samples)
    errors, spreads, seconds = zip(*rows["test"], strict=True)
    covered = [np.mean(error <= calibration.bound * spread) for error, spread in zip(errors, spreads, strict=True)]
    each = [spearmanr(spread, error).statistic for error, spread in zip(errors, spreads, strict=True)]
    error, spread = np.concatenate(errors), np.concatenate(spreads)
    return {
        "spearman": float(spearmanr(spread, error).statistic),
        "spearman_of_a_pair": {
            "median": float(np.median(each)),
            "lowest": float(min(each)),
            "highest": float(max(each)),
        },
        "bound_in_spreads": calibration.bound,
        "covered": float(np.mean(covered)),
        "covered_of_a_pair": {"lowest": float(min(covered)), "highest": float(max(covered))},
        "median_bound": float(np.median(calibration.bound * spread)),
        "median_error": float(np.median(error)),
        "percentile90_error": float(np.percentile(error, 90)),
        "seconds": float(np.median(seconds)),
    }


def table(methods):
    lines = [
        "| spread from | Spearman | of a pair, median | 90 % covers | of a pair | median bound | median error | s |",
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
