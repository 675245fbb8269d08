"""Distributions as SVG, in the colours of the page that they stand in."""

import numpy as np

from vxm_tf.report.markup import Raw, number, text

BINS = 24
# Of the drawing, in units of its own; the page scales it.
WIDTH, HEIGHT, LEFT, BOTTOM = 420, 130, 10, 22
LABEL_ROW, LABEL_WIDTH, LABEL_LEFT = 18, 480, 46
MOST_LABELS = 120


def histogram(title: str, after, before=()) -> Raw:
    """A figure: how often values occur after registration, and before it where that is known.

    Args:
        title: what they are, with the unit.
        after, before: values; those that are NaN are left out.
    """
    after, before = (np.array([v for v in values if np.isfinite(v)], "float64") for values in (after, before))
    if not after.size:
        return Raw("")
    both = np.concatenate([after, before])
    said = f"Median {number(float(np.median(after)))}, {number(float(after.min()))} to {number(float(after.max()))}"
    if before.size:
        said += f"; before {number(float(np.median(before)))}"
    drawing = _bars(title, after, before) if both.min() < both.max() else ""
    return Raw(f"<figure><figcaption>{text(title)}</figcaption><p>{text(said)}.</p>{drawing}</figure>")


def _bars(title, after, before):
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


def label_boxes(title: str, values) -> Raw:
    """A figure with one row a label: the middle half of its values, and their median, before and after.

    Args:
        title: what they are.
        values: `{label: (before, after)}`, sequences of numbers in [0, 1].
    """
    values = {label: [[v for v in part if np.isfinite(v)] for part in both] for label, both in values.items()}
    known = [(label, *both) for label, both in values.items() if both[1]]
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
    said = f"The middle half of the pairs, and the median.{left_out}"
    size = f'viewBox="0 0 {LABEL_WIDTH} {height}"'
    drawing = f'<svg {size} role="img" aria-label="{text(title)}, for each label">{ticks}{rows}</svg>'
    return Raw(f'<figure class="broad"><figcaption>{text(title)}</figcaption><p>{said}</p>{drawing}</figure>')


def _across(value):
    return LABEL_LEFT + value * (LABEL_WIDTH - LABEL_LEFT - 16)


def _boxes(k, label, before, after):
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
