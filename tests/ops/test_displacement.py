"""moved(x) = moving(x + displacement(x)), its chain rule, and its change of grid."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from vxm_tf import ops

BOTH = pytest.mark.parametrize("interpolation", ["linear", "nearest"])
FILLS = pytest.mark.parametrize("fill_mode", ["nearest", "constant"])
GRIDS = [((17,), (30,)), ((15, 18), (31, 11)), ((9, 10, 11), (5, 20, 13)), ((9, 10, 11), (18, 20, 22))]


def scipy_warp(image, displacement, positions, order=1, mode="nearest", cval=0.0):
    """One channel of one item at a time, in float64."""
    spatial = displacement.shape[1:-1]
    moved = np.empty((len(displacement), *spatial, image.shape[-1]))
    for item, channel in np.ndindex(len(displacement), image.shape[-1]):
        locations = np.moveaxis(positions(spatial) + displacement[item], -1, 0)
        moved[item, ..., channel] = ndimage.map_coordinates(
            image[item, ..., channel].astype("float64"), locations, order=order, mode=mode, cval=cval
        )
    return moved


def ramp(shape, positions, slopes=(3.0, -2.0, 0.5)):
    """An image that is linear in the index, and its slopes."""
    slopes = np.array(slopes[: len(shape)])
    return (positions(shape) @ slopes)[None, ..., None].astype("float32"), slopes


def interior(array, margin):
    return array[(slice(None), *[slice(margin, -margin)] * (array.ndim - 2))]


def test_slopes_are_those_of_a_wave_and_do_not_jump_at_voxels(shape, positions):
    """sin(x / 3) along each axis in turn: cos(x / 3) / 3, up to what sampling at whole voxels loses."""
    for axis in range(len(shape)):
        image = np.sin(positions(shape)[..., axis] / 3.0)[None, ..., None].astype("float32")
        for step in (0.0, 1e-6, -1e-6, 0.4):
            displacement = np.zeros((1, *shape, len(shape)), "float32")
            displacement[..., axis] = step
            moved, *slopes = (np.asarray(value) for value in ops.displacement.warp_with_slopes(image, displacement))
            np.testing.assert_allclose(moved, ops.warp(image, displacement), atol=1e-6)
            for other, slope in enumerate(slopes):
                expected = np.cos((positions(shape)[..., axis] + step) / 3.0) / 3.0 if other == axis else 0.0
                np.testing.assert_allclose(interior(slope - np.asarray(expected)[..., None], 2), 0.0, atol=0.01)


@BOTH
@FILLS
def test_zero_displacement_returns_the_image_bit_for_bit_faces_included(any_shape, rng, interpolation, fill_mode):
    image = rng.normal(size=(2, *any_shape, 2)).astype("float32")
    zero = np.zeros((2, *any_shape, len(any_shape)), "float32")
    np.testing.assert_array_equal(ops.warp(image, zero, interpolation, fill_mode, 7.0), image)


@BOTH
@FILLS
@pytest.mark.parametrize("step", [2, -3])
def test_an_integer_shift_is_a_slice(shape, rng, interpolation, fill_mode, step):
    image = rng.normal(size=(1, *shape, 1)).astype("float32")
    for axis in range(len(shape)):
        displacement = np.zeros((1, *shape, len(shape)), "float32")
        displacement[..., axis] = step
        index = np.arange(shape[axis]) + step
        expected = np.take(image, np.clip(index, 0, shape[axis] - 1), axis=axis + 1)
        if fill_mode == "constant":
            outside = (index < 0) | (index >= shape[axis])
            np.moveaxis(expected, axis + 1, 0)[outside] = 7.0
        np.testing.assert_array_equal(ops.warp(image, displacement, interpolation, fill_mode, 7.0), expected)


def test_a_linear_ramp_is_exact_under_a_fractional_shift(any_shape, positions):
    image, slopes = ramp(any_shape, positions)
    shift = np.array([0.3, -0.45, 0.6][: len(any_shape)])
    displacement = np.broadcast_to(shift, (1, *any_shape, len(any_shape))).astype("float32")
    moved = np.asarray(ops.warp(image, displacement))
    np.testing.assert_allclose(interior(moved, 1), interior(image, 1) + shift @ slopes, atol=2e-5)


@BOTH
@FILLS
def test_warp_agrees_with_scipy(any_shape, rng, random_field, positions, interpolation, fill_mode):
    image = rng.random((2, *any_shape, 3), "float32")
    displacement = random_field(any_shape, amplitude=3.0)
    order = {"linear": 1, "nearest": 0}[interpolation]
    expected = scipy_warp(image, displacement, positions, order, fill_mode, 7.0)
    moved = ops.warp(image, displacement, interpolation, fill_mode, 7.0)
    np.testing.assert_allclose(moved, expected, atol=1e-5)


@BOTH
def test_the_image_may_have_another_size_than_the_displacement(shape, rng, random_field, positions, interpolation):
    image = rng.random((2, *(size + 4 - 3 * axis for axis, size in enumerate(shape)), 1), "float32")
    displacement = random_field(shape, amplitude=2.0)
    expected = scipy_warp(image, displacement, positions, order={"linear": 1, "nearest": 0}[interpolation])
    np.testing.assert_allclose(ops.warp(image, displacement, interpolation), expected, atol=1e-5)


@BOTH
def test_warp_keeps_batch_items_apart(shape, rng, random_field, interpolation):
    image, displacement = rng.random((2, *shape, 2), "float32"), random_field(shape, 2.0)
    alone = [ops.warp(image[[i, i]], displacement[[i, i]], interpolation)[0] for i in range(2)]
    np.testing.assert_allclose(ops.warp(image, displacement, interpolation), np.stack(alone), atol=1e-6)


def test_warp_treats_every_channel_alike(shape, rng, random_field):
    image, displacement = rng.random((2, *shape, 2), "float32"), random_field(shape, 2.0)
    alone = [ops.warp(image[..., [c, c]], displacement)[..., 0] for c in range(2)]
    np.testing.assert_allclose(ops.warp(image, displacement), np.stack(alone, axis=-1), atol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "int64"])
def test_labels_keep_their_type_and_values(shape, rng, random_field, dtype):
    labels = rng.choice([0, 3, 41, 77], (2, *shape, 1)).astype(dtype)
    moved = ops.warp(labels, random_field(shape, 3.0), "nearest")
    assert moved.dtype == dtype
    assert set(np.unique(moved)) == {0, 3, 41, 77}


def test_a_half_precision_displacement_does_not_round_far_locations():
    image = np.arange(400, dtype="float32").reshape(1, 400, 1)
    displacement = np.full((1, 400, 1), 0.3, "float16")
    moved = np.asarray(ops.warp(image, displacement)).ravel()[:-1]
    np.testing.assert_allclose(moved, np.arange(399) + float(np.float16(0.3)), atol=1e-4)


@pytest.mark.parametrize("scalar", [7, 7.0, np.float32(7), np.array(7.0), tf.constant(7.0)], ids=lambda s: str(type(s)))
def test_the_fill_value_may_be_any_kind_of_scalar(scalar):
    moved = ops.warp(np.zeros((1, 4, 1), "float32"), np.full((1, 4, 1), 9.0, "float32"), "linear", "constant", scalar)
    np.testing.assert_array_equal(moved, np.full((1, 4, 1), 7.0))


def test_warp_with_unknown_sizes_equals_warp_with_known_ones(shape, rng, random_field):
    image, displacement = rng.random((2, *shape, 2), "float32"), random_field(shape, 2.0)
    unknown = [None] * (len(shape) + 1)
    signature = [tf.TensorSpec((*unknown, 2)), tf.TensorSpec((*unknown, len(shape)))]
    moved = tf.function(ops.warp, input_signature=signature)(image, displacement)
    np.testing.assert_allclose(moved, ops.warp(image, displacement), atol=1e-6)


def test_gradient_of_warp(shape, rng, check_gradient):
    image = rng.random((2, *shape, 2), "float32")
    cells = rng.integers(-2, 2, (2, *shape, len(shape)))
    displacement = (cells + rng.uniform(0.2, 0.8, cells.shape)).astype("float32")
    check_gradient(ops.warp, image, displacement)


def test_compose_is_its_formula(any_shape, random_field, positions):
    first, second = random_field(any_shape, 2.0), random_field(any_shape, 2.0)
    expected = second + scipy_warp(first, second, positions)
    np.testing.assert_allclose(ops.compose(first, second), expected, atol=1e-5)


def test_composing_with_the_identity_changes_nothing(shape, random_field):
    displacement, zero = random_field(shape), np.zeros((2, *shape, len(shape)), "float32")
    np.testing.assert_array_equal(ops.compose(displacement, zero), displacement)
    np.testing.assert_array_equal(ops.compose(zero, displacement), displacement)


def test_warping_by_a_composition_is_warping_by_the_first_and_then_by_the_second(shape, positions, smooth_field):
    image, _ = ramp(shape, positions)  # Interpolating it is exact, so nothing but the order of things is left.
    first, second = smooth_field(shape, 1.5, batch=1), smooth_field(shape, -2.0, batch=1)[..., ::-1]
    twice = ops.warp(ops.warp(image, first), second)
    np.testing.assert_allclose(ops.warp(image, ops.compose(first, second)), twice, atol=1e-4)


def test_warping_a_smooth_image_by_a_composition_is_warping_twice_up_to_interpolation(shape, positions, smooth_field):
    image = np.sin(ramp(shape, positions)[0] / 15.0)
    first, second = smooth_field(shape, 1.5, batch=1), smooth_field(shape, -2.0, batch=1)[..., ::-1]
    twice = ops.warp(ops.warp(image, first), second)
    np.testing.assert_allclose(ops.warp(image, ops.compose(first, second)), twice, atol=0.02)


def test_gradient_of_compose(shape, rng, check_gradient):
    first = rng.normal(size=(2, *shape, len(shape))).astype("float32")
    cells = rng.integers(-2, 2, first.shape)
    second = (cells + rng.uniform(0.2, 0.8, first.shape)).astype("float32")
    check_gradient(ops.compose, first, second)


@pytest.mark.parametrize(("old", "new"), GRIDS)
def test_a_constant_field_is_scaled_by_each_axis_own_ratio(old, new):
    constant = np.array([1.0, -2.0, 3.0][: len(old)])
    field = np.broadcast_to(constant, (2, *old, len(old))).astype("float32")
    expected = np.broadcast_to(constant * np.array(new) / old, (2, *new, len(new)))
    np.testing.assert_allclose(ops.resize(field, new), expected, rtol=1e-6)


@pytest.mark.parametrize(("old", "new"), GRIDS)
def test_a_linear_field_is_the_same_deformation_on_the_new_grid(old, new, rng, positions):
    matrix, ndim = rng.normal(size=(len(old), len(old))), len(old)

    def field_of(shape):
        """Linear in the fraction of the field of view, where voxel i of n has its centre at (i + 1/2) / n."""
        return ((positions(shape) + 0.5) / shape) @ matrix * shape

    clamped = [(positions(new)[..., k] + 0.5) * old[k] / new[k] - 0.5 for k in range(ndim)]
    inner = np.all([(c >= 0) & (c <= size - 1) for c, size in zip(clamped, old, strict=True)], axis=0)
    resized = np.asarray(ops.resize(field_of(old)[None], new))[0]
    np.testing.assert_allclose(resized[inner], field_of(new)[inner], atol=1e-4)


@pytest.mark.parametrize(("old", "new"), GRIDS)
def test_resize_agrees_with_scipy_zoom(old, new, random_field):
    field = random_field(old, batch=1)
    zooms = [n / o for n, o in zip(new, old, strict=True)]
    settings = {"order": 1, "grid_mode": True, "mode": "nearest"}
    expected = [ndimage.zoom(field[0, ..., k].astype("float64"), zooms, **settings) * zooms[k] for k in range(len(old))]
    np.testing.assert_allclose(ops.resize(field, new)[0], np.stack(expected, axis=-1), atol=1e-5)


def test_up_then_down_gives_a_linear_field_back(shape, positions, rng):
    field = (positions(shape) @ rng.normal(size=(len(shape), len(shape))))[None].astype("float32")
    doubled = ops.resize(field, [2 * size for size in shape])
    back = np.asarray(ops.resize(doubled, shape))
    np.testing.assert_allclose(interior(back, 1), interior(field, 1), atol=1e-4)


def test_resizing_to_the_same_shape_changes_nothing(shape, random_field):
    field = random_field(shape)
    np.testing.assert_array_equal(ops.resize(field, shape), field)


def test_resize_keeps_batch_items_apart(shape, random_field):
    field, new = random_field(shape), tuple(size + 5 for size in shape)
    alone = [ops.resize(field[[i, i]], new)[0] for i in range(2)]
    np.testing.assert_allclose(ops.resize(field, new), np.stack(alone), atol=1e-6)


@pytest.mark.parametrize("unknown", ["field", "target", "both"])
def test_resize_with_sizes_known_only_when_it_runs_equals_known_sizes(shape, random_field, unknown):
    field, new = random_field(shape), tuple(2 * size - 1 for size in shape)
    sizes = shape if unknown == "target" else [None] * len(shape)

    @tf.function(input_signature=[tf.TensorSpec((2, *sizes, len(shape))), tf.TensorSpec((len(shape),), tf.int32)])
    def run(field, target):
        return ops.resize(field, new if unknown == "field" else tf.unstack(target))

    np.testing.assert_allclose(run(field, np.array(new, "int32")), ops.resize(field, new), atol=1e-4)


def test_gradient_of_resize(shape, random_field, check_gradient):
    check_gradient(lambda field: ops.resize(field, [2 * size - 1 for size in shape]), random_field(shape))


@pytest.mark.parametrize("function", [lambda u: ops.compose(u, u), lambda u: ops.resize(u, (7, 8))])
def test_fields_are_float32_whatever_the_input(function, random_field):
    assert function(random_field((15, 18)).astype("float16")).dtype == "float32"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"interpolation": "cubic"}, "interpolation must be one of 'linear', 'nearest'; got 'cubic'"),
        ({"fill_mode": "reflect"}, "fill_mode must be one of 'nearest', 'constant'; got 'reflect'"),
    ],
)
def test_warp_refuses_unknown_options(settings, message):
    with pytest.raises(ValueError, match=message):
        ops.warp(np.zeros((1, 4, 5, 1)), np.zeros((1, 4, 5, 2)), **settings)


def test_warp_refuses_a_displacement_without_one_component_per_axis():
    with pytest.raises(ValueError, match=r"A displacement has shape .* got shape \(1, 4, 5, 3\)"):
        ops.warp(np.zeros((1, 4, 5, 1)), np.zeros((1, 4, 5, 3)))


def test_warp_refuses_an_image_of_another_dimension():
    with pytest.raises(ValueError, match=r"with 2 components warps .* got an image of shape \(1, 4, 5, 6, 1\)"):
        ops.warp(np.zeros((1, 4, 5, 6, 1)), np.zeros((1, 4, 5, 2)))


@pytest.mark.parametrize("which", [0, 1])
def test_compose_refuses_what_is_no_field(which):
    fields = [np.zeros((1, 4, 5, 2)), np.zeros((1, 4, 5, 2))]
    fields[which] = np.zeros((1, 4, 5, 1))
    with pytest.raises(ValueError, match=r"A displacement has shape .* got shape \(1, 4, 5, 1\)"):
        ops.compose(*fields)


def test_resize_refuses_a_shape_of_another_dimension():
    with pytest.raises(ValueError, match=r"with 2 spatial axes was asked for shape \(4, 5, 6\)"):
        ops.resize(np.zeros((1, 4, 5, 2)), (4, 5, 6))


def test_resize_refuses_what_is_no_field():
    with pytest.raises(ValueError, match="one component per spatial axis"):
        ops.resize(np.zeros((1, 4, 5, 1)), (4, 5))


RULES = {
    "areas": lambda index, old, new: (index + 0.5) * old / new - 0.5,
    "corners": lambda index, old, new: index * (old - 1) / (new - 1),
    "origin": lambda index, old, new: index * old / new,
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("old", "new"), [((9,), (5,)), ((5, 4), (10, 8)), ((5, 4), (10, 7)), ((4, 6, 5), (8, 3, 5))])
def test_each_rule_takes_values_from_where_it_says(rule, old, new, random_field):
    field = random_field(old)
    expected = field.astype("float64")
    for axis, (o, n) in enumerate(zip(old, new)):
        pick = functools.partial(np.interp, RULES[rule](np.arange(n), o, n), np.arange(o))
        expected = np.apply_along_axis(pick, axis + 1, expected)
    expected *= np.array(new) / old
    np.testing.assert_allclose(ops.resize(field, new, rule), expected, atol=1e-5)


def test_rules_by_hand():
    line = np.array([0.0, 1.0, 2.0, 3.0], "float32").reshape(1, 4, 1)
    doubled = {
        "areas": [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3],
        "corners": [3 * i / 7 for i in range(8)],
        "origin": [0, 0.5, 1, 1.5, 2, 2.5, 3, 3],
    }
    for rule, values in doubled.items():
        np.testing.assert_allclose(ops.resize(line, (8,), rule)[0, :, 0], 2 * np.array(values), atol=1e-5)
        if rule != "areas":
            np.testing.assert_array_equal(ops.resize(line, (1,), rule)[0, :, 0], [0.0])
    np.testing.assert_allclose(ops.resize(line, (2,), "origin")[0, :, 0], [0.0, 1.0])


def test_an_unknown_rule_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="one of 'areas', 'corners', 'origin'; got 'align'"):
        ops.resize(np.zeros((1, 4, 1)), (8,), "align")
