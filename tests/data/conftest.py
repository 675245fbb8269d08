"""Files to read: small volumes with known content."""

import nibabel
import numpy as np
import pytest

# Turned, flipped and anisotropic, so that a lost or transposed affine shows.
AFFINE = np.array([[0.0, 0.0, 1.5, -20.0], [-2.0, 0.0, 0.0, 30.0], [0.0, -1.25, 0.0, 7.0], [0.0, 0.0, 0.0, 1.0]])


@pytest.fixture
def affine():
    return AFFINE.copy()


@pytest.fixture
def write_nibabel(tmp_path):
    """write_nibabel(name, array) -> path of a file with that array and `AFFINE`."""

    def write(name, array):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = nibabel.MGHImage if path.suffix in (".mgz", ".mgh") else nibabel.Nifti1Image
        nibabel.save(kind(array, AFFINE), path)
        return path

    return write


@pytest.fixture
def write_npz(tmp_path, rng):
    """write_npz(name, shape, **arrays) -> path of an NPZ with a random `vol` and whatever else is given."""

    def write(name, shape=(9, 10, 11), **arrays):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **{"vol": rng.random(shape, dtype="float32"), **arrays})
        return path

    return write
