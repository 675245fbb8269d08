"""Dice of pairs whose moving file was disturbed: turned, shifted, on other voxels, in another storage order.

    python benchmarks/disturbed.py --method affine
    python benchmarks/disturbed.py --method register --model FILE.keras

"Aligned" carries the undisturbed labels by the transform found for the disturbed image, with the disturbance, which a
user does not know, taken back: it shows the alignment alone, without the loss of writing labels on other voxels.
"""

import argparse
import dataclasses
import importlib.metadata
import json
import os
import tempfile
import time
from pathlib import Path

import nibabel
import numpy as np
from contest.labels import BRAIN_LABELS

from vxm_tf.metrics import dice
from vxm_tf.spatial import AffineTransform, Chain, Grid, reoriented
from vxm_tf.spatial.interpolation import interpolate
from vxm_tf.spatial.transforms import identity

ALLOWED = 0.02


@dataclasses.dataclass(frozen=True)
class Anatomy:
    """A set of scans. `spacing_mm` is the range from which the disturbed voxel sizes are drawn."""

    labels: tuple
    spacing_mm: tuple
    files: list


def anatomies(data, brains, skip):
    """The two sets; hippocampi with `skip` of the shuffled ones left out."""
    images = sorted((data / "hippocampus" / "images").glob("*.nii.gz"))
    order = np.random.default_rng(0).permutation(len(images))[skip:]
    hippocampi = [(images[k], data / "hippocampus" / "labels" / images[k].name) for k in order]
    norms = sorted((data / "brains-1mm" / brains).glob("*_norm.nii.gz"))
    heads = [(norm, norm.with_name(norm.name.replace("_norm", "_seg"))) for norm in norms]
    return {
        "hippocampus": Anatomy((1, 2), (0.8, 1.2), hippocampi),
        "brains-1mm": Anatomy(BRAIN_LABELS, (0.8, 1.5), heads),
    }


def pairs_of(anatomy, count, rng):
    """Ordered pairs of (image, labels); hippocampi of different shapes, nobody twice where there are enough."""
    files = anatomy.files
    if len(files) >= 4 * count:
        pairs = []
        while len(pairs) < count:
            moving, fixed = files[:2]
            files = files[2:]
            if nibabel.load(moving[0]).shape != nibabel.load(fixed[0]).shape:
                pairs.append((moving, fixed))
        return pairs
    ordered = [(moving, fixed) for moving in files for fixed in files if moving is not fixed]
    return [ordered[k] for k in rng.permutation(len(ordered))[:count]]


def load(path):
    """(array, grid) of a file."""
    image = nibabel.load(path)
    array = np.asanyarray(image.dataobj)
    return array, Grid(array.shape, image.affine)


def resampled(array, grid, onto, transform, interpolation):
    """`array` on another grid."""
    values = interpolate(array[..., None], grid.to_indices(transform.map(onto.points())), interpolation)
    return values[..., 0]


def other_voxels(grid, spacing_mm):
    """A grid with the same field of view and axes, and other voxel sizes."""
    ratio = np.array(spacing_mm) / grid.spacing_mm
    shape = np.maximum(np.round(np.array(grid.shape) / ratio), 1)
    step = np.eye(4)
    step[:3, :3] = np.diag(ratio)
    step[:3, 3] = (np.array(grid.shape) - 1) / 2 - ratio * (shape - 1) / 2
    return Grid(tuple(shape), grid.affine @ step)


def random_disturbance(grid, largest_degrees, largest_mm, rng):
    """(4 x 4 matrix, degrees, millimetres): a turn about a random axis through the centre, and a shift."""
    axis, direction = (vector / np.linalg.norm(vector) for vector in rng.normal(size=(2, 3)))
    degrees, shift_mm = rng.uniform(0, (largest_degrees, largest_mm))
    matrix = np.eye(4)
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(degrees)
    matrix[:3, :3] += np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    matrix[:3, 3] = grid.centre_mm - matrix[:3, :3] @ grid.centre_mm + shift_mm * direction
    return matrix, float(degrees), float(shift_mm)


def write_disturbed(moving, anatomy, args, rng, folder):
    """New files for an image and its labels; returns their paths, the disturbance `[4, 4]`, and its record."""
    image, grid = load(moving[0])
    voxels = other_voxels(grid, rng.uniform(*anatomy.spacing_mm, 3))
    orientation = "".join("RL PA IS".split()[axis][rng.integers(2)] for axis in rng.permutation(3))
    matrix, degrees, shift_mm = random_disturbance(grid, args.degrees, args.shift_mm, rng)
    paths = []
    for path, interpolation, dtype in ((moving[0], "linear", "float32"), (moving[1], "nearest", "uint8")):
        array, _ = load(path)
        values = resampled(array.astype(dtype), grid, voxels, identity(), interpolation)
        values, turned = reoriented(values, voxels, orientation)
        paths.append(folder / f"disturbed-{interpolation}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(values, matrix @ turned.affine), paths[-1])
    done = {"degrees": degrees, "shift_mm": shift_mm, "spacing_mm": voxels.spacing_mm, "orientation": orientation}
    return tuple(paths), matrix, done


def dice_of(moved_labels, fixed, anatomy):
    """Mean Dice over the anatomy's labels."""
    scores = dice(moved_labels.astype("uint8"), load(fixed[1])[0].astype("uint8"), anatomy.labels)
    return float(np.nanmean(list(scores.values())))


def by_affine(moving, fixed, anatomy, affine, args, folder):
    """(Dice, seconds, transform) of labels moved by the headers, or by `register_affine`."""
    from vxm_tf.registration.affine.estimate import register_affine

    (image, grid), (target, target_grid), (labels, _) = load(moving[0]), load(fixed[0]), load(moving[1])
    start = time.perf_counter()
    transform = register_affine(image, grid, target, target_grid, dof=args.dof) if affine else identity()
    seconds = time.perf_counter() - start
    return dice_of(resampled(labels, grid, target_grid, transform, "nearest"), fixed, anatomy), seconds, transform


def by_register(moving, fixed, anatomy, affine, args, folder):
    """(Dice, seconds, transform) of labels moved by `register_files`, `affine="register"` or the headers."""
    from vxm_tf.workflows import RegisterConfig, register_files

    moved = folder / "moved_labels.nii.gz"
    config = RegisterConfig(
        moving=str(moving[0]),
        fixed=str(fixed[0]),
        model=args.model,
        affine="register" if affine else "header",
        labels=str(moving[1]),
        moved_labels=str(moved),
    )
    start = time.perf_counter()
    result = register_files(config)
    seconds = time.perf_counter() - start
    return dice_of(load(moved)[0], fixed, anatomy), seconds, result.transform


def aligned_dice(moving, fixed, transform, matrix, anatomy):
    """Dice of the undisturbed labels under the transform of the disturbed image, the disturbance taken back."""
    (labels, grid), (_, target_grid) = load(moving[1]), load(fixed[0])
    back = Chain((transform, AffineTransform(matrix).inverse()))
    return dice_of(resampled(labels, grid, target_grid, back, "nearest"), fixed, anatomy)


MEANS = ("headers", "undisturbed", "disturbed", "aligned")
METHODS = {"affine": by_affine, "register": by_register}


def measure(name, anatomy, args):
    """One row for each pair."""
    rng = np.random.default_rng(args.seed)
    rows = []
    for number, (moving, fixed) in enumerate(pairs_of(anatomy, args.pairs, rng)):
        pair_rng = np.random.default_rng((args.seed, number))
        with tempfile.TemporaryDirectory() as folder:
            disturbed, matrix, done = write_disturbed(moving, anatomy, args, pair_rng, Path(folder))
            row = {"set": name, "moving": moving[0].name, "fixed": fixed[0].name, **done}
            for key, files, affine in (
                ("headers", moving, False),
                ("undisturbed", moving, True),
                ("disturbed", disturbed, True),
            ):
                score, seconds, transform = METHODS[args.method](files, fixed, anatomy, affine, args, Path(folder))
                row |= {key: score, f"{key}_seconds": seconds}
            row["aligned"] = aligned_dice(moving, fixed, transform, matrix, anatomy)
        row["against_headers"] = row["disturbed"] - row["headers"]
        row["against_undisturbed"] = row["disturbed"] - row["undisturbed"]
        row["aligned_against_undisturbed"] = row["aligned"] - row["undisturbed"]
        print(as_line(row), flush=True)
        rows.append(row)
    return rows


def as_line(row):
    """A row of the printed table."""
    cells = [row["set"], *(row[key].removesuffix(".nii.gz") for key in ("moving", "fixed"))]
    cells += [f"{row['degrees']:.0f}", f"{row['shift_mm']:.0f}"]
    cells += [f"{row[key]:.3f}" for key in ("headers", "undisturbed", "disturbed")]
    cells.append(f"{row['aligned']:.3f}")
    cells += [f"{row[key]:+.3f}" for key in ("against_headers", "against_undisturbed")]
    return f"| {' | '.join([*cells, format(row['disturbed_seconds'], '.1f')])} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=METHODS, default="affine")
    parser.add_argument("--model", default="none", help="with --method register: a .keras file, or none")
    parser.add_argument("--dof", type=int, default=12)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", nargs="+", default=["hippocampus", "brains-1mm"])
    parser.add_argument("--brains", default="val", help="folder of brains-1mm; train for tuning")
    parser.add_argument("--skip", type=int, default=0, help="hippocampi to leave out; 100 for tuning")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--degrees", type=float, default=20.0, help="largest turn")
    parser.add_argument("--shift_mm", type=float, default=20.0, help="largest shift")
    parser.add_argument("--output", type=Path, help="benchmarks/results/disturbed-<method>.json")
    args = parser.parse_args()
    print("| set | moving | fixed | degrees | mm | headers | affine | disturbed | aligned | - headers | - affine | s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    sets = anatomies(args.data, args.brains, args.skip)
    rows = [row for name in args.sets for row in measure(name, sets[name], args)]
    within = {
        key: sum(row[key] >= -ALLOWED for row in rows)
        for key in ("against_headers", "against_undisturbed", "aligned_against_undisturbed")
    }
    means = {
        name: {key: float(np.mean([row[key] for row in rows if row["set"] == name])) for key in MEANS}
        for name in args.sets
    }
    print(f"Of {len(rows)} disturbed pairs so many lose at most {ALLOWED} of Dice: {within}. Means: {means}")
    record = {
        "settings": {key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items()},
        "versions": {name: importlib.metadata.version(name) for name in ("simpleitk", "numpy", "scipy", "nibabel")},
        "cores": os.cpu_count(),
        "within": within,
        "means": means,
        "pairs": rows,
    }
    output = args.output or Path(__file__).parent / "results" / f"disturbed-{args.method}.json"
    output.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
