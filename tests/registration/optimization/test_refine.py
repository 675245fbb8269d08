"""Optimising one pair: known deformations come back, nothing folds more than before, and limits are kept."""

import dataclasses
import itertools

import numpy as np
import pytest
from scipy import ndimage

from vxm_tf import losses, metrics, models, ops
from vxm_tf.data.warping import warp_array
from vxm_tf.losses.folding import folding_penalty, smallest_volume
from vxm_tf.registration.optimization import descent
from vxm_tf.registration.optimization import fold_limit as admissible
from vxm_tf.registration.optimization import refine as refinement
from vxm_tf.registration.optimization.config import RefineConfig
from vxm_tf.registration.optimization.refine import refine, starting_velocity
from vxm_tf.registration.predict import register_pair

SHAPES = [(32, 36), (20, 22, 24)]
PLAIN = RefineConfig(steps=160, weight=0.05, window=5, tolerance=0.0, learning_rate=0.1)


@pytest.fixture(params=SHAPES, ids=["2-D", "3-D"])
def shape(request):
    return request.param


@pytest.fixture(autouse=True)
def uncompiled(compiler):
    """Compiling takes longer than such refinements."""
    compiler(None)


@pytest.fixture
def texture(rng):
    """texture(shape, channels): smooth blobs in [0, 1], everywhere some."""

    def make(shape, channels=1):
        noise = rng.normal(size=(*shape, channels))
        image = ndimage.gaussian_filter(noise, [2.0] * len(shape) + [0], mode="nearest")
        low, high = image.min(), image.max()
        return ((image - low) / (high - low)).astype("float32")

    return make


@pytest.fixture
def deformed(texture, smooth_field):
    """deformed(shape, amplitude, channels) -> (moving, fixed, the displacement between them)."""

    def make(shape, amplitude=2.0, channels=1):
        moving = texture(shape, channels)
        displacement = smooth_field(shape, amplitude, batch=1)[0]
        return moving, warp_array(moving, displacement), displacement

    return make


def folding(shape, amplitude=6.0):
    """A velocity, two voxels to a cell, whose displacement folds: too steep for its few squarings."""
    rng = np.random.default_rng(1)
    grid = [-(-size // 2) for size in shape]
    return (amplitude * rng.normal(size=(*grid, len(grid)))).astype("float32")


def folds(displacement):
    return metrics.fold_fraction(displacement), metrics.non_diffeomorphic_volume(displacement)


def inner_error(displacement, expected, border=4):
    inner = tuple(slice(border, -border) for _ in displacement.shape[:-1])
    return np.linalg.norm(displacement - expected, axis=-1)[inner].mean()


@pytest.mark.parametrize("similarity", ["lncc", "mse"])
def test_a_known_deformation_comes_back(shape, deformed, similarity):
    moving, fixed, expected = deformed(shape)
    result = refine(moving, fixed, config=dataclasses.replace(PLAIN, similarity=similarity))
    assert inner_error(np.zeros_like(expected), expected) > 0.8
    assert inner_error(result.displacement, expected) < 0.6
    before, after = (np.abs(image - fixed).mean() for image in (moving, warp_array(moving, result.displacement)))
    assert after < 0.4 * before
    assert folds(result.displacement) == (0.0, 0.0)


@pytest.mark.parametrize(
    "contrast", [lambda i: i, lambda i: 1 - i, lambda i: 4 * (i - 0.5) ** 2], ids=["same", "inverted", "two to one"]
)
def test_mutual_information_aligns_images_of_any_contrast(deformed, contrast):
    moving, fixed, expected = deformed((64, 72), amplitude=3.0)
    config = RefineConfig(steps=60, similarity="mi", weight=0.3, patch=0)
    result = refine(contrast(moving), fixed, config=config)
    assert inner_error(result.displacement, expected) < 0.5 * inner_error(np.zeros_like(expected), expected)


@pytest.mark.parametrize(
    ("patch", "size", "bins"), [(32, (99, 99, 99), 32), (16, (99, 99, 99), 22), (16, (64, 72), 5), (0, (64, 72), 24)]
)
def test_small_blocks_get_few_bins(patch, size, bins):
    assert descent._bins(RefineConfig(similarity="mi", patch=patch), size) == bins


@pytest.mark.parametrize("similarity", ["lncc", "mse"])
def test_equal_images_stay(shape, texture, similarity):
    image = texture(shape)
    result = refine(image, image, config=RefineConfig(similarity=similarity))
    assert np.abs(result.displacement).max() < 0.05


def test_two_flat_images_stay_exactly():
    flat = np.full((16, 18, 1), 0.5, "float32")
    result = refine(flat, flat)
    np.testing.assert_array_equal(result.displacement, 0.0)
    assert result.stop == "converged"


def test_channels_are_used_together(deformed, rng):
    """The first channel is flat: only the second says where things are."""
    moving, fixed, expected = deformed((32, 36))
    moving, fixed = (np.concatenate([np.zeros_like(image), image], axis=-1) for image in (moving, fixed))
    assert inner_error(refine(moving, fixed, config=PLAIN).displacement, expected) < 0.4


@pytest.mark.parametrize("odd", [(33, 37), (17, 19, 21)], ids=["2-D", "3-D"])
def test_odd_shapes(deformed, odd):
    moving, fixed, expected = deformed(odd)
    result = refine(moving, fixed, config=PLAIN)
    assert result.displacement.shape == result.inverse_displacement.shape == expected.shape
    assert result.velocity.shape[:-1] == tuple(-(-size // 2) for size in odd)
    assert inner_error(result.displacement, expected) < 0.5


def test_forward_and_inverse_undo_each_other(shape, deformed):
    moving, fixed, _ = deformed(shape)
    result = refine(moving, fixed, config=PLAIN)
    there_and_back = ops.compose(result.displacement[None], result.inverse_displacement[None])
    assert inner_error(np.asarray(there_and_back)[0], 0.0) < 0.1


def test_the_velocity_integrates_to_the_displacement(shape, deformed):
    moving, fixed, _ = deformed(shape)
    result = refine(moving, fixed, config=RefineConfig(steps=5))
    integral = ops.resize(ops.integrate(result.velocity[None], 5), shape)[0]
    np.testing.assert_allclose(result.displacement, integral, atol=1e-5)


def test_a_start_is_where_it_begins(shape, deformed):
    """From the answer, the first loss is the last one reached, and no steps change nothing."""
    moving, fixed, _ = deformed(shape)
    first = refine(moving, fixed, config=RefineConfig(steps=60))
    same = refine(moving, fixed, first.velocity, RefineConfig(steps=0))
    np.testing.assert_array_equal(same.displacement, first.displacement)
    further = refine(moving, fixed, first.velocity, RefineConfig(steps=20))
    assert further.losses[-1] <= first.losses[-1] + 1e-3


def test_a_smoothed_start_keeps_its_shape_and_loses_its_detail(shape, texture):
    detail = (-1.0) ** np.indices([-(-size // 2) for size in shape]).sum(axis=0)[..., None]
    velocity = (0.25 + 0.1 * detail).astype("float32") * np.ones(len(shape), "float32")
    image = texture(shape)
    smooth = refine(image, image, velocity, RefineConfig(steps=0, smoothing=2.0)).velocity
    np.testing.assert_allclose(smooth, 0.25, atol=0.03)
    np.testing.assert_array_equal(refine(image, image, velocity, RefineConfig(steps=0)).velocity, velocity)


@pytest.mark.parametrize(
    ("settings", "cells"),
    [({}, 4.0), ({"steps": 49}, 0.0), ({"seconds": 5.0}, 0.0), ({"steps": 0, "smoothing": 1.5}, 1.5)],
)
def test_a_start_is_smoothed_where_its_detail_can_be_found_again(settings, cells):
    assert refinement._smoothing(RefineConfig(**settings)) == cells


def test_folds_never_rise_from_a_folding_start(shape, deformed):
    moving, fixed, _ = deformed(shape)
    velocity = folding(shape)
    start = refine(moving, fixed, velocity, RefineConfig(steps=0)).displacement
    assert folds(start)[0] > 0
    # Free to fold: nothing but the last check holds it.
    result = refine(moving, fixed, velocity, RefineConfig(weight=0.0, fold_weight=0.0, learning_rate=1.0))
    assert np.abs(result.displacement - start).max() > 0
    assert all(after <= before for after, before in zip(folds(result.displacement), folds(start)))


def test_nothing_folds_from_the_identity(shape, texture):
    """Two images that have nothing in common, matched without any regularity."""
    config = RefineConfig(weight=0.0, fold_weight=0.0, learning_rate=1.0, window=3)
    result = refine(texture(shape), texture(shape), config=config)
    assert folds(result.displacement) == (0.0, 0.0)
    assert np.abs(result.displacement).max() > 0.5


def test_the_last_resort_is_the_start(monkeypatch, shape):
    for name in ("SMOOTHINGS", "SHRINKINGS", "HALVINGS"):
        monkeypatch.setattr(admissible, name, 0)
    change = folding(shape)[None]
    integrate = lambda velocity: refinement.displacement_of(velocity, shape, 2)  # noqa: E731
    for found in admissible.admissible_change(np.zeros_like(change), change, integrate):
        np.testing.assert_array_equal(found, 0.0)


def test_a_change_that_folds_in_one_place_is_kept_in_others(shape):
    """A smooth velocity with one wild cell: only the surroundings of that cell lose."""
    grid = [size // 2 for size in shape]
    change = np.ones((1, *grid, len(grid)), "float32")
    change[(0, *[6] * len(grid))] = -6.0
    integrate = lambda velocity: refinement.displacement_of(velocity, shape, 5)  # noqa: E731
    assert folds(integrate(change))[1] > 0
    found, displacement = admissible.admissible_change(np.zeros_like(change), change, integrate)
    assert folds(displacement) == (0.0, 0.0)
    np.testing.assert_array_equal(displacement, integrate(found))
    np.testing.assert_array_equal(found[0, 0], 1.0)


@pytest.mark.parametrize(("seed", "amplitude"), [(8, 2.5), (11, 1.5)])
def test_the_inverse_folds_nowhere_either(seed, amplitude):
    """Noise whose displacement folds nowhere after the first rounds, while that of the opposite velocity still does."""
    change = (amplitude * np.random.default_rng(seed).normal(size=(1, 16, 18, 2))).astype("float32")
    integrate = lambda velocity: refinement.displacement_of(velocity, (32, 36), 5)  # noqa: E731
    found, displacement = admissible.admissible_change(np.zeros_like(change), change, integrate)
    assert folds(displacement) == folds(integrate(-found)) == (0.0, 0.0)
    assert np.abs(found).max() > 0.1


def test_volumes_by_hand(shape, random_field):
    """Against determinants of edges, corner by corner; in 3-D against the two tetrahedra in the middle too."""
    field = random_field(shape, 0.4, batch=1)
    ndim, index = len(shape), np.array([3] * len(shape))
    cube = {place: np.add(place, field[(0, *(index + place))]) for place in itertools.product((0, 1), repeat=ndim)}
    volumes = []
    for corner in cube:
        ends = [tuple(np.where(np.arange(ndim) == axis, 1 - np.array(corner), corner)) for axis in range(ndim)]
        edges = np.array([cube[end] - cube[corner] for end in ends]) * (1 - 2 * np.array(corner))[:, None]
        volumes.append(np.linalg.det(edges))
    if ndim == 3:
        for start, *ends in ("000", "110", "011", "101"), ("111", "001", "010", "100"):
            edges = [cube[tuple(map(int, end))] - cube[tuple(map(int, start))] for end in ends]
            volumes.append(np.linalg.det(edges) / 2)
    assert float(smallest_volume(field)[(0, *(index + 1))]) == pytest.approx(min(volumes), abs=1e-5)


def test_the_smallest_volume_is_negative_exactly_where_the_metric_counts(shape, random_field):
    for amplitude in (0.05, 0.12, 0.15, 0.2, 0.3):
        field = random_field(shape, amplitude, batch=1)
        assert (np.min(smallest_volume(field)) < 0) == (metrics.non_diffeomorphic_volume(field[0]) > 0)


def test_what_certainly_folds_nowhere_folds_nowhere_by_the_metrics(shape, random_field):
    fields = [random_field(shape, strength, batch=1)[0] for strength in np.linspace(0.02, 0.3, 24)]
    verdicts = [admissible.folds_nowhere(field) for field in fields]
    assert 4 < sum(verdicts) < 20
    assert all(folds(field) == (0.0, 0.0) for field, verdict in zip(fields, verdicts) if verdict)


def test_a_fold_between_the_image_and_what_is_beyond_it_is_seen():
    """Two neighbours on the face swap places along it; with the voxels behind them they keep their volume."""
    field = np.zeros((1, 6, 7, 2), "float32")
    field[0, 0, 3] = [0.0, 1.2]
    assert metrics.non_diffeomorphic_volume(field[0]) > 0
    assert float(np.min(smallest_volume(field)[0, 0])) < 0


def test_a_fold_at_the_face_alone_costs_no_more_than_its_surroundings(shape):
    change = np.ones((1, *(size // 2 for size in shape), len(shape)), "float32")
    change[(0, 0, *[6] * (len(shape) - 1))] = -6.0
    integrate = lambda velocity: refinement.displacement_of(velocity, shape, 5)  # noqa: E731
    found, displacement = admissible.admissible_change(np.zeros_like(change), change, integrate)
    assert folds(displacement) == (0.0, 0.0)
    np.testing.assert_array_equal(displacement, integrate(found))
    np.testing.assert_array_equal(found[0, -1], 1.0)


def test_the_folding_penalty_is_zero_until_the_margin_and_grows_beyond(positions):
    squeeze = lambda factor: (factor - 1.0) * positions((6, 7))[None] * [1.0, 0.0]  # noqa: E731
    assert float(folding_penalty(squeeze(0.3).astype("float32"))[0]) == 0.0
    # In five of the seven rows of cubes, all but those half outside, each of four corners is 0.3 below the margin.
    expected = 5 / 7 * 4 * 0.3**2
    assert float(folding_penalty(squeeze(-0.1).astype("float32"))[0]) == pytest.approx(expected, rel=1e-4)


def test_gradient_of_the_folding_penalty(shape, random_field, check_gradient):
    check_gradient(folding_penalty, random_field(shape, 0.4, batch=1), step=2e-3, rtol=2e-2)


@pytest.mark.parametrize(("seconds", "steps"), [(0.5, 0), (9.5, 8), (1000.0, 40)])
def test_the_time_budget_is_kept(deformed, monkeypatch, seconds, steps):
    """With a clock that goes on by a second whenever it is looked at; half the time is the coarse grids'."""
    ticks = itertools.count()
    monkeypatch.setattr(refinement.time, "perf_counter", lambda: float(next(ticks)))
    moving, fixed, _ = deformed((32, 36))
    result = refine(moving, fixed, config=dataclasses.replace(PLAIN, steps=40, seconds=seconds))
    assert result.steps == steps
    assert result.stop == ("seconds" if steps < 40 else "steps")


def test_without_progress_it_stops_early(texture):
    image = texture((32, 36))
    result = refine(image, image, config=RefineConfig(steps=300, patience=3))
    assert result.stop == "converged"
    assert result.steps == len(result.losses) < 30


def test_the_steps_are_done_and_reported(deformed):
    moving, fixed, _ = deformed((32, 36))
    calls = []
    result = refine(moving, fixed, config=RefineConfig(steps=7), progress=lambda *call: calls.append(call))
    assert result.steps == len(result.losses) == len(calls) == 7
    assert calls[0] == (0, 7, None)
    assert calls[-1] == (6, 7, result.losses[5])
    assert result.stop == "steps"


def test_the_loss_is_similarity_and_weighted_regularity(deformed):
    # So small that there is one grid.
    moving, fixed, _ = deformed((30, 36))
    velocity = 0.3 * folding((30, 36), 1.0)
    config = RefineConfig(steps=1, weight=0.7, fold_weight=0.0)
    result = refine(moving, fixed, velocity, config)
    coarse = ops.integrate(velocity[None], config.integration_steps)
    moved = ops.warp(moving[None], ops.resize(coarse, (30, 36)))
    expected = float(losses.LNCC(config.window)(fixed[None], moved)) + 0.7 * float(losses.GradientPenalty()(coarse)[0])
    assert result.losses[0] == pytest.approx(expected, abs=1e-5)


def test_the_same_inputs_give_the_same_answer_whatever_came_between(deformed, texture):
    moving, fixed, _ = deformed((32, 36))
    first = refine(moving, fixed, config=PLAIN)
    refine(texture((32, 36)), texture((32, 36)), config=PLAIN)
    np.testing.assert_array_equal(refine(moving, fixed, config=PLAIN).displacement, first.displacement)


def test_a_later_pair_of_the_shape_is_not_traced_again(deformed, texture):
    moving, fixed, _ = deformed((32, 36))
    refine(moving, fixed, config=PLAIN)
    traced = descent._model.cache_info().currsize
    refine(texture((32, 36)), fixed, folding((32, 36), 0.1), PLAIN)
    assert descent._model.cache_info().currsize == traced


def test_noise_of_a_millionth_hardly_moves_the_answer(deformed, rng):
    """A third of the image is flat, as around a head, where a step must not follow the noise."""
    moving, fixed = (np.array(image) for image in deformed((32, 36))[:2])
    moving[:10], fixed[:10] = 0.0, 0.0
    config = RefineConfig()
    noise = 1e-6 * rng.standard_normal((2, *moving.shape)).astype("float32")
    plain = refine(moving, fixed, config=config).displacement
    noisy = refine(moving + noise[0], fixed + noise[1], config=config).displacement
    assert np.abs(plain - noisy).max() < 0.005


def test_a_flipped_pair_gets_the_flipped_answer(shape, deformed):
    """Nothing leans to one side: not the derivative where a location sits on a voxel, not the grids."""
    moving, fixed, _ = deformed((32, 36) if len(shape) == 2 else (20, 24, 20))
    plain = refine(moving, fixed, config=PLAIN).displacement
    flipped = refine(moving[::-1].copy(), fixed[::-1].copy(), config=PLAIN).displacement[::-1].copy()
    flipped[..., 0] *= -1
    assert np.abs(plain - flipped).max() < 0.005


@pytest.mark.parametrize("settings", [{}, {"velocity_resolution": 2}], ids=["default", "half resolution"])
@pytest.mark.parametrize("size", [(32, 36), (30, 37), (13, 10, 11)], ids=str)
def test_a_networks_displacement_is_reproduced(network, smooth_images, size, settings):
    """Shapes that the network pads among them."""
    model = network(size, 2.0, **settings)
    moving, fixed = (image[0] for image in smooth_images(size).values())
    velocity = starting_velocity(model, moving, fixed)
    config = RefineConfig(steps=0, integration_steps=model.settings["integration_steps"])
    result = refine(moving, fixed, velocity, config)
    np.testing.assert_allclose(result.displacement, register_pair(model, moving, fixed).displacement, atol=1e-4)


@pytest.mark.parametrize(
    "settings",
    [{"integration_resolution": r} for r in (1, 4)] + [{"resize_rule": rule} for rule in ("corners", "origin")],
    ids=str,
)
def test_a_network_of_another_resolution_or_rule_is_nearly_reproduced(
    constant_network, smooth_images, settings, positions
):
    """Its velocity is a gentle wave, so that one more interpolation costs little."""
    model = models.VxmDense((32, 36), features=((4, 4), (4, 4, 4)), integration_steps=3, **settings)
    resolution = settings.get("integration_resolution", 2)
    wave = np.sin(positions((32 // resolution, 36 // resolution)) * 0.15 * resolution).astype("float32") / resolution
    expected = np.asarray(ops.resize(ops.integrate(wave[None], 3), (32, 36), settings.get("resize_rule", "areas")))[0]

    class Fake:
        settings = model.settings
        _integration_resolution = model._integration_resolution
        _resize_rule = staticmethod(model._resize_rule)

        def with_outputs(self, name):
            return type("Model", (), {"predict_on_batch": lambda self, images: {name: wave[None]}})()

        def for_shape(self, shape):
            return self

    moving, fixed = (image[0] for image in smooth_images((32, 36)).values())
    velocity = starting_velocity(Fake(), moving, fixed)
    assert velocity.shape == (16, 18, 2)
    result = refine(moving, fixed, velocity, RefineConfig(steps=0, integration_steps=3))
    inner = (slice(3, -3), slice(3, -3))
    np.testing.assert_allclose(result.displacement[inner], expected[inner], atol=0.08)


def test_a_network_without_integration_gives_its_displacement_as_velocity(constant_network, smooth_images):
    network = constant_network((32, 36), (2.0, -3.0))
    moving, fixed = (image[0] for image in smooth_images((32, 36)).values())
    velocity = starting_velocity(network, moving, fixed)
    np.testing.assert_allclose(velocity, np.broadcast_to([1.0, -1.5], (16, 18, 2)), atol=1e-6)


def test_a_network_of_any_size_answers_too(network, smooth_images):
    images = [image[0] for image in smooth_images((30, 37)).values()]
    fixed_size = network((30, 37), 2.0)
    any_size = fixed_size.for_shape((None, None))
    np.testing.assert_allclose(starting_velocity(any_size, *images), starting_velocity(fixed_size, *images), atol=1e-5)
    other = network((16, 16), 2.0)
    assert starting_velocity(other, *images).shape == (16, 20, 2)


def test_a_network_is_improved(network, deformed):
    moving, fixed, _ = deformed((32, 36))
    velocity = starting_velocity(network((32, 36), 1.0), moving, fixed)
    config = RefineConfig(weight=0.05)
    result = refine(moving, fixed, velocity, config)
    assert result.losses[-1] < result.losses[0] - 0.1


@pytest.mark.parametrize(
    ("moving", "fixed", "velocity", "message"),
    [
        ((16, 18), (16, 18), None, "add one for channels"),
        ((1, 16, 18, 20, 1), (1, 16, 18, 20, 1), None, r"got shape \(1, 16, 18, 20, 1\)"),
        ((16, 18, 1), (16, 20, 1), None, r"share one grid .* \(16, 18, 1\) and \(16, 20, 1\)"),
        ((16, 18, 1), (16, 18, 2), None, "equal channels"),
        ((16, 3, 1), (16, 3, 1), None, "at least 4 voxels"),
        ((16, 18, 1), (16, 18, 1), (16, 18, 3), r"has shape \(8, 9, 2\)"),
        ((16, 18, 1), (16, 18, 1), (7, 9, 2), r"got shape \(7, 9, 2\)"),
        ((66, 68, 1), (66, 68, 1), (66, 68, 2), r"got shape \(66, 68, 2\)"),
    ],
)
def test_wrong_shapes_are_refused(moving, fixed, velocity, message):
    velocity = None if velocity is None else np.zeros(velocity, "float32")
    with pytest.raises(ValueError, match=message):
        refine(np.zeros(moving, "float32"), np.zeros(fixed, "float32"), velocity)


@pytest.mark.parametrize("where", ["moving", "fixed", "velocity"])
def test_values_that_are_not_finite_are_refused(where):
    arrays = {"moving": np.zeros((16, 18, 1)), "fixed": np.zeros((16, 18, 1)), "velocity": np.zeros((8, 9, 2))}
    arrays[where][5, 5, 0] = np.nan
    with pytest.raises(ValueError, match=f"{where} .*NaN or infinite"):
        refine(**arrays)


@pytest.mark.parametrize(
    "settings",
    [{"similarity": "ncc"}, {"steps": -1}, {"weight": -0.1}, {"seconds": -1.0}, {"learning_rate": 0.0}],
    ids=str,
)
def test_wrong_settings_are_refused(settings):
    ((name, value),) = settings.items()
    with pytest.raises(ValueError, match=f"{name} is .*; got '?{value}"):
        RefineConfig(**settings)


def test_a_loss_that_is_no_number_ends_it(deformed, monkeypatch):
    moving, fixed, _ = deformed((32, 36))
    monkeypatch.setattr(descent.PairModel, "step", lambda *_: float("nan"))
    result = refine(moving, fixed)
    assert result.stop == "diverged"
    np.testing.assert_array_equal(result.displacement, 0.0)
