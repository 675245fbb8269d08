"""Tables and the figure of a comparison."""

import itertools

import numpy as np
from differences import difference_table, differences

from vxm_tf.evaluation.tables import summarise, write_rows
from vxm_tf.files.atomic import replace_atomically
from vxm_tf.files.json_file import write_json, write_text


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
    pairs = {name: {(row.moving, row.fixed): row.mean("dice") for row, _ in group} for name, group in tools.items()}
    compared = differences(pairs, reference)
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
