"""The served inverse undoes the displacement: one after the other leaves every voxel in its place."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from vxm_tf import ops
from vxm_tf.data.synthetic.phantoms import phantom
from vxm_tf.models import VxmPyramid
from vxm_tf.serving.graph.graph_inversion import TOLERANCE, solved_inverse
from vxm_tf.serving.signatures import signatures

SHAPE = (32, 36, 28)


def residual(displacement, inverse):
    """Voxels between y and the place to which inverse and displacement take it, by SciPy."""
    places = np.stack(np.meshgrid(*map(np.arange, inverse.shape[:-1]), indexing="ij")) + np.moveaxis(inverse, -1, 0)
    there = [ndimage.map_coordinates(u, places, order=1, mode="nearest") for u in np.moveaxis(displacement, -1, 0)]
    return np.linalg.norm(inverse + np.stack(there, -1), axis=-1)


def fields(rng, size):
    """(exp(v), exp(-v)) of a smooth velocity on a grid of half the resolution, in voxels, up to `size` of them."""
    coarse = [size // 2 for size in SHAPE]
    noise = np.stack([ndimage.gaussian_filter(rng.normal(size=coarse), 2.0) for _ in SHAPE], axis=-1)
    velocity = (size / 2 * noise / np.abs(noise).max())[None].astype("float32")
    return [np.asarray(ops.resize(ops.integrate(v, 7), SHAPE)) for v in (velocity, -velocity)]


def test_a_smooth_field_is_undone(rng):
    displacement, antisymmetric = fields(rng, 5.0)
    inverse = solved_inverse(tf.constant(displacement), tf.constant(antisymmetric)).numpy()
    before, after = residual(displacement[0], antisymmetric[0]), residual(displacement[0], inverse[0])
    assert before.mean() > 0.02
    assert after.mean() < 0.01 and after.max() < 2 * TOLERANCE


def test_the_start_decides_the_speed_and_not_the_answer(rng):
    displacement, antisymmetric = map(tf.constant, fields(rng, 3.0))
    solved = [solved_inverse(displacement, start) for start in (antisymmetric, tf.zeros_like(displacement))]
    assert np.abs(solved[0] - solved[1]).max() < 3 * TOLERANCE


def test_where_a_field_folds_no_voxel_gets_worse(rng):
    displacement = rng.normal(0, 3, (1, *SHAPE, 3)).astype("float32")
    inverse = solved_inverse(tf.constant(displacement), tf.constant(-displacement)).numpy()
    before, after = residual(displacement[0], -displacement[0]), residual(displacement[0], inverse[0])
    assert np.all(after <= before + 1e-3) and after.mean() < 0.5 * before.mean()


@pytest.fixture(scope="module")
def pair():
    """A phantom, and another one; intensities in [0, 1]."""
    images = [phantom((48, 48), seed).image for seed in (1, 2)]
    return [np.asarray(image, "float32").reshape(1, 48, 48, 1) for image in images]


def test_the_signature_of_a_network_leaves_less_than_a_twentieth_of_a_voxel(pair):
    keras.utils.set_random_seed(0)
    network = VxmPyramid((None, None), features=(4, 4, 4), iterations=(0, 4, 4))
    moving, fixed = map(tf.constant, pair)
    functions = signatures(network)
    displacement = functions["displacement_only"](moving, fixed)["displacement"].numpy()[0]
    answer = functions["inverse"](moving, fixed)
    own = network.with_outputs("inverse_displacement")({"moving": moving, "fixed": fixed})["inverse_displacement"]
    before = residual(displacement, np.asarray(own)[0])
    after = residual(displacement, answer["inverse_displacement"].numpy()[0])
    assert np.linalg.norm(displacement, axis=-1).max() > 1.0
    assert before.mean() > 2 * after.mean() and after.mean() < 0.05
    np.testing.assert_allclose(answer["fixed_moved"], ops.warp(fixed, answer["inverse_displacement"]), atol=1e-6)
