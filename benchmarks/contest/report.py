"""Tables, paired tests and the figure of a comparison."""

import itertools

import numpy as np
from scipy.stats import wilcoxon

from vxm_tf.evaluation.tables import summarise, write_rows
from vxm_tf.files.atomic import replace_atomically
from vxm_tf.files.json_file import write_json, write_text

RESAMPLES, SEED = 10_000, 0


def write_report(folder, entries, reference, settings):
    """Write all result files of a comparison; return the tables.

    Args:
        folder: output folder.
        entries: [(`PairScores`, {"seconds", "import_seconds", ...})], pair by pair within a tool.
        reference: name of the tool that the others are compared with.
        settings: settings to be recorded in `contest.json`.
    """
    tools = {name: list(group) for name, group in itertools.groupby(entries, lambda entry: entry[0].method)}
    scores = [row for row, _ in entries]
    write_rows(folder, scores)
    summary = summarise(scores)
    times = {name: seconds_of([measured for _, measured in group]) for name, group in tools.items()}
    compared = differences({name: [scores for scores, _ in group] for name, group in tools.items()}, reference)
    result = {"settings": settings, "reference": reference, "methods": {}}
    for name in tools:
        result["methods"][name] = {**summary[name], "seconds": times[name], "difference": compared.get(name)}
    write_json(folder / "contest.json", result)
    table, second = markdown(summary, times), difference_table(compared, reference)
    write_text(folder / "table.md", table)
    write_text(folder / "differences.md", second)
    figure(folder / "accuracy-and-seconds.png", summary, times)
    return f"{table}\n{second}"


def seconds_of(measured):
    """Seconds of the import, of the first call and, as a median, of the later calls; and peak memory."""
    return {
        "import": measured[-1]["import_seconds"],
        "first": measured[-1]["first_seconds"],
        "steady_median": float(np.median([entry["seconds"] for entry in measured])),
        "peak_memory_mib": max(entry["peak_memory_mib"] for entry in measured),
    }


def differences(tools, reference):
    """Difference between each tool's Dice and the reference's, pair by pair: mean, 95 % interval, Wilcoxon's p.

    The interval resamples people, not pairs: five people make twenty pairs, which are far from independent.
    """
    answer = {}
    for name, scores in tools.items():
        if name == reference or reference not in tools:
            continue
        others = {(other.moving, other.fixed): other.mean("dice") for other in tools[reference]}
        gains = {(own.moving, own.fixed): own.mean("dice") - others[own.moving, own.fixed] for own in scores}
        values = np.array(list(gains.values()))
        low, high = interval_over_people(gains)
        p = float(wilcoxon(values).pvalue) if np.any(values) else 1.0
        answer[name] = {"mean": float(values.mean()), "low": low, "high": high, "wilcoxon_p": p, "pairs": len(values)}
    return answer


def interval_over_people(gains):
    """95 % bootstrap interval of the mean of {(person, person): value}; people are resampled, not pairs."""
    people = sorted({person for pair in gains for person in pair})
    matrix = np.full((len(people), len(people)), np.nan)
    for (first, second), value in gains.items():
        matrix[people.index(first), people.index(second)] = value
    rng, means = np.random.default_rng(SEED), []
    for _ in range(RESAMPLES):
        drawn = rng.integers(len(people), size=len(people))
        values = matrix[np.ix_(drawn, drawn)]
        values = values[np.isfinite(values)]
        if len(values):
            means.append(values.mean())
    return tuple(float(bound) for bound in np.percentile(means, (2.5, 97.5)))


def markdown(summary, times):
    """Markdown table of accuracy, seconds and memory."""
    lines = [
        "| tool | pairs | Dice | HD95 mm | non-diff. % | SD log J | steady s | first s | import s | peak MiB |",
        "| --- |" + " ---: |" * 9,
    ]
    for name, row in summary.items():
        mean, clock = row["mean"], times[name]
        cells = [
            f"{row['pairs']}",
            f"{mean['dice']:.4f} ({row['std']['dice']:.4f})",
            f"{mean['hausdorff95_mm']:.2f}",
            f"{100 * mean['non_diffeomorphic_volume']:.5f}",
            f"{mean['log_jacobian_std']:.3f}",
            f"{clock['steady_median']:.2f}",
            f"{clock['first']:.2f}",
            f"{clock['import']:.1f}",
            f"{clock['peak_memory_mib']:.0f}",
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def difference_table(compared, reference):
    """Markdown table of the differences to the reference."""
    lines = [
        f"| Dice beside {reference} | pairs | mean difference | 95 % interval over people | Wilcoxon p |",
        "| --- |" + " ---: |" * 4,
    ]
    for name, row in compared.items():
        interval = f"{row['low']:+.4f} to {row['high']:+.4f}"
        lines.append(f"| {name} | {row['pairs']} | {row['mean']:+.4f} | {interval} | {row['wilcoxon_p']:.2g} |")
    return "\n".join(lines) + "\n"


def figure(path, summary, times):
    """Draw Dice against seconds per pair, for the tools that registered all pairs."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    drawing, axes = pyplot.subplots(figsize=(9, 5), layout="constrained")
    pairs = max(row["pairs"] for row in summary.values())
    best_first = sorted(summary, key=lambda name: -summary[name]["mean"]["dice"])
    marks = itertools.cycle("osD^vPX*<>hdp")
    for name in best_first:
        dice = summary[name]["mean"]["dice"]
        if name == "affine":
            axes.axhline(dice, color="0.6", linestyle=":", label=name)
        elif summary[name]["pairs"] == pairs:
            seconds = times[name]["steady_median"]
            axes.plot(seconds, dice, next(marks), markersize=9, alpha=0.75, linestyle="", label=name)
    axes.set(xscale="log", xlabel="seconds a pair, steady", ylabel=f"mean Dice over labels and {pairs} pairs")
    axes.margins(x=0.15, y=0.08)
    axes.grid(alpha=0.3)
    drawing.legend(loc="outside right upper")
    replace_atomically(path, lambda temporary: drawing.savefig(temporary, dpi=120, format="png"))
    pyplot.close(drawing)
