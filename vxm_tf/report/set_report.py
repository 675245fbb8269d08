"""The report of a set of registered pairs: one HTML file with distributions, the worst cases and a table of all."""

import base64
import dataclasses
import heapq
import math
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from vxm_tf._version import __version__
from vxm_tf.data.padding import common_shape, crop_from, pad_to
from vxm_tf.files.json_file import write_text
from vxm_tf.metrics import correlation
from vxm_tf.report.markup import Raw, asset, facts, filled, table, text
from vxm_tf.report.panel import registration_panel
from vxm_tf.report.pictures import png
from vxm_tf.report.plots import histogram, label_boxes
from vxm_tf.report.registration_page import LIMIT_BYTES, page_head, versions

WORST = 6
# Largest width of the picture of a worst case, in pixels.
WIDEST = 900
ROWS = (5000, 2000, 500)
# Heading, function that reads the value from a `ReportedPair`, number format.
COLUMNS = (
    ("Dice before", lambda pair: pair.before.mean("dice"), "{:.4f}"),
    ("Dice", lambda pair: pair.after.mean("dice"), "{:.4f}"),
    ("HD95 before, mm", lambda pair: pair.before.mean("hausdorff95_mm"), "{:.2f}"),
    ("HD95, mm", lambda pair: pair.after.mean("hausdorff95_mm"), "{:.2f}"),
    ("Correlation before", lambda pair: pair.correlation[0], "{:.3f}"),
    ("Correlation", lambda pair: pair.correlation[1], "{:.3f}"),
    ("Folds, %", lambda pair: 100.0 * pair.after.fold_fraction, "{:.2g}"),
    ("Non-diff. volume, %", lambda pair: 100.0 * pair.after.non_diffeomorphic_volume, "{:.2g}"),
    ("SD log J", lambda pair: pair.after.log_jacobian_std, "{:.3f}"),
    ("Seconds", lambda pair: pair.after.seconds, "{:.2f}"),
)


@dataclasses.dataclass(frozen=True)
class ReportedPair:
    """One pair of the set.

    Attributes:
        before, after: `PairScores` of the images before and after registration.
        correlation: correlation with the fixed image of the moving and of the moved image.
    """

    before: Any
    after: Any
    correlation: tuple[float, float]

    @property
    def badness(self) -> tuple[int, float]:
        """Key that orders pairs, larger for worse ones.

        Pairs are ordered by their Dice. Pairs without segmentations count as better than all others and are ordered
        by their correlation.
        """
        dice, alike = self.after.mean("dice"), self.correlation[1]
        alike = -1.0 if math.isnan(alike) else alike
        return (0, -alike) if math.isnan(dice) else (1, -dice)


class SetReport:
    """Collects the scores of pairs one by one, and pictures of the worst ones only, so that memory stays small.

    Example:

    >>> report = SetReport()
    >>> report.pairs
    []
    """

    def __init__(self) -> None:
        self.pairs: list[ReportedPair] = []
        self._worst: list[tuple] = []

    def add(self, before: Any, after: Any, moving: np.ndarray, fixed: np.ndarray, result: Any) -> None:
        """Add one registered pair.

        Args:
            before, after: `PairScores` of the images before and after registration.
            moving, fixed: `[*spatial, channels]` in [0, 1]; their shapes may differ.
            result: the `Registration` of the pair, with `moved` and `displacement`.
        """
        # `register_pair` centres images of different shapes on each other in this way.
        centred = crop_from(pad_to(moving, common_shape(moving.shape[:-1], fixed.shape[:-1])), fixed.shape[:-1])
        images = centred, fixed, result.moved
        alike = _alike(centred, fixed), _alike(result.moved, fixed)
        pair = ReportedPair(before, after, alike)
        # The counter breaks ties, so that pictures are never compared.
        entry = (pair.badness, -len(self.pairs))
        self.pairs.append(pair)
        if len(self._worst) < WORST or entry > self._worst[0][:2]:
            keep = heapq.heappush if len(self._worst) < WORST else heapq.heappushpop
            keep(self._worst, (*entry, pair, _picture(*images, result.displacement)))

    def write(self, path: str | os.PathLike, settings: dict[str, Any]) -> None:
        """Write the page.

        Args:
            path: path of the page (.html).
            settings: settings of the evaluation, which the page lists.

        Raises:
            InputError: the file cannot be written.
        """
        for rows in ROWS:
            page = self.page(settings, rows)
            if len(page.encode()) <= LIMIT_BYTES:
                break
        write_text(path, page)

    def page(self, settings: dict[str, Any], max_rows: int = ROWS[0]) -> str:
        """The HTML of the report.

        Args:
            settings: settings of the evaluation, which the page lists.
            max_rows: largest number of pairs in the table; the worst pairs come first.
        """
        ordered = sorted(self.pairs, key=lambda pair: pair.badness, reverse=True)
        cases = "".join(_case(k, *entry[2:]) for k, entry in enumerate(sorted(self._worst, reverse=True), 1))
        columns = [c for c in COLUMNS if any(not math.isnan(c[1](pair)) for pair in self.pairs)]
        left_out = f"The worst {max_rows} of {len(ordered)} pairs. " if len(ordered) > max_rows else ""
        heading = f"{len(self.pairs)} registered pairs" if len(self.pairs) != 1 else "1 registered pair"
        return filled(
            "evaluation.html",
            head=page_head(heading),
            heading=heading,
            facts=_facts(self.pairs),
            plots="".join(_plots(self.pairs)),
            order=text(_order(self.pairs)),
            cases=cases,
            table_note=text(left_out),
            table=_table(ordered[:max_rows], columns),
            settings=table([(k, v) for k, v in settings.items() if v not in ("", (), None)]),
            versions=table({"vxm_tf": __version__, **versions()}.items()),
            footer=f"vxm_tf {text(__version__)}. This page is one file and loads nothing.",
            script=asset("table.js"),
        )


def _alike(image: np.ndarray, fixed: np.ndarray) -> float:
    """Mean of the correlations of the channels that two images share; NaN if all of them are constant."""
    channels = [correlation(*pair) for pair in zip(np.moveaxis(image, -1, 0), np.moveaxis(fixed, -1, 0))]
    varying = [value for value in channels if not math.isnan(value)]
    return float(np.mean(varying)) if varying else math.nan


def _picture(
    moving: np.ndarray, fixed: np.ndarray, moved: np.ndarray, displacement: np.ndarray
) -> tuple[bytes, tuple[int, int]]:
    picture = registration_panel(moving, fixed, moved, displacement, zoom=1, widest=WIDEST)
    height, width = picture.shape[:2]
    return png(picture), (height, width)


def _case(number_of: int, pair: Any, picture: tuple[bytes, tuple[int, int]]) -> str:
    data, (height, width) = picture
    name = f"{pair.after.moving} → {pair.after.fixed}"
    scores = [f"{heading} {form.format(find(pair))}" for heading, find, form in COLUMNS if not math.isnan(find(pair))]
    return (
        f'<article class="case" id="case-{number_of}"><h3>{number_of}. {text(name)}</h3>'
        f'<p class="note">{text(" · ".join(scores))}</p>'
        f'<img src="data:image/png;base64,{base64.b64encode(data).decode()}" width="{width}" height="{height}" '
        f'alt="{text(name)}: moving, fixed, moved, warped grid, difference before and after"></article>'
    )


def _order(pairs: Sequence[Any]) -> str:
    labelled = sum(not math.isnan(pair.after.mean("dice")) for pair in pairs)
    if labelled == len(pairs):
        return "Lowest Dice first."
    if not labelled:
        return "No pair has segmentations, so the lowest correlation with the fixed image comes first."
    bare = len(pairs) - labelled
    return f"Lowest Dice first; {bare} pair(s) without segmentations follow, lowest correlation first."


def _facts(pairs: Sequence[Any]) -> str:
    dice = [(pair.before.mean("dice"), pair.after.mean("dice")) for pair in pairs]
    dice = [both for both in dice if not any(map(math.isnan, both))]
    rows = [("Pairs", str(len(pairs)), "")]
    if dice:
        before, after = np.mean(dice, axis=0)
        count = f", of {len(dice)} of {len(pairs)} pairs" if len(dice) < len(pairs) else ""
        rows.append(("Mean Dice", f"{before:.3f} → {after:.3f}", f"before and after{count}"))
        rows.append(("Worse than before", str(sum(b > a for b, a in dice)), f"pairs whose Dice fell{count}"))
    rows.append(("Folding", str(sum(pair.after.non_diffeomorphic_volume > 0 for pair in pairs)), "pairs that fold"))
    seconds = [pair.after.seconds for pair in pairs if not math.isnan(pair.after.seconds)]
    if seconds:
        rows.append(("Time", f"{np.median(seconds):.2f} s", "a pair, median"))
    return facts(rows)


def _plots(pairs: Sequence[Any]) -> Iterator[str]:
    values = {heading: [find(pair) for pair in pairs] for heading, find, _ in COLUMNS}
    yield histogram("Dice", values["Dice"], values["Dice before"])
    yield histogram("HD95, mm", values["HD95, mm"], values["HD95 before, mm"])
    yield histogram("Correlation with the fixed image", values["Correlation"], values["Correlation before"])
    for heading in ("Non-diff. volume, %", "SD log J", "Seconds"):
        yield histogram(heading, values[heading])
    labels = sorted({label for pair in pairs for label in pair.after.labels})
    dice = {
        label: [
            [scores.labels[label]["dice"] for scores in side if label in scores.labels]
            for side in ([pair.before for pair in pairs], [pair.after for pair in pairs])
        ]
        for label in labels
    }
    yield label_boxes("Dice of each label", dice)


def _table(pairs: Any, columns: Any) -> str:
    head = '<th scope="col"><button type="button">Pair</button></th>' + "".join(
        f'<th scope="col"><button type="button">{text(heading)}</button></th>' for heading, _, _ in columns
    )
    rows = []
    for pair in pairs:
        cells = "".join(_cell(find(pair), form) for _, find, form in columns)
        rows.append(f'<tr><th scope="row">{text(pair.after.moving)} → {text(pair.after.fixed)}</th>{cells}</tr>')
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return Raw(f'<div class="wide"><table class="sortable">{body}</table></div>')


def _cell(value: Any, form: str) -> str:
    return "<td>–</td>" if math.isnan(value) else f"<td>{form.format(value)}</td>"
