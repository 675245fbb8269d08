"""Register one brain stored in all 48 orders and directions of axes: are the answers the same?

    python -m studies.orientations --data_dir ../shared/data --model none

Each of the 48 files is registered as the moving image to another brain, and as the fixed image with that brain moving.
All answers are compared with those for the first file: landmarks through the transform and through its inverse, in
millimetres, and the moved image, as a fraction of its intensity range. Writes
`studies/results/orientations-<name>.json` and the page `benchmarks/results/README.md`.
"""

import argparse
import json
import os
import platform
import time
from pathlib import Path

import numpy as np

from benchmarks.results_page import write_page
from vxm_tf.files.json_file import write_json
from vxm_tf.models import load_model
from vxm_tf.registration import RegistrationSettings, register_images
from vxm_tf.spatial import read_spatial_image, reoriented

HERE = Path(__file__).resolve().parent


def landmarks(image, count=200, seed=0):
    """Random points inside the brain, in world millimetres."""
    inside = np.argwhere(image.array[..., 0] > 0.3 * image.array.max())
    return image.grid.to_world(np.random.default_rng(seed).choice(inside, count))


def answers(moving, fixed, network, settings, points):
    """Register a pair; returns landmarks there and back, and the moved image in one order of axes."""
    result = register_images(moving, fixed, network, settings)
    moved = reoriented(result.moved, result.fixed.grid, "RAS")[0]
    answer = {"there": result.transform.map(points[1]), "moved": moved}
    # The inverse lies on the moving image's grid: quick for the small files, half a minute for a brain at 1 mm.
    return answer if np.prod(moving.grid.shape) > 1e6 else {**answer, "back": result.points(points[0])}


def compare(first, other):
    """Largest differences between two answers."""
    differences = {
        "moved_fraction_of_range": float(np.abs(other["moved"] - first["moved"]).max() / np.ptp(first["moved"]))
    }
    for name, key in (("landmarks_mm", "there"), ("inverse_landmarks_mm", "back")):
        if key in first:
            differences[name] = float(np.linalg.norm(other[key] - first[key], axis=1).max())
    return differences


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", required=True, type=Path, help="folder with brains-1mm and orientations-48")
    parser.add_argument("--model", default="none", help="shipped, a .keras file, or none")
    parser.add_argument("--affine", default="header", help="as in register.py")
    parser.add_argument("--refine", type=int, default=-1, help="as in register.py")
    parser.add_argument("--step", type=int, default=1, help="1 for every file, 3 for every third")
    parser.add_argument("--name", default="", help="name of the result; none or network by default")
    options = parser.parse_args()
    network = None if options.model == "none" else load_model(options.model)
    settings = RegistrationSettings(affine=options.affine, refine=options.refine)
    other = read_spatial_image(options.data_dir / "brains-1mm" / "val" / "oasis_1003_norm.nii.gz")
    files = sorted((options.data_dir / "orientations-48").glob("*.nii.gz"))[:: options.step]
    first_image = read_spatial_image(files[0])
    points = {"moving": (landmarks(first_image), landmarks(other)), "fixed": (landmarks(other), landmarks(first_image))}
    first, worst, start = {}, {}, time.perf_counter()
    for number, file in enumerate(files, 1):
        image = read_spatial_image(file)
        for role, pair in (("moving", (image, other)), ("fixed", (other, image))):
            answer = answers(*pair, network, settings, points[role])
            first.setdefault(role, answer)
            differences = compare(first[role], answer)
            worst[role] = {k: max(v, worst.get(role, {}).get(k, 0.0)) for k, v in differences.items()}
        print(f"{number} of {len(files)}, {file.name[:3]}, worst so far: {worst}", flush=True)
    moved = {role: float(np.linalg.norm(first[role]["there"] - points[role][1], axis=1).mean()) for role in first}
    name = options.name or ("none" if network is None else "network")
    result = {
        "files": len(files),
        "model": options.model,
        "affine": options.affine,
        "refine": options.refine,
        "worst_difference_from_the_first": worst,
        "mean_landmark_displacement_mm": moved,
        "seconds": round(time.perf_counter() - start, 1),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    write_json(HERE / "results" / f"orientations-{name}.json", result)
    write_page()
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
