"""A verdict on a registration without labels: pass, review or fail, and why."""

import dataclasses
import math

import numpy as np
from absl import logging

from vxm_tf.files.json_file import write_json
from vxm_tf.trust.gate.limits import LIMITS, MIRRORED, SAME_CONTRAST, UNLIKE
from vxm_tf.trust.gate.measures import measures_of

REVIEW, FAIL = 1.0, 2.0
# Where both agree as closely as this after registration, nothing is left that a mirror or a turn would explain.
CLOSE = 0.94
# Mirrored or turned, an image must fit at least so well for that to be the likelier explanation.
GOOD_FIT = 0.8
# A part of the misfit that does not go by chance.
CLEAR_GAIN = 0.2
# Explanations whose fits differ by less stand beside each other.
EVEN = 0.03


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What `judge` found.

    Attributes:
        verdict: "pass", "review" (a person should look at it) or "fail" (do not use it).
        reasons: a sentence for each measure that is unusual, the worst first: what was measured, what is usual, what
            to look at. Empty if it passes.
        score: how unusual the worst measure is, 0 and more: 1 is where review begins, 2 where fail does.
        measures: name to value, all that was measured; without unit but for what the name says.
    """

    verdict: str
    reasons: tuple
    score: float
    measures: dict


def judge(
    moving, fixed, displacement, certificate=None, uncertainty=None, *, same_contrast=True, spacing_mm=1.0
) -> Verdict:
    """Whether a registration looks sound, from the images and the displacement alone.

    Each measure has a value that is usual, one from which it should be reviewed, and one from which it fails
    (`gate_limits.LIMITS`); the score is that of the worst. It cannot tell a sound registration from one that is wrong
    only where the images show nothing, and seldom sees that left and right of a brain were swapped.

    Args:
        moving, fixed: float `[*spatial, channels]`, 1 to 3 axes, on one grid, already affinely aligned.
        displacement: `[*spatial, ndim]`, in voxels: moved(x) = moving(x + displacement(x)).
        certificate: a `Certificate` of it, whose failing voxels count as folds.
        uncertainty: anything with `displacement_std_mm`, `[*spatial]`.
        same_contrast: False for images of unlike contrast, of which only edges have to agree.
        spacing_mm: geometric mean of the voxel size; only `uncertainty` needs it.

    Raises:
        ValueError: other shapes, or values that are not finite.

    Example:

    >>> import numpy as np
    >>> from vxm_tf.data.synthetic import phantoms
    >>> from vxm_tf.trust import judge
    >>> image = phantoms.template((64, 64))[0][..., None]
    >>> still = np.zeros((64, 64, 2))
    >>> judge(image, image, still).verdict
    'pass'
    >>> judge(0 * image, image, still).reasons
    ('The moving image is blank: all of its voxels have one value. Look whether the right file was read.',)
    """
    moving, fixed, displacement = _checked(moving, fixed, displacement)
    measures = measures_of(moving, fixed, displacement, uncertainty, spacing_mm)
    if certificate is not None:
        failing = certificate.failing_voxels / math.prod(certificate.shape)
        measures["folds"] = max(measures["folds"], failing)
    return judged(measures, same_contrast)


def judged(measures: dict, same_contrast: bool = True) -> Verdict:
    """The verdict on what `gate_measures.measures_of` says."""
    for which in ("moving", "fixed"):
        if measures[f"{which}_empty"]:
            reason = f"The {which} image is blank: all of its voxels have one value. "
            return Verdict("fail", (reason + "Look whether the right file was read.",), 2 * FAIL, measures)
    found = {**measures, **_misplaced(measures, same_contrast)}
    scores = {name: limit.score(found[name]) for name, limit in LIMITS.items() if name in found}
    sentences = {name: LIMITS[name].sentence.format(**found) for name in scores}
    if not same_contrast:
        del scores["similarity"]
    elif scores["similarity"] >= FAIL and scores["edges"] < REVIEW:
        # The same places, in other shades: sound for images of unlike contrast, which nobody has said they are.
        scores["similarity"] = UNLIKE
        sentences["similarity"] = SAME_CONTRAST.format(**found)
    score = max(scores.values())
    unusual = sorted((name for name in scores if scores[name] >= REVIEW), key=lambda name: -scores[name])
    verdict = "pass" if score < REVIEW else "review" if score < FAIL else "fail"
    return Verdict(verdict, tuple(sentences[name] for name in unusual), float(score), found)


def log_verdict(verdict: Verdict):
    """Say it, on one line for the verdict and one for each reason."""
    say = logging.info if verdict.verdict == "pass" else logging.warning
    say("Verdict: %s (score %.2f; 1 is where review begins, 2 where fail does).", verdict.verdict, verdict.score)
    for reason in verdict.reasons:
        say("%s", reason)


def write_verdict(path, verdict: Verdict):
    """Write it as JSON."""
    write_json(path, dataclasses.asdict(verdict))


def _misplaced(measures, same_contrast):
    """Evidence, from -1 to 1, that the moving image came mirrored or turned; -1 where there cannot be any."""
    if measures["similarity"] >= CLOSE:
        return {"mirrored": -1.0, MIRRORED: 0, "turned": -1.0}

    def gain(fit):
        """The part of the misfit that would go."""
        return max((fit - measures["fit"]) / max(1.0 - measures["fit"], 0.02), -1.0) if fit >= GOOD_FIT else -1.0

    turned, fits = measures["turned_fit"], [measures[name] for name in measures if name.startswith("mirror_fit_")]
    best, evidence = max(turned, *fits), []
    for axis, fit in enumerate(fits):
        clear = gain(fit) if gain(fit) >= CLEAR_GAIN and fit >= best - EVEN else -1.0
        # Along an axis of symmetry both ways fit nearly alike, and only the asymmetric part tells them apart, whose
        # sign means nothing where contrasts differ.
        slight = measures[f"mirror_{axis}"] if same_contrast else -1.0
        evidence.append(max(slight, clear) if fit >= GOOD_FIT else -1.0)
    # Where several would do, it is the one that fits best.
    likely = [axis for axis, value in enumerate(evidence) if value >= CLEAR_GAIN]
    axis = max(likely, key=fits.__getitem__) if likely else int(np.argmax(evidence))
    return {"mirrored": evidence[axis], MIRRORED: axis, "turned": gain(turned) if turned >= best - EVEN else -1.0}


def _checked(moving, fixed, displacement):
    moving, fixed, displacement = (np.asarray(array) for array in (moving, fixed, displacement))
    shape = fixed.shape[:-1]
    if moving.shape[:-1] != shape or displacement.shape != (*shape, len(shape)) or not 1 <= len(shape) <= 3:
        raise ValueError(
            "Images are [*spatial, channels] with 1 to 3 axes on one grid, a displacement [*spatial, ndim]; got shapes "
            f"{moving.shape}, {fixed.shape} and {displacement.shape}."
        )
    if 0 in fixed.shape + moving.shape:
        raise ValueError(f"Images have at least one voxel; got shapes {moving.shape} and {fixed.shape}.")
    for name, array in (("moving image", moving), ("fixed image", fixed), ("displacement", displacement)):
        if not np.isfinite(array).all():
            raise ValueError(f"The {name} holds values that are NaN or infinite; clean it before it is judged.")
    return moving, fixed, displacement
