"""The verdict without labels: phantoms whose true deformation is known pass, and each way to spoil one is found."""

import dataclasses
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from vxm_tf.data.synthetic import phantoms
from vxm_tf.files import InputError
from vxm_tf.trust import certify, judge
from vxm_tf.trust.gate.measure_limits import LIMITS
from vxm_tf.trust.gate.measures import measures_of
from vxm_tf.workflows import register_files
from vxm_tf.workflows.register_config import files_and_settings

SIZES = {"2-D": (96, 96), "3-D": (48, 48, 48)}
WHITE = 0.75


@pytest.fixture(scope="module", params=SIZES)
def pair(request):
    """(moving, fixed, displacement): the template, an individual, and what aligns them."""
    shape = SIZES[request.param]
    individual = phantoms.phantom(shape, seed=4)
    return phantoms.template(shape)[0][..., None], individual.image[..., None], individual.displacement


def flipped(image, rng):
    return np.flip(image, 0)


def turned(image, rng):
    return ndimage.rotate(image, 30.0, (0, 1), reshape=False, order=1)


def without_slab(image, rng):
    size = image.shape[0]
    return np.where((np.arange(size) // (size // 4) == 1).reshape(-1, *[1] * (image.ndim - 1)), 0.0, image)


def inverted(image, rng):
    return np.where(image > 0.02, 1.0 - image, 0.0)


def something_else(image, rng):
    smooth = ndimage.gaussian_filter(rng.random(image.shape[:-1]), 3.0)[..., None]
    return (smooth - smooth.min()) / np.ptp(smooth)


def noisy(image, rng):
    real, imaginary = 0.3 * WHITE * rng.standard_normal((2, *image.shape))
    return np.hypot(image + real, imaginary)


SPOILED = {
    flipped: "Mirrored along axis 0",
    turned: "Turned by 30 degrees",
    without_slab: "nothing near it in the moving image",
    inverted: "brightness does not",
    something_else: "images are unlike",
    noisy: "noisy",
    lambda image, rng: 0.0 * image: "The moving image is blank",
}


def test_a_true_deformation_passes(pair):
    found = judge(*pair, certify(pair[2]))
    assert found.verdict == "pass" and found.reasons == () and 0.0 <= found.score < 0.6


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda spoil: spoil.__name__.strip("<>"))
def test_a_spoiled_image_is_found_and_the_reason_is_the_right_one(pair, rng, spoil):
    moving, fixed, displacement = pair
    found = judge(spoil(moving, rng), fixed, displacement)
    assert found.verdict in ("review", "fail") and found.score >= 1.0
    assert any(SPOILED[spoil] in reason for reason in found.reasons), found.reasons


def test_a_blank_or_unrelated_image_fails(pair, rng):
    moving, fixed, displacement = pair
    for broken in (0.0 * moving, something_else(moving, rng)):
        assert judge(broken, fixed, displacement).verdict == "fail"
    assert judge(moving, 0.0 * fixed, displacement).reasons[0].startswith("The fixed image is blank")


def test_unlike_contrast_is_to_be_reviewed_unless_it_is_meant(pair, rng):
    moving, fixed, displacement = pair
    assert judge(inverted(moving, rng), fixed, displacement).verdict == "review"
    assert judge(inverted(moving, rng), fixed, displacement, same_contrast=False).verdict == "pass"


def test_where_nothing_was_aligned_the_score_is_higher(pair):
    moving, fixed, displacement = pair
    found, unaligned = judge(moving, fixed, displacement), judge(moving, fixed, 0.0 * displacement)
    assert unaligned.measures["similarity"] < found.measures["similarity"] - 0.05
    assert unaligned.score > found.score


@pytest.mark.parametrize("factor", (0.5, 40.0))
def test_brightness_and_its_scale_do_not_matter(pair, factor):
    moving, fixed, displacement = pair
    found, scaled = judge(moving, fixed, displacement), judge(factor * moving + 3.0, fixed, displacement)
    assert scaled.score == pytest.approx(found.score, abs=1e-3)


def test_voxels_of_half_the_size_give_the_same_verdict(pair):
    moving, fixed, displacement = pair
    finer = list(pair)
    for axis in range(fixed.ndim - 1):
        finer = [np.repeat(array, 2, axis) for array in finer]
    coarse, fine = measures_of(*pair), measures_of(*finer[:2], 2.0 * finer[2])
    for name in ("similarity", "edges", "missing", "displacement", "volume_change", "turn_degrees", "fit"):
        assert fine[name] == pytest.approx(coarse[name], abs=0.05), name


def turning(shape, degrees):
    """The displacement of a turn about the middle, in the plane of the first two axes."""
    centre, angle = (np.array(shape) - 1) / 2, np.radians(degrees)
    rotation = np.eye(len(shape))
    rotation[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return (np.moveaxis(np.indices(shape), 0, -1) - centre) @ (rotation - np.eye(len(shape))).T


@pytest.mark.parametrize("degrees", (-40.0, 5.0, 25.0))
def test_the_turn_of_a_displacement_is_measured(pair, degrees):
    moving, fixed, displacement = pair
    measures = judge(moving, fixed, turning(fixed.shape[:-1], degrees)).measures
    assert measures["turn_degrees"] == pytest.approx(abs(degrees), abs=0.5)


def test_a_displacement_that_crushes_is_found(pair):
    moving, fixed, _ = pair
    squeeze = 3.0 * (np.moveaxis(np.indices(fixed.shape[:-1]), 0, -1) - fixed.shape[0] / 2)
    found = judge(moving, fixed, squeeze)
    assert found.verdict == "fail" and found.measures["volume_change"] == 1.0
    assert any("grow or shrink" in reason for reason in found.reasons)


def test_folds_that_only_the_certificate_sees_count(pair):
    moving, fixed, displacement = pair
    checkerboard = np.indices(fixed.shape[:-1]).sum(axis=0) % 2
    jumping = displacement + 0.6 * checkerboard[..., None]
    certificate = certify(jumping)
    assert not certificate.passes
    assert any("folds" in reason for reason in judge(moving, fixed, jumping, certificate).reasons)


def test_folds_between_the_voxels_count(trilinear_fold):
    shape = trilinear_fold.shape[:-1]
    image = np.random.default_rng(0).random((*shape, 1))
    certificate = certify(trilinear_fold)
    assert certificate.failing_voxels == 0
    assert judge(image, image, trilinear_fold, certificate).measures["folds"] >= 1 / np.prod(shape)


def test_an_uncertain_displacement_is_one_more_reason(pair):
    @dataclasses.dataclass
    class Uncertainty:
        displacement_std_mm: np.ndarray

    moving, fixed, displacement = pair
    for std_mm, spacing_mm, expected in ((0.2, 2.0, "pass"), (8.0, 2.0, "review"), (8.0, 20.0, "pass")):
        uncertainty = Uncertainty(np.full(fixed.shape[:-1], std_mm))
        found = judge(moving, fixed, displacement, uncertainty=uncertainty, spacing_mm=spacing_mm)
        assert found.verdict == expected
        assert any("uncertain" in reason for reason in found.reasons) == (expected != "pass")


ODD = [(1,), (2,), (7,), (1, 1), (1, 40), (3, 2), (33, 5), (1, 1, 1), (2, 2, 2), (4, 1, 9), (5, 6, 40)]
FILLED = {
    "random": lambda rng, shape: rng.random(shape),
    "constant": lambda rng, shape: np.full(shape, 0.7),
    "two values": lambda rng, shape: (rng.random(shape) > 0.5).astype("uint8"),
    "one bright voxel": lambda rng, shape: np.arange(np.prod(shape)).reshape(shape) == 0,
    "far from 0 to 1": lambda rng, shape: 1e6 * rng.standard_normal(shape),
}


@pytest.mark.parametrize("shape", ODD, ids=str)
def test_odd_images_get_a_verdict_too(rng, shape):
    for moving, fixed in itertools.product(FILLED.values(), repeat=2):
        images = moving(rng, (*shape, 2)), fixed(rng, (*shape, 1))
        for scale in (0.0, 5.0):
            found = judge(*images, scale * rng.standard_normal((*shape, len(shape))))
            assert found.verdict in ("pass", "review", "fail") and np.isfinite(found.score)
            assert np.isfinite(list(found.measures.values())).all()
            assert bool(found.reasons) == (found.verdict != "pass")


def test_reasons_are_sentences_for_people(pair, rng):
    said = [reason for spoil in SPOILED for reason in judge(spoil(pair[0], rng), *pair[1:]).reasons]
    said += [limit.sentence for limit in LIMITS.values()]
    for reason in said:
        assert reason[0].isupper() or reason[0] in "{0123456789"
        assert reason.endswith(".") and "Look" in reason and len(reason) < 330
        assert not re.search(r"NCC|Jacobian|logit|AUROC|nan", reason)


def test_limits_lie_in_order():
    for limit in LIMITS.values():
        assert [limit.score(value) for value in (limit.usual, limit.review, limit.fail)] == pytest.approx([0, 1, 2])
        assert limit.score(2 * limit.usual - limit.review) == 0.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m, f, u: (m[1:], f, u), "one grid"),
        (lambda m, f, u: (m, f, u[..., :1]), "one grid"),
        (lambda m, f, u: (m[..., 0], f[..., 0], u), "one grid"),
        (lambda m, f, u: (m[:0], f[:0], u[:0]), "at least one voxel"),
        (lambda m, f, u: (m * np.nan, f, u), "moving image holds values that are NaN"),
        (lambda m, f, u: (m, f, u / 0.0), "displacement holds values that are NaN"),
    ],
)
def test_what_cannot_be_judged_is_refused(pair, change, said):
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=said):
        judge(*change(*pair))


SHAPE = (17, 18, 19)


@pytest.fixture
def job(tmp_path, rng, write_nibabel, constant_network):
    """Options of one registration, of a network that deforms nothing and two images that are one."""
    constant_network(SHAPE, (0.0, 0.0, 0.0)).save(tmp_path / "model.keras")
    image = ndimage.gaussian_filter(rng.random(SHAPE), 1.5).astype("float32")
    files = {name: write_nibabel(f"{name}.nii.gz", image) for name in ("moving", "fixed")}
    files |= {"model": tmp_path / "model.keras", "gate": tmp_path / "out" / "gate.json"}
    return {name: str(path) for name, path in files.items()}


def test_a_registration_in_files_writes_its_verdict(job, write_nibabel, caplog):
    result = register_files(*files_and_settings(**job))
    written = json.loads(Path(job["gate"]).read_text())
    assert written == json.loads(json.dumps(dataclasses.asdict(result.verdict())))
    assert written["verdict"] == "pass" and set(written) == {"verdict", "reasons", "score", "measures"}
    job["moving"] = str(write_nibabel("other.nii.gz", np.random.default_rng(9).random(SHAPE, "float32")))
    result = register_files(*files_and_settings(**job))
    assert json.loads(Path(job["gate"]).read_text())["verdict"] == result.verdict().verdict == "fail"


def test_a_folder_of_outputs_holds_the_verdict_everywhere_it_belongs(job, tmp_path):
    given = {name: job[name] for name in ("moving", "fixed", "model")}
    result = register_files(*files_and_settings(**given, output_dir=str(tmp_path / "o")))
    expected = json.loads(json.dumps(dataclasses.asdict(result.verdict())))
    read = {path.name: json.loads(path.read_text()) for path in (tmp_path / "o").glob("*.json")}
    assert read["from-moving_to-fixed_desc-gate_xfm.json"] == expected
    assert read["from-moving_to-fixed_desc-certificate_xfm.json"]["verdict"] == expected
    assert read["from-moving_to-fixed_mode-image_xfm.json"]["Verdict"] == expected


def test_the_verdict_is_on_the_grid_that_was_worked_on(job):
    result = register_files(*files_and_settings(**job, spacing_mm=3.0))
    assert [image.shape[:-1] for image in result.working_images] == [result.working_grid.shape] * 2
    assert result.working_displacement.shape[:-1] == result.working_grid.shape


def test_a_place_that_cannot_be_written_is_refused_before_the_work(job, tmp_path):
    for path, reason in ((tmp_path / "x.txt", "ends in .json"), (Path("/proc/x.json"), "cannot be written")):
        with pytest.raises(InputError, match=reason):
            register_files(*files_and_settings(**{**job, "gate": str(path), "moving": "gone.nii.gz"}))
