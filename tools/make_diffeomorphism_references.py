"""Save the answers of the authors' package digital-diffeomorphism for many displacements, as references for the tests.

The package is under the GPL and wants older libraries than ours, so it runs in an environment of its own::

    python3 -m venv digital
    digital/bin/pip install digital-diffeomorphism==1.1.1
    digital/bin/python tools/make_diffeomorphism_references.py tests/trust/folds/files/digital_diffeomorphism.npz

For each displacement of `displacements`, in their order, it leaves the non-diffeomorphic volume in voxels (`volume`),
and for each determinant in `NAMES` its smallest value over the voxels (`smallest`) and the number of voxels at which it
is 0 or less (`failing`). In 2-D the first five are those in `NAMES_2D`, and the rest is 0.
"""

import argparse
import itertools

import numpy as np

NAMES = ("000", "+++", "++-", "+-+", "+--", "-++", "-+-", "--+", "---", "1*", "2*")
NAMES_2D = ("00", "++", "+-", "-+", "--")
NUM_RANDOM = 1000
SHAPES = ((6, 7, 8), (15, 8), (5, 9, 6), (9, 12))


def displacements():
    """Displacements `[*spatial, ndim]`, float32: random ones, then folds that central differences overlook."""
    # RandomState, since NumPy promises its stream for ever.
    for number in range(NUM_RANDOM):
        yield random_displacement(np.random.RandomState(number), SHAPES[number % len(SHAPES)])
    yield from jumps()
    yield from checkerboards()
    yield from inverted_middles()


def random_displacement(random, shape):
    """Displacement of noise on a linear map; about half of them fold."""
    ndim = len(shape)
    noise = 10 ** random.uniform(-1.5, 0.3) * random.normal(size=(*shape, ndim))
    linear = 0.15 * random.normal(size=(ndim, ndim))
    index = np.moveaxis(np.indices(shape), 0, -1)
    return (noise + (index[..., None, :] * linear).sum(-1)).astype("float32")


def jumps():
    """Displacements where one voxel jumps over its neighbour: within the image, at a face, at a corner."""
    for shape in SHAPES[:2]:
        for place in itertools.product((0, 2, -1), repeat=len(shape)):
            for axis in range(len(shape)):
                field = np.zeros((*shape, len(shape)), "float32")
                # At the first voxel only a jump forwards meets another one.
                field[(*place, axis)] = -1.5 if place[axis] == -1 else 1.5
                yield field


def checkerboards():
    """Displacements where every other voxel moves to and fro, but none at the border."""
    for shape in SHAPES:
        parity = np.indices(shape).sum(0) % 2
        for axis in range(len(shape)):
            field = np.zeros((*shape, len(shape)), "float32")
            field[(*[slice(1, -1)] * len(shape), axis)] = 1.6 * parity[(slice(1, -1),) * len(shape)] - 0.8
            yield field


def inverted_middles():
    """Displacements that turn the tetrahedron in the middle of one cube inside out, but no simplex at a corner.

    Its two opposite edges, on faces of the cube, pass through each other, by less than reaches the other faces.
    """
    for axis, parity, size in itertools.product(range(3), range(2), (0.55, 0.7, 0.9)):
        field = np.zeros((*SHAPES[0], 3), "float32")
        for corner in itertools.product(range(2), repeat=3):
            if sum(corner) % 2 == parity:
                field[(*np.add(corner, 2), axis)] = size * (1 - 2 * corner[axis])
        yield field


def answers(field):
    """(volume, smallest, failing) as the package computes them."""
    import torch
    from digital_diffeomorphism import nda, ndv
    from digital_diffeomorphism.jacobian_calculator_torch import calc_jacdets_2d, calc_jacdets_3d

    ndim = field.shape[-1]
    measure, determinants = {2: (nda, calc_jacdets_2d), 3: (ndv, calc_jacdets_3d)}[ndim]
    volume = measure(field.astype("float64"), is_disp=True)[0]
    index = np.moveaxis(np.indices(field.shape[:-1]), 0, -1)
    found = determinants(field.astype("float64") + index, torch.device("cpu"))
    values = [found[name.replace("1*", "j1*").replace("2*", "j2*")] for name in (NAMES if ndim == 3 else NAMES_2D)]
    empty = [0] * (len(NAMES) - len(values))
    return volume, [v.min() for v in values] + empty, [(v <= 0).sum() for v in values] + empty


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output")
    volume, smallest, failing = zip(*map(answers, displacements()))
    np.savez_compressed(
        parser.parse_args().output,
        volume=np.array(volume, "float64"),
        smallest=np.array(smallest, "float32"),
        failing=np.array(failing, "int16"),
    )


if __name__ == "__main__":
    main()
