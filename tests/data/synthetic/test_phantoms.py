"""Phantoms: reproducible, truly deformed by what they claim, and written once."""

import json

import numpy as np
import pytest
from scipy import ndimage

from vxm_tf.data.synthetic.anatomy import INTENSITIES, paint
from vxm_tf.data.synthetic.phantoms import LABEL_NAMES, Phantom, phantom, population, template, write_population
from vxm_tf.files.errors import InputError

SHAPES = [(96, 90), (44, 52, 60)]
IN_SECTION = ("cortex", "white matter", "lateral ventricle", "thalamus", "caudate", "putamen")


@pytest.fixture(scope="module", params=SHAPES, ids=str)
def individual(request):
    return phantom(request.param, seed=5)


def warp(image, displacement, order):
    """moved(x) = moving(x + displacement(x)) without the library's own sampler."""
    locations = np.indices(image.shape) + np.moveaxis(displacement, -1, 0)
    return ndimage.map_coordinates(image, locations, order=order, mode="nearest")


def dice(first, second, label):
    first, second = first == label, second == label
    return 2.0 * (first & second).sum() / max(first.sum() + second.sum(), 1)


def mean_dice(first, second):
    labels = np.union1d(first, second)[1:]
    return np.mean([dice(first, second, label) for label in labels])


def arrays(individual):
    return individual.image, individual.labels, individual.displacement, individual.inverse_displacement


def test_types_and_ranges(individual):
    shape = individual.image.shape
    assert [a.dtype for a in arrays(individual)] == ["float32", "uint8", "float32", "float32"]
    assert individual.labels.shape == shape
    assert individual.displacement.shape == individual.inverse_displacement.shape == (*shape, len(shape))
    assert all(a.flags.c_contiguous for a in arrays(individual))
    assert individual.image.min() == 0.0 and 0.7 < individual.image.max() <= 1.0
    assert (individual.image == 1.0).mean() < 0.001, "bright tissue is cut off"
    image, labels = template(shape)
    assert (image.dtype, labels.dtype) == ("float32", "uint8")


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_seed_is_one_individual(shape):
    first, again, other = phantom(shape, seed=7), phantom(shape, seed=7), phantom(shape, seed=8)
    for a, b, c in zip(arrays(first), arrays(again), arrays(other), strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()


def test_a_seed_is_the_same_individual_at_every_size():
    small, large = phantom((41, 61), seed=2).displacement, phantom((81, 121), seed=2).displacement
    np.testing.assert_allclose(large[::2, ::2], 2.0 * small, atol=0.1)
    assert abs(small).max() > 1.0


def test_individual_does_not_depend_on_count_but_on_seed():
    few, many = list(population((32, 40), 2, 3)), list(population((32, 40), 4, 3))
    for a, b in zip(few, many[:2], strict=True):
        np.testing.assert_array_equal(a.image, b.image)
    assert len(many) == 4 and (many[0].image != many[1].image).any()
    assert (next(population((32, 40), 1, 4)).image != few[0].image).any()


def test_individual_is_the_template_warped_by_its_displacement(individual):
    image, labels = template(individual.labels.shape)
    warped = warp(labels, individual.displacement, order=0)
    # Nearest-neighbour sampling costs any structure a layer of voxels: hold to 0.9 those four voxels deep.
    big = [k for k in LABEL_NAMES if k and ndimage.distance_transform_edt(individual.labels == k).max() >= 4.0]
    assert len(big) >= 4
    for label in big:
        overlap = dice(warped, individual.labels, label)
        assert overlap > 0.9 and overlap > dice(labels, individual.labels, label) + 0.03, LABEL_NAMES[label]
    assert mean_dice(warped, individual.labels) > mean_dice(labels, individual.labels) + 0.1
    residual = abs(warp(image, individual.displacement, order=1) - individual.image)
    assert residual.mean() < 0.6 * abs(image - individual.image).mean()


def test_labels_are_the_anatomy_at_the_warped_coordinates_exactly():
    individual = phantom((33, 49), seed=5)
    row, column = np.indices((33, 49)) + np.moveaxis(individual.displacement, -1, 0)
    points = np.stack([column / 24.0 - 1.0, 1.0 - row / 16.0, np.full((33, 49), 0.09)])
    agreement = (paint(points, edge=0.05)[0] == individual.labels).mean()
    assert agreement > 0.999, "more than rounding differs"


def test_inverse_undoes_displacement(individual):
    forward, inverse = individual.displacement, individual.inverse_displacement
    moved = np.stack([warp(forward[..., axis], inverse, order=1) for axis in range(forward.shape[-1])], axis=-1)
    error = np.linalg.norm(inverse + moved, axis=-1)
    assert np.linalg.norm(forward, axis=-1).max() > 1.5
    assert error.max() < 0.1 and error.mean() < 0.01


@pytest.mark.parametrize("magnitude", [0.015, 0.2])
@pytest.mark.parametrize("shape", [(48, 40), (24, 28, 32)], ids=str)
def test_no_folds_and_a_border_that_stays(shape, magnitude):
    for seed in range(3):
        individual = phantom(shape, seed, magnitude=magnitude)
        for displacement in (individual.displacement, individual.inverse_displacement):
            ndim = len(shape)
            gradient = np.stack(np.gradient(displacement, axis=tuple(range(ndim))), axis=-1)
            assert np.linalg.det(gradient + np.eye(ndim)).min() > 0.0
            for axis, size in enumerate(shape):
                border = displacement.take([0, size - 1], axis)
                np.testing.assert_allclose(border, 0.0, atol=1e-5)


def test_magnitude_is_a_part_of_the_size():
    assert not phantom((32, 40), 1, magnitude=0.0).displacement.any()
    small, large = (phantom((64, 64), 1, magnitude=m).displacement for m in (0.005, 0.01))
    assert 1.8 < np.linalg.norm(large) / np.linalg.norm(small) < 2.2
    root_mean_square = np.sqrt((large**2).sum(-1).mean())
    assert root_mean_square == pytest.approx(0.01 * 63, rel=0.1)


@pytest.mark.parametrize("shape", [(96, 96), (48, 48, 48)], ids=str)
def test_individuals_differ_about_as_heads_do_after_affine_alignment(shape):
    individuals = list(population(shape, 4, seed=0))
    overlap = [mean_dice(a.labels, b.labels) for k, a in enumerate(individuals) for b in individuals[:k]]
    assert 0.5 < np.mean(overlap) < 0.75


def test_every_structure_has_its_side():
    labels = phantom((64, 64, 64), seed=1).labels
    assert set(np.unique(labels)) == set(LABEL_NAMES)
    column = np.broadcast_to(np.arange(64)[None, :, None], labels.shape)
    for label, name in LABEL_NAMES.items():
        if name.startswith("left"):
            right = {full: number for number, full in LABEL_NAMES.items()}[name.replace("left", "right")]
            assert column[labels == label].mean() < column[labels == right].mean()


def test_the_section_meets_both_sides_of_the_nuclei():
    names = {LABEL_NAMES[int(label)] for label in np.unique(phantom((96, 96), seed=1).labels)}
    assert {f"{side} {name}" for side in ("left", "right") for name in IN_SECTION} | {"background", "csf"} <= names


def test_structures_are_nested():
    labels = template((96, 96))[1]
    head = labels > 0
    assert not (ndimage.binary_erosion(head, iterations=2) ^ head)[labels > 3].any(), "white matter at the rim"
    assert ndimage.label(head)[1] == 1
    assert not (ndimage.binary_fill_holes(head) ^ head).any()


def test_edges_are_anti_aliased():
    """Halfway over an edge the intensity is halfway, whatever the grid."""
    x = np.linspace(0.15, 0.45, 301)
    points = np.stack([x, np.full_like(x, -0.1), np.full_like(x, 0.42)])
    labels, _, _ = paint(points, edge=1e-4)
    assert list(dict.fromkeys(labels.tolist())) == [5]
    rim = np.stack([np.zeros(2001), np.linspace(0.7, 1.0, 2001), np.full(2001, 0.09)])
    labels, image, coverage = paint(rim, edge=0.04)
    edge = np.flatnonzero(labels)[-1]
    assert coverage[edge] == pytest.approx(0.5, abs=0.01)
    assert image[edge] == pytest.approx(0.5 * INTENSITIES["csf"], rel=0.15)
    assert np.count_nonzero((coverage > 0.0) & (coverage < 1.0)) * 0.3 / 2000 == pytest.approx(0.04, rel=0.2)


def test_texture_moves_with_the_anatomy():
    """Within white matter, where no edge helps, the warped template still resembles the individual best."""
    individual = phantom((96, 96), seed=3, noise=0.0, bias=0.0)
    image, labels = template((96, 96))
    core = ndimage.binary_erosion(np.isin(individual.labels, (4, 5)), iterations=2)
    core &= ndimage.binary_erosion(np.isin(labels, (4, 5)), iterations=2)
    still = np.corrcoef(image[core], individual.image[core])[0, 1]
    warped = np.corrcoef(warp(image, individual.displacement, order=1)[core], individual.image[core])[0, 1]
    assert warped > 0.97 > still


@pytest.mark.parametrize("shape", [(64,), (8, 64), (64, 64, 15), (16, 16, 16, 16)], ids=str)
def test_other_shapes_are_refused(shape):
    for make in (phantom, template, lambda s: population(s, 1), lambda s: write_population("unused", s, 1, 1)):
        with pytest.raises(ValueError, match=r"2 or 3 axes of at least 16 voxels.*got shape \(.*Try"):
            make(shape)


def test_other_settings_are_refused():
    with pytest.raises(ValueError, match="not a number of voxels; got 3.0"):
        phantom((32, 32), magnitude=3.0)
    with pytest.raises(ValueError, match="magnitude"):
        phantom((32, 32), magnitude=float("nan"))
    with pytest.raises(ValueError, match="0 or more individuals; got -1"):
        population((32, 32), -1)
    with pytest.raises(ValueError, match="num_train and num_val are 0 or more; got 2 and -1"):
        write_population("unused", (32, 32), 2, -1)


def contents(directory):
    return {path.relative_to(directory).as_posix(): path for path in directory.rglob("*") if path.is_file()}


def test_write_population(tmp_path):
    directory = write_population(tmp_path / "deep" / "heads", (32, 40), num_train=2, num_val=1, seed=9)
    files = contents(directory)
    assert set(files) == {
        "phantoms.json",
        "train/phantom_000.npz",
        "train/phantom_001.npz",
        "val/phantom_002.npz",
    }
    individuals = population((32, 40), 3, 9)
    stored = [dict(np.load(files[name])) for name in sorted(set(files) - {"phantoms.json"})]
    for arrays, individual in zip(stored, individuals, strict=True):
        assert isinstance(individual, Phantom)
        assert arrays["vol"].dtype == arrays["seg"].dtype == "uint8" and arrays["displacement"].dtype == "float16"
        np.testing.assert_allclose(arrays["vol"] / 255.0, individual.image, atol=0.51 / 255.0)
        np.testing.assert_array_equal(arrays["seg"], individual.labels)
        np.testing.assert_allclose(arrays["displacement"], individual.displacement, atol=0.004)
    train, val = stored[0], stored[2]
    assert (train["vol"] != val["vol"]).mean() > 0.1


def test_write_population_leaves_what_is_there_and_mends_what_is_not(tmp_path):
    arguments = {"shape": (16, 16), "num_train": 2, "num_val": 1}
    files = contents(write_population(tmp_path, **arguments))

    def times():
        return {name: path.stat().st_mtime_ns for name, path in contents(tmp_path).items()}

    written = times()
    write_population(tmp_path, **arguments)
    assert times() == written, "a complete folder was written again"
    files["val/phantom_002.npz"].unlink()
    write_population(tmp_path, **arguments)
    assert set(times()) == set(written)
    assert all(times()[name] > written[name] for name in written)
    write_population(tmp_path, **arguments | {"num_train": 1})
    assert set(contents(tmp_path)) == {"phantoms.json", "train/phantom_000.npz", "val/phantom_001.npz"}
    assert json.loads((tmp_path / "phantoms.json").read_text())["num_train"] == 1


def test_an_interrupted_population_is_not_taken_for_a_complete_one(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("disk full")

    write_population(tmp_path, (16, 16), 1, 1, seed=0)
    with monkeypatch.context() as patch, pytest.raises(InputError, match="disk full"):
        patch.setattr(np, "savez_compressed", refuse)
        write_population(tmp_path, (16, 16), 1, 1, seed=1)
    assert "phantoms.json" not in contents(tmp_path)
    write_population(tmp_path, (16, 16), 1, 1, seed=1)
    expected = next(population((16, 16), 1, 1)).labels
    np.testing.assert_array_equal(np.load(tmp_path / "train" / "phantom_000.npz")["seg"], expected)
