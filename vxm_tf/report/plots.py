"""Histograms and box plots as SVG, in the colours of the page around them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from vxm_tf.report.markup import Raw, number, text

BINS = 24
# Sizes in the units of each drawing, which the page scales.
WIDTH, HEIGHT, LEFT, BOTTOM = 420, 130, 10, 22
LABEL_ROW, LABEL_WIDTH, LABEL_LEFT = 18, 480, 46
MOST_LABELS = 120


def histogram(title: str, after: Iterable[float], before: Iterable[float] = ()) -> Raw:
    """A histogram of values after registration, with those before registration behind it.

    Args:
        title: name and unit of the values.
        after, before: values of all pairs; NaN is left out.
    """
    after, before = (np.array([v for v in values if np.isfinite(v)], "float64") for values in (after, before))
    if not after.size:
        return Raw("")
    both = np.concatenate([after, before])
    summary = f"Median {number(float(np.median(after)))}, {number(float(after.min()))} to {number(float(after.max()))}"
    if before.size:
        summary += f"; before {number(float(np.median(before)))}"
    drawing = _bars(title, after, before) if both.min() < both.max() else ""
    return Raw(f"<figure><figcaption>{text(title)}</figcaption><p>{text(summary)}.</p>{drawing}</figure>")


def _bars(title: str, after: np.ndarray, before: np.ndarray) -> str:
    both = np.concatenate([after, before])
    edges = np.linspace(both.min(), both.max(), BINS + 1)
    counts = {"before": np.histogram(before, edges)[0], "after": np.histogram(after, edges)[0]}
    highest = max(count.max() for count in counts.values())
    step = (WIDTH - 2 * LEFT) / BINS
    bars = "".join(
        f'<rect class="{name}" x="{LEFT + k * step:.1f}" y="{(1 - n / highest) * (HEIGHT - BOTTOM):.1f}" '
        f'width="{step - 1:.1f}" height="{n / highest * (HEIGHT - BOTTOM):.1f}"/>'
        for name, count in counts.items()
        for k, n in enumerate(count)
        if n
    )
    base = HEIGHT - BOTTOM
    ends = (
        f'<text x="{LEFT}" y="{HEIGHT - 6}">{number(float(edges[0]))}</text>'
        f'<text x="{WIDTH - LEFT}" y="{HEIGHT - 6}" text-anchor="end">{number(float(edges[-1]))}</text>'
    )
    line = f'<line class="axis" x1="{LEFT}" x2="{WIDTH - LEFT}" y1="{base}" y2="{base}"/>'
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Histogram: {text(title)}">{bars}{line}{ends}</svg>'
    )


def label_boxes(title: str, values: Mapping[int, Sequence[Iterable[float]]]) -> Raw:
    """A box plot with one row for each label: quartiles and median before and after registration.

    Args:
        title: name of the values.
        values: `{label: (before, after)}`, numbers in [0, 1]; NaN is left out.
    """
    finite = {label: [[v for v in part if np.isfinite(v)] for part in both] for label, both in values.items()}
    known = [(label, before, after) for label, (before, after) in finite.items() if after]
    if not known:
        return Raw("")
    worst = sorted(known, key=lambda row: np.median(row[2]))[:MOST_LABELS]
    height = LABEL_ROW * len(worst) + BOTTOM
    rows = "".join(_boxes(k, *row) for k, row in enumerate(worst))
    ticks = "".join(
        f'<text x="{_across(v):.1f}" y="{height - 6}" text-anchor="middle">{v:g}</text>'
        f'<line class="axis" x1="{_across(v):.1f}" x2="{_across(v):.1f}" y1="0" y2="{height - BOTTOM}"/>'
        for v in (0.0, 0.25, 0.5, 0.75, 1.0)
    )
    left_out = f" The lowest {MOST_LABELS} of {len(known)} labels." if len(known) > MOST_LABELS else ""
    note = f"The middle half of the pairs, and the median.{left_out}"
    size = f'viewBox="0 0 {LABEL_WIDTH} {height}"'
    drawing = f'<svg {size} role="img" aria-label="{text(title)}, for each label">{ticks}{rows}</svg>'
    return Raw(f'<figure class="broad"><figcaption>{text(title)}</figcaption><p>{note}</p>{drawing}</figure>')


def _across(value: float) -> float:
    return LABEL_LEFT + value * (LABEL_WIDTH - LABEL_LEFT - 16)


def _boxes(k: int, label: Any, before: Any, after: Any) -> str:
    top = k * LABEL_ROW
    drawn = [f'<text x="{LABEL_LEFT - 10}" y="{top + 13}" text-anchor="end">{text(label)}</text>']
    for name, part, shift in (("before", before, 2), ("after", after, 9)):
        if part:
            low, middle, high = (_across(v) for v in np.percentile(part, (25, 50, 75)))
            width = max(1.5, high - low)
            drawn.append(f'<rect class="{name}" x="{low:.1f}" y="{top + shift}" width="{width:.1f}" height="6"/>')
            drawn.append(
                f'<line class="middle" x1="{middle:.1f}" x2="{middle:.1f}" y1="{top + shift}" y2="{top + shift + 6}"/>'
            )
    return "".join(drawn)
