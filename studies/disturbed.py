"""Dice of pairs whose moving file was disturbed: turned, shifted, on other voxels, in another storage order.

    python -m studies.disturbed --method affine
    python -m studies.disturbed --method register --model FILE.keras

The column "aligned" carries the undisturbed labels by the transform of the disturbed image, after the disturbance,
which a user does not know, is undone: it shows the alignment alone, without the loss from writing labels on other
voxels. Writes `studies/results/disturbed-<method>.json` and the page `benchmarks/results/README.md`.
"""

import argparse
import dataclasses
import importlib.metadata
import os
import tempfile
import time
from pathlib import Path

import nibabel
import numpy as np

from benchmarks.contest.labels import BRAIN_LABELS
from benchmarks.results_page import write_page
from vxm_tf.files.json_file import write_json
from vxm_tf.metrics import dice
from vxm_tf.spatial import AffineTransform, Chain, Grid, reoriented
from vxm_tf.spatial.interpolation import interpolate
from vxm_tf.spatial.transforms import identity

ALLOWED = 0.02


@dataclasses.dataclass(frozen=True)
class Anatomy:
    """A set of scans.

    Attributes:
        labels: ids of the structures that are scored.
        spacing_mm: range from which the disturbed voxel sizes are drawn.
        files: (image, labels) of each scan.
    """

    labels: tuple
    spacing_mm: tuple
    files: list


def anatomies(data, brains, skip):
    """Both sets of scans; the first `skip` of the shuffled hippocampi are left out."""
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
    """Ordered pairs of (image, labels); of many scans, pairs of unlike shape that share no scan."""
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
    """Read a file; returns (array, grid)."""
    image = nibabel.load(path)
    array = np.asanyarray(image.dataobj)
    return array, Grid(array.shape, image.affine)


def resampled(array, grid, onto, transform, interpolation):
    """An array on another grid, after a transform."""
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
    return disturbance(grid, axis, degrees, shift_mm * direction), float(degrees), float(shift_mm)


def disturbance(grid, axis, degrees, shift_mm):
    """A turn about an axis `[3]` of unit length through the grid's centre, then a shift `[3]`; a matrix `[4, 4]`."""
    matrix = np.eye(4)
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(degrees)
    matrix[:3, :3] += np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    matrix[:3, 3] = grid.centre_mm - matrix[:3, :3] @ grid.centre_mm + shift_mm
    return matrix


def write_disturbed(moving, anatomy, args, rng, folder):
    """Write an image and its labels disturbed; returns their paths, the disturbance `[4, 4]` and its record."""
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
    record = {"degrees": degrees, "shift_mm": shift_mm, "spacing_mm": voxels.spacing_mm, "orientation": orientation}
    return tuple(paths), matrix, record


def dice_of(moved_labels, fixed, anatomy):
    """Mean Dice over the anatomy's labels."""
    scores = dice(moved_labels.astype("uint8"), load(fixed[1])[0].astype("uint8"), anatomy.labels)
    return float(np.nanmean(list(scores.values())))


def by_affine(moving, fixed, anatomy, affine, args, folder):
    """Move labels by the headers, or by `register_affine`; returns (Dice, seconds, transform)."""
    from vxm_tf.registration.affine.estimate import register_affine

    (image, grid), (target, target_grid), (labels, _) = load(moving[0]), load(fixed[0]), load(moving[1])
    start = time.perf_counter()
    transform = register_affine(image, grid, target, target_grid, dof=args.dof) if affine else identity()
    seconds = time.perf_counter() - start
    return dice_of(resampled(labels, grid, target_grid, transform, "nearest"), fixed, anatomy), seconds, transform


def by_register(moving, fixed, anatomy, affine, args, folder):
    """Move labels by `register_files`, with an affine search or without; returns (Dice, seconds, transform)."""
    from vxm_tf.workflows import register_files
    from vxm_tf.workflows.register_config import files_and_settings

    moved = folder / "moved_labels.nii.gz"
    config, settings = files_and_settings(
        moving=str(moving[0]),
        fixed=str(fixed[0]),
        model=args.model,
        affine="register" if affine else "header",
        labels=str(moving[1]),
        moved_labels=str(moved),
    )
    start = time.perf_counter()
    result = register_files(config, settings)
    seconds = time.perf_counter() - start
    return dice_of(load(moved)[0], fixed, anatomy), seconds, result.transform


def aligned_dice(moving, fixed, transform, matrix, anatomy):
    """Dice of the undisturbed labels under the transform of the disturbed image, after the disturbance is undone."""
    (labels, grid), (_, target_grid) = load(moving[1]), load(fixed[0])
    back = Chain((transform, AffineTransform(matrix).inverse()))
    return dice_of(resampled(labels, grid, target_grid, back, "nearest"), fixed, anatomy)


MEANS = ("headers", "undisturbed", "disturbed", "aligned")
METHODS = {"affine": by_affine, "register": by_register}


def measure(name, anatomy, args):
    """Register the pairs of a set; returns one row for each."""
    rng = np.random.default_rng(args.seed)
    rows = []
    for number, (moving, fixed) in enumerate(pairs_of(anatomy, args.pairs, rng)):
        pair_rng = np.random.default_rng((args.seed, number))
        with tempfile.TemporaryDirectory() as folder:
            disturbed, matrix, record = write_disturbed(moving, anatomy, args, pair_rng, Path(folder))
            row = {"set": name, "moving": moving[0].name, "fixed": fixed[0].name, **record}
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
    """A row as a line of the printed table."""
    cells = [row["set"], *(row[key].removesuffix(".nii.gz") for key in ("moving", "fixed"))]
    cells += [f"{row['degrees']:.0f}", f"{row['shift_mm']:.0f}"]
    cells += [f"{row[key]:.3f}" for key in ("headers", "undisturbed", "disturbed")]
    cells.append(f"{row['aligned']:.3f}")
    cells += [f"{row[key]:+.3f}" for key in ("against_headers", "against_undisturbed")]
    return f"| {' | '.join([*cells, format(row['disturbed_seconds'], '.1f')])} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--method", choices=METHODS, default="affine", help="affine search alone, or all of register.py"
    )
    parser.add_argument("--model", default="none", help="with --method register: a .keras file, shipped, or none")
    parser.add_argument("--dof", type=int, default=12, help="degrees of freedom of --method affine")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with both sets")
    parser.add_argument("--sets", nargs="+", default=["hippocampus", "brains-1mm"], help="sets of scans")
    parser.add_argument("--brains", default="val", help="folder of brains-1mm; train for choosing settings")
    parser.add_argument(
        "--skip", type=int, default=0, help="number of hippocampi to leave out; 100 for choosing settings"
    )
    parser.add_argument("--pairs", type=int, default=10, help="pairs of each set")
    parser.add_argument("--seed", type=int, default=0, help="seed of pairs and disturbances")
    parser.add_argument("--degrees", type=float, default=20.0, help="largest angle of the turns")
    parser.add_argument("--shift_mm", type=float, default=20.0, help="largest length of the shifts")
    parser.add_argument("--output", type=Path, help="result file; studies/results/disturbed-<method>.json by default")
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
    print(f"Disturbed pairs of {len(rows)} that lose at most {ALLOWED} of Dice: {within}. Means: {means}")
    record = {
        "settings": {key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items()},
        "versions": {name: importlib.metadata.version(name) for name in ("simpleitk", "numpy", "scipy", "nibabel")},
        "cores": os.cpu_count(),
        "within": within,
        "means": means,
        "pairs": rows,
    }
    output = args.output or Path(__file__).parent / "results" / f"disturbed-{args.method}.json"
    write_json(output, record)
    write_page()


if __name__ == "__main__":
    main()
