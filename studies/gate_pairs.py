"""Registered pairs for `studies.gate`: made once, kept in a folder, and loaded from there.

    python -m studies.gate_pairs --set val --method shipped --cache DIR --kinds

Brains at 2 mm are registered on their own grid; `--kinds` also registers them with the moving image spoiled, see
`studies.spoiled`. Hippocampi, heads and the lungs are registered through `vxm_tf.register`, which searches for the
affine part of heads and lungs.
"""

import argparse
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import vxm_tf  # before tensorflow, for oneDNN
from studies import spoiled
from studies.wrong_displacements import Answer
from vxm_tf.data import normalize
from vxm_tf.models.saved import input_settings, load_model
from vxm_tf.registration.optimization.config import RefineConfig
from vxm_tf.registration.optimization.refine import refine, starting_velocity

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SEED = 0
CLEAN = "clean"
STEPS = 75
BRAINS = ("train", "val")
HEADS = ("MNI152_T1_2mm", "colin27_head", "T1_head_ext2")
METHODS = ("shipped", "refine", "none")


def path_of(cache: Path, which: str, method: str, moving: str, fixed: str, kind: str) -> Path:
    name = "__".join((which, method, moving, fixed, kind.replace(" ", "-")))
    return cache / f"{name}.npz"


def kept(cache: Path, which: str, method: str) -> Iterator[tuple[str, str, str, Answer]]:
    """Yield (moving, fixed, kind, answer) for every pair in the folder."""
    for path in sorted(cache.glob(f"{which}__{method}__*.npz")):
        moving, fixed, kind = path.stem.split("__")[2:]
        with np.load(path) as data:
            arrays = [data[name].astype("float32") for name in ("moving", "fixed", "displacement")]
            yield moving, fixed, kind.replace("-", " "), Answer(*arrays, data["linear"].astype("float64"))


def keep(path: Path, answer: Answer) -> None:
    half = {name: getattr(answer, name).astype("float16") for name in ("moving", "fixed", "displacement")}
    np.savez(path, **half, linear=answer.linear)


def brain_pairs(which: str, count: int) -> list[tuple[str, str]]:
    names = [path.stem for path in sorted((DATA / "brains-2mm" / which).glob("*.npz"))]
    pairs = list(itertools.permutations(names, 2))
    return [pairs[k] for k in np.random.default_rng(SEED).permutation(len(pairs))[: count or None]]


def register_brains(options: argparse.Namespace) -> None:
    network = load_model("shipped")
    normalization = input_settings(network)["normalization"]
    every = {CLEAN: None, **spoiled.MISPLACED, **spoiled.KINDS}
    kinds = {kind: every[kind] for kind in options.kinds or every}
    pairs = enumerate(brain_pairs(options.set, options.pairs))
    for kind, (number, (moving, fixed)) in itertools.product(kinds, pairs):
        spoil = kinds[kind]
        scans = [_scan(options.set, name) for name in (moving, fixed)]
        path = path_of(options.cache, options.set, options.method, moving, fixed, kind)
        if path.is_file():
            continue
        image = spoil(scans[0], np.random.default_rng((SEED, number)), number) if spoil else scans[0].image
        images = [normalize(array[..., None], normalization) for array in (image, scans[1].image)]
        start = time.perf_counter()
        keep(path, Answer(*images, _displacement(network, options.method, *images), 2.0 * np.eye(3)))
        print(f"{path.stem}: {time.perf_counter() - start:.1f} s", flush=True)


def _scan(which: str, name: str) -> spoiled.Scan:
    with np.load(DATA / "brains-2mm" / which / f"{name}.npz") as data:
        return spoiled.Scan(data["vol"].astype("float32"), data["seg"], DATA / "hippocampus" / "images")


def _displacement(network, method: str, moving: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    if method == "shipped":
        model = network.for_shape(moving.shape[:-1]).with_outputs("displacement")
        return np.asarray(model.predict_on_batch({"moving": moving[None], "fixed": fixed[None]})["displacement"][0])
    velocity = None if method == "none" else starting_velocity(network, moving, fixed)
    return refine(moving, fixed, velocity, RefineConfig(steps=STEPS)).displacement


def register_scans(options: argparse.Namespace) -> None:
    """Register files of other organs by `vxm_tf.register`."""
    for moving, fixed, settings in _scan_pairs(options):
        names = [Path(path).name.removesuffix(".nii.gz") for path in (moving, fixed)]
        path = path_of(options.cache, options.set, options.method, *names, CLEAN)
        if path.is_file():
            continue
        model = "none" if options.method == "none" else "shipped"
        result = vxm_tf.register(str(moving), str(fixed), model, **settings)
        linear = result.working_grid.affine[:-1, :-1]
        keep(path, Answer(*result.working_images, result.working_displacement, linear))
        print(path.stem, result.working_grid.shape, dict(result.seconds), flush=True)


def _scan_pairs(options: argparse.Namespace) -> Iterator[tuple[Path, Path, dict]]:
    if options.set == "heads":
        for pair in itertools.permutations(HEADS, 2):
            yield *[DATA / "heads" / f"{name}.nii.gz" for name in pair], {"affine": "register"}
    elif options.set == "lung":
        masks = {f"{name}_mask": str(DATA / "lung-ct" / f"{name}_mask.nii.gz") for name in ("moving", "fixed")}
        yield *[DATA / "lung-ct" / f"{name}.nii.gz" for name in ("moving", "fixed")], {"affine": "register", **masks}
    else:
        # The second hundred is kept for checks.
        paths = sorted((DATA / "hippocampus" / "images").glob("*.nii.gz"))
        paths = paths[:100] if options.set == "hippocampus-train" else paths[100:]
        rng = np.random.default_rng(SEED)
        for _ in range(options.pairs):
            yield *[paths[k] for k in rng.choice(100, 2, replace=False)], {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sets = (*BRAINS, "hippocampus-train", "hippocampus", "heads", "lung")
    parser.add_argument("--set", choices=sets, default="val", help="pairs to register")
    parser.add_argument("--method", choices=METHODS, default="shipped", help="shipped network, refined, or no network")
    parser.add_argument("--pairs", type=int, default=20, help="number of pairs, drawn at random; 0 for all brains")
    parser.add_argument("--kinds", nargs="*", default=[CLEAN], help="ways to spoil brains; none named for all")
    parser.add_argument("--cache", type=Path, required=True, help="folder for the registered pairs")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    register_brains(options) if options.set in BRAINS else register_scans(options)


if __name__ == "__main__":
    main()
