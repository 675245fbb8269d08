"""A verdict on a registration without labels: pass, review or fail, and why."""

import dataclasses
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import logging

from vxm_tf.files.json_file import write_json
from vxm_tf.trust.folds.certificate import Certificate
from vxm_tf.trust.gate.measure_limits import LIMITS, MIRRORED, SAME_CONTRAST, UNLIKE
from vxm_tf.trust.gate.measures import Spread, measures_of

REVIEW, FAIL = 1.0, 2.0
# Similarity after registration above which mirroring or rotation is ruled out.
CLOSE = 0.94
# Smallest fit of the mirrored or rotated image at which mirroring or rotation is a likely explanation.
GOOD_FIT = 0.8
# Fraction of the misfit whose disappearance is not due to chance.
CLEAR_GAIN = 0.2
# Between unlike contrasts edges lie a little elsewhere, so the same unrest counts for less.
UNLIKE_REST = 0.5
# Explanations whose fits differ by less than this count as equally good.
EVEN = 0.03


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Verdict on one registration, made by `judge`.

    Attributes:
        verdict: "pass", "review" (a person should look at it) or "fail" (do not use it).
        reasons: a sentence for each unusual measure, the worst first, with its value, its usual value and advice where
            to look; empty if the registration passes.
        score: how unusual the worst measure is, 0 or more; "review" begins at 1 and "fail" at 2.
        measures: value of every measure by name; a measure whose name holds no unit has none.
    """

    verdict: str
    reasons: tuple[str, ...]
    score: float
    measures: dict[str, float]


def judge(
    moving: np.ndarray,
    fixed: np.ndarray,
    displacement: np.ndarray,
    certificate: Certificate | None = None,
    uncertainty: Spread | None = None,
    *,
    same_contrast: bool = True,
    spacing_mm: float | Sequence[float] | np.ndarray = 1.0,
) -> Verdict:
    """Judge whether a registration looks sound, from the images and the displacement alone.

    Each measure has a usual value, a value from which on the registration should be reviewed, and one from which on it
    fails (`measure_limits.LIMITS`); the score is that of the worst measure. A sound registration is at rest: a few
    steps of optimisation, made here whatever program registered the pair, hardly move it. A registration that is wrong
    only where the images show nothing cannot be distinguished from a sound one, and swapped left and right sides of a
    brain are seldom noticed.

    Args:
        moving, fixed: float `[*spatial, channels]`, 1 to 3 axes, on one grid, already affinely aligned.
        displacement: `[*spatial, ndim]`, in voxels: moved(x) = moving(x + displacement(x)).
        certificate: certificate of the displacement; the voxels that fail it, or the cubes if they are more, count as
            folds.
        uncertainty: estimate of the uncertainty, anything with `displacement_std_mm`, `[*spatial]`.
        same_contrast: whether the images have the same contrast; if not, only their edges have to agree.
        spacing_mm: voxel size in millimetres: one for all axes, one for each, or the linear part of the grid's affine
            matrix.

    Raises:
        ValueError: shapes that do not match, values that are not finite, or voxel sizes of another number of axes.

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
        failing = max(certificate.failing_voxels, certificate.trilinear.unproven_cubes)
        measures["folds"] = max(measures["folds"], failing / math.prod(certificate.shape))
    return judged(measures, same_contrast)


def judged(measures: dict[str, float], same_contrast: bool = True) -> Verdict:
    """The verdict on the measures that `measures_of` computes.

    Args:
        measures: value of each measure by name.
        same_contrast: see `judge`.
    """
    for which in ("moving", "fixed"):
        if measures[f"{which}_empty"]:
            reason = f"The {which} image is blank: all of its voxels have one value. "
            return Verdict("fail", (reason + "Look whether the right file was read.",), 2 * FAIL, measures)
    measures = {**measures, **_misplaced(measures, same_contrast)}
    scores = {name: limit.score(measures[name]) for name, limit in LIMITS.items() if name in measures}
    sentences = {name: LIMITS[name].sentence.format(**measures) for name in scores}
    # Edges agree and brightness does not: sound if the contrasts are unlike, which the caller may not have stated.
    unlike = scores["similarity"] >= FAIL and scores["edges"] < REVIEW
    if unlike or not same_contrast:
        scores["unrest"] = LIMITS["unrest"].score(UNLIKE_REST * measures["unrest"])
    if not same_contrast:
        del scores["similarity"]
    elif unlike:
        scores["similarity"] = UNLIKE
        sentences["similarity"] = SAME_CONTRAST.format(**measures)
    score = max(scores.values())
    unusual = sorted((name for name in scores if scores[name] >= REVIEW), key=lambda name: -scores[name])
    verdict = "pass" if score < REVIEW else "review" if score < FAIL else "fail"
    return Verdict(verdict, tuple(sentences[name] for name in unusual), float(score), measures)


def log_verdict(verdict: Verdict) -> None:
    """Log a verdict on one line and each of its reasons on another, as warnings unless it is a pass."""
    log = logging.info if verdict.verdict == "pass" else logging.warning
    log("Verdict: %s (score %.2f; 1 is where review begins, 2 where fail does).", verdict.verdict, verdict.score)
    for reason in verdict.reasons:
        log("%s", reason)


def write_verdict(path: str | os.PathLike, verdict: Verdict) -> None:
    """Write a verdict as a JSON file."""
    write_json(path, dataclasses.asdict(verdict))


def _misplaced(measures: dict[str, float], same_contrast: bool) -> dict[str, Any]:
    """Evidence, from -1 to 1, that the moving image is mirrored or rotated; -1 where there cannot be any."""
    if measures["similarity"] >= CLOSE:
        return {"mirrored": -1.0, MIRRORED: 0, "turned": -1.0}

    def gain(fit: float) -> float:
        """Fraction of the misfit that a better fit would remove; -1 if the fit is not good."""
        return max((fit - measures["fit"]) / max(1.0 - measures["fit"], 0.02), -1.0) if fit >= GOOD_FIT else -1.0

    turned, fits = measures["turned_fit"], [measures[name] for name in measures if name.startswith("mirror_fit_")]
    best = max(turned, *fits)
    evidence: list[float] = []
    for axis, fit in enumerate(fits):
        clear = gain(fit) if gain(fit) >= CLEAR_GAIN and fit >= best - EVEN else -1.0
        # Along an axis of symmetry both ways fit nearly alike, and only the asymmetric part decides; its sign
        # means nothing where contrasts differ.
        slight = measures[f"mirror_{axis}"] if same_contrast else -1.0
        evidence.append(max(slight, clear) if fit >= GOOD_FIT else -1.0)
    # Of several likely axes, the one with the best fit is reported.
    likely = [axis for axis, value in enumerate(evidence) if value >= CLEAR_GAIN]
    axis = max(likely, key=fits.__getitem__) if likely else int(np.argmax(evidence))
    return {"mirrored": evidence[axis], MIRRORED: axis, "turned": gain(turned) if turned >= best - EVEN else -1.0}


def _checked(
    moving: np.ndarray, fixed: np.ndarray, displacement: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three arrays, if their shapes match and every value is finite."""
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
