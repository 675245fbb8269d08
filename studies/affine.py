"""The affine search alone: landmarks of a lung, Dice of hippocampi and brains, and known disturbances of heads.

    python -m studies.affine --label after
    PYTHONPATH=OLD_CHECKOUT:. python -m studies.affine --label before

Each row holds one pair. "error" is in millimetres: at the 26 landmarks of the lung, which are used for nothing else;
for heads, how far the transform of a disturbed image, after the disturbance is undone, lies from the transform of the
undisturbed image, as the median over the fixed head. Other rows hold Dice of labels that the affine transform alone
carries, and the Dice that the headers alone give. Writes `studies/results/affine.json`, replacing the label's rows.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from benchmarks.contest.labels import BRAIN_LABELS
from studies.disturbed import disturbance, load, resampled
from vxm_tf.files.json_file import write_json
from vxm_tf.metrics import dice
from vxm_tf.registration.affine.estimate import register_affine
from vxm_tf.spatial import AffineTransform, Chain, Grid
from vxm_tf.spatial.transforms import identity

RESULT = Path(__file__).parent / "results" / "affine.json"
# Least Dice of two hippocampi as they lie for their headers to count as right.
RIGHT_HEADERS = 0.6
HEADS = (
    ("T1_head_ext2", "MNI152_T1_2mm"),
    ("T1_head_ext2", "colin27_head"),
    ("T2w", "colin27_head"),
    ("T2w", "T1_head_ext2"),
    ("fmri", "colin27_head"),
    ("fmri", "T2w"),
)


def search(moving, fixed, masks=(None, None)):
    """Register (array, grid) pairs; returns (transform, seconds of the processor)."""
    start = time.process_time()
    transform = register_affine(*moving, *fixed, moving_mask=masks[0], fixed_mask=masks[1])
    return transform, time.process_time() - start


def lung(data):
    """Rows of the lung pair, with and without masks."""
    folder = data / "lung-ct"
    landmarks = [
        np.loadtxt(folder / f"{side}_landmarks_lps.csv", delimiter=",", skiprows=1) * [-1, -1, 1]
        for side in ("moving", "fixed")
    ]
    rows = []

    def add(case, transform, seconds=0.0):
        error = np.linalg.norm(transform.map(landmarks[1]) - landmarks[0], axis=-1).mean()
        rows.append({"set": "lung-ct", "case": case, "error": float(error), "seconds": seconds})

    add("header alone", identity())
    system = np.c_[landmarks[1], np.ones(len(landmarks[1]))]
    add(
        "affine fitted to the landmarks",
        AffineTransform(np.vstack([np.linalg.lstsq(system, landmarks[0])[0].T, [0, 0, 0, 1]])),
    )
    moving, fixed, *masks = (
        load(folder / f"{name}.nii.gz") for name in ("moving", "fixed", "moving_mask", "fixed_mask")
    )
    add("masks", *search(moving, fixed, [mask > 0 for mask, _ in masks]))
    add("no masks", *search(moving, fixed))
    return rows


def dice_of(transform, labels, target, ids):
    """Mean Dice of labels moved onto the target's grid; both are (array, grid)."""
    moved = resampled(*labels, target[1], transform, "nearest").astype("uint8")
    return float(np.nanmean(list(dice(moved, target[0].astype("uint8"), ids).values())))


def hippocampi(data, count, skip=0):
    """Rows of ordered pairs of hippocampi whose headers are right, of a hundred scans that follow the first `skip`."""
    images = sorted((data / "hippocampus" / "images").glob("*.nii.gz"))
    order, rng = np.random.default_rng(0).permutation(len(images))[skip : skip + 100], np.random.default_rng(0)
    rows = []
    while len(rows) < count:
        paths = [images[k] for k in rng.choice(order, 2, replace=False)]
        labels = [load(data / "hippocampus" / "labels" / path.name) for path in paths]
        header = dice_of(identity(), *labels, (1, 2))
        if header >= RIGHT_HEADERS:
            transform, seconds = search(*map(load, paths))
            row = {"set": "hippocampus", "case": " to ".join(path.name.split(".")[0][-3:] for path in paths)}
            rows.append(row | {"header": header, "dice": dice_of(transform, *labels, (1, 2)), "seconds": seconds})
    return rows


def slab(image, start, stop):
    """A part of (array, grid) along the last axis."""
    step = np.eye(4)
    step[2, 3] = start
    array = image[0][..., start:stop]
    return array, Grid(array.shape, image[1].affine @ step)


def thick(image, factor):
    """Slices of (array, grid) averaged by a whole number of them, along the second axis."""
    array, grid = image
    size = array.shape[1] // factor * factor
    step = np.diag([1, factor, 1, 1.0])
    step[1, 3] = (factor - 1) / 2
    array = array[:, :size].reshape(array.shape[0], -1, factor, array.shape[2]).mean(axis=2)
    return array, Grid(array.shape, grid.affine @ step)


def brain_of(path):
    """(image, labels) of an NPZ file, each with its grid."""
    with np.load(path) as file:
        grid = Grid(file["vol"].shape, np.diag([2.0, 2.0, 2.0, 1.0]))
        return (file["vol"].astype("float32"), grid), (file["seg"], grid)


BRAIN_CASES = {
    "as they lie": (0, 0, None),
    "20 degrees, 20 mm": (20, 20, None),
    "40 degrees, 60 mm": (40, 60, None),
    "90 degrees": (90, 0, None),
    "150 degrees": (150, 0, None),
    "slices of 8 mm, 15 degrees": (15, 10, lambda image: thick(image, 4)),
    "half of the slices, 10 degrees": (10, 10, lambda image: slab(image, 0, image[0].shape[2] // 2)),
}


def brains(data, count, folder="val"):
    """Rows of brains at 2 mm, disturbed in several ways; turns are about a random axis."""
    files = sorted((data / "brains-2mm" / folder).glob("*.npz"))
    ordered = [(moving, fixed) for moving in files for fixed in files if moving is not fixed]
    rng = np.random.default_rng(0)
    rows = []
    for number, index in enumerate(rng.permutation(len(ordered))[:count]):
        (image, labels), (target, target_labels) = map(brain_of, ordered[index])
        header = dice_of(identity(), labels, target_labels, BRAIN_LABELS)
        for case, (degrees, shift_mm, damage) in BRAIN_CASES.items():
            matrix = turned(image[1], degrees, shift_mm, (number, degrees))
            array, grid = damage(image) if damage else image
            transform, seconds = search((array, Grid(grid.shape, matrix @ grid.affine)), target)
            back = Chain((transform, AffineTransform(matrix).inverse()))
            score = dice_of(back, labels, target_labels, BRAIN_LABELS)
            rows.append({"set": "brains-2mm", "case": case, "header": header, "dice": score, "seconds": seconds})
    return rows


def turned(grid, degrees, shift_mm, seed):
    """A turn by an angle about a random axis through the grid's centre, and a shift by a length, `[4, 4]`."""
    axis, direction = (v / np.linalg.norm(v) for v in np.random.default_rng(seed).normal(size=(2, 3)))
    return disturbance(grid, axis, degrees, shift_mm * direction)


def heads(data):
    """Rows of whole heads: distance between the transforms of an image as it lies and disturbed."""
    rows = []
    for number, names in enumerate(HEADS):
        moving, fixed = (load(data / "heads" / f"{name}.nii.gz") for name in names)
        moving, fixed = [(array[..., 0] if array.ndim == 4 else array, grid) for array, grid in (moving, fixed)]
        first, seconds = search(moving, fixed)
        matrix = turned(moving[1], 30, 40, number)
        second, _ = search((moving[0], Grid(moving[1].shape, matrix @ moving[1].affine)), fixed)
        back = Chain((second, AffineTransform(matrix).inverse()))
        points = fixed[1].points()[fixed[0] > np.percentile(fixed[0], 60)][::50]
        error = float(np.median(np.linalg.norm(back.map(points) - first.map(points), axis=-1)))
        rows.append({"set": "heads", "case": " to ".join(names), "error": error, "seconds": seconds})
        rows[-1]["volume"] = float(np.linalg.det(first.matrix[:3, :3]))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--label", default="after", help="name of the code that is measured")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with the data sets")
    parser.add_argument("--sets", nargs="+", default=["lung", "hippocampi", "brains", "heads"], help="sets to measure")
    parser.add_argument("--pairs", type=int, default=24, help="pairs of hippocampi")
    parser.add_argument("--skip", type=int, default=0, help="100 for the hippocampi that choose settings")
    parser.add_argument("--brains", default="val", help="folder of brains-2mm; train for choosing settings")
    parser.add_argument("--brain_pairs", type=int, default=3, help="pairs of brains")
    parser.add_argument("--output", type=Path, default=RESULT, help="result file")
    args = parser.parse_args()
    measures = {
        "lung": lambda: lung(args.data),
        "hippocampi": lambda: hippocampi(args.data, args.pairs, args.skip),
        "brains": lambda: brains(args.data, args.brain_pairs, args.brains),
        "heads": lambda: heads(args.data),
    }
    for name in args.sets:
        rows = [row | {"code": args.label} for row in measures[name]()]
        for row in rows:
            print(
                ", ".join(
                    f"{key} {value:.3f}" if isinstance(value, float) else str(value) for key, value in row.items()
                )
            )
        old = json.loads(args.output.read_text())["rows"] if args.output.is_file() else []
        replaced = {(row["set"], args.label) for row in rows}
        write_json(args.output, {"rows": [row for row in old if (row["set"], row["code"]) not in replaced] + rows})


if __name__ == "__main__":
    main()
