"""Coverage of a bound that few pairs calibrate, by three rules, on simulated pairs that differ in scale.

    python -m studies.few_pairs

Errors of a pair are its scale times errors of one distribution. The scales of all pairs come from one distribution too,
so pairs are exchangeable. A rule sees K pairs and names a factor; its coverage is that of further pairs. Every number
is an average over repetitions of the calibration; `tenth` is the coverage below which a tenth of the calibrations lies.
Rules: the rank among all voxels; hierarchical conformal prediction (each pair has the mass 1 / (K + 1), and so has
infinity); the factor of `vxm_tf.trust.uncertainty.pair_factor`. Writes `studies/results/few-pairs.json`.
"""

import argparse
import math
from pathlib import Path

import numpy as np

from vxm_tf.files.json_file import write_json
from vxm_tf.trust.uncertainty.pair_factor import most_coverage, pair_factor

RESULTS = Path(__file__).resolve().parent / "results"
# (pairs, coverage to promise); the last ones are at the limit of what so few pairs may promise.
PROMISES = ((6, 0.9), (16, 0.9), (16, 0.95), (2, 0.83), (4, 0.9), (16, 0.97))
VOXELS = 200
# Standard deviation of the logarithm of the scale.
DEVIATIONS = (0.0, 0.2, 0.5, 0.7)
SCALES = {
    "lognormal": lambda rng, size: rng.standard_normal(size),
    "uniform": lambda rng, size: rng.uniform(-(3**0.5), 3**0.5, size),
    "Student's t, 3 degrees": lambda rng, size: rng.standard_t(3, size) / 3**0.5,
    "skewed (exponential)": lambda rng, size: rng.exponential(1.0, size) - 1.0,
}
ERRORS = {
    "length of a normal vector": lambda rng, size: 0.5 * np.log(rng.chisquare(3, size)),
    "lognormal 1": lambda rng, size: rng.standard_normal(size),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=200, help="calibrations for each number")
    parser.add_argument("--seed", type=int, default=0, help="seed of the simulation")
    options = parser.parse_args()
    rng, rows = np.random.default_rng(options.seed), []
    for pairs, coverage in PROMISES:
        for scale in SCALES:
            for error in ERRORS:
                for deviation in DEVIATIONS:
                    setting = {"pairs": pairs, "promised": coverage, "scale": scale, "deviation": deviation}
                    found = simulated(rng, pairs, coverage, scale, deviation, error, options.repetitions)
                    rows.append({**setting, "error": error, **found})
        promised = [row for row in rows if (row["pairs"], row["promised"]) == (pairs, coverage)]
        print(line(pairs, coverage, promised), flush=True)
    write_json(RESULTS / "few-pairs.json", {"settings": vars(options) | {"voxels": VOXELS}, "rows": rows})


def simulated(rng, pairs, coverage, scale, deviation, error, repetitions):
    """{rule: {mean, tenth}} of the coverage, and how often a further pair lies in the stated interval."""

    def drawn(*size):
        return deviation * SCALES[scale](rng, (*size[:-1], 1)) + ERRORS[error](rng, size)

    further = np.sort(drawn(2000, 100), axis=-1)
    together, covered, within = np.sort(further, axis=None), {}, []
    for logs in drawn(repetitions, pairs, VOXELS):
        found = pair_factor(list(logs), coverage)
        factors = {"by voxels": rank_of_voxels(logs, coverage), "hierarchical": hierarchical(logs, coverage)}
        for rule, factor in {**factors, "by pairs": math.log(found.factor)}.items():
            covered.setdefault(rule, []).append(np.searchsorted(together, factor) / together.size)
        each = np.mean(further[:200] <= math.log(found.factor), axis=-1)
        # One voxel of a pair is 1 %.
        within.append(np.mean((each >= found.lowest - 0.01) & (each <= found.highest + 0.01)))
    scores = {rule: {"mean": np.mean(each), "tenth": np.percentile(each, 10)} for rule, each in covered.items()}
    return {**scores, "within_interval": float(np.mean(within))}


def rank_of_voxels(logs, coverage):
    """The quantile that takes the voxels of all pairs for independent."""
    return np.quantile(logs, min(1.0, math.ceil((logs.size + 1) * coverage) / logs.size))


def hierarchical(logs, coverage):
    """The quantile with mass 1 / (K + 1) for each pair and for infinity; infinite above K / (K + 1)."""
    level = coverage * (len(logs) + 1) / len(logs)
    return np.quantile(logs, level) if level <= 1.0 else math.inf


def line(pairs, coverage, rows):
    """A row of a Markdown table: for each rule the coverage with lognormal scales 0.5, and its range over settings."""
    cells = [f"{pairs}", f"{100 * coverage:g} %", f"{100 * most_coverage(pairs):.1f} %"]
    usual = [row for row in rows if row["scale"] == "lognormal" and row["deviation"] == 0.5]
    for rule in ("by voxels", "hierarchical", "by pairs"):
        means = [100 * row[rule]["mean"] for row in rows]
        tenth = 100 * np.mean([row[rule]["tenth"] for row in usual])
        mean = 100 * np.mean([row[rule]["mean"] for row in usual])
        cells.append(f"{mean:.1f} % ({min(means):.1f} to {max(means):.1f}), tenth {tenth:.0f} %")
    return f"| {' | '.join(cells)} | {100 * np.mean([row['within_interval'] for row in rows]):.0f} % |"


if __name__ == "__main__":
    main()
