"""Puts the files in `benchmarks/results` together as `benchmarks/results/summary.md`.

python benchmarks/table.py
"""

import json
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"
PRESETS, PYRAMIDS = ("default", "fast"), ("small", "base")


def read(name):
    """A result file."""
    return json.loads((RESULTS / name).read_text())


def contest(name):
    """The tables of a run of `contest/run.py`."""
    return [(RESULTS / name / file).read_text() for file in ("table.md", "differences.md")]


def speed():
    """Seconds, memory and shares of the presets on one 160x192x224 pair."""
    prediction, process = read("prediction.json"), read("register-process.json")["presets"]
    shares = {(what, p): read(f"profile-{what}-{p}.json") for what in ("prediction", "training") for p in PRESETS}
    names = " | ".join(PRESETS + PYRAMIDS)
    lines = [
        f"| one 160x192x224 pair, {prediction['cores']} cores | {names} | VoxelMorph 0.3.4, torch |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    seconds, ratios = prediction["median_seconds"], prediction["median_ratio_to_torch"]
    lines += [
        _row("steady prediction, s", [f"{seconds[p]:.2f}" for p in (*PRESETS, *PYRAMIDS, "torch")]),
        _row("ratio to torch", [f"{ratios[p]:.2f}" for p in (*PRESETS, *PYRAMIDS)] + ["1"]),
        _row("whole `register.py` process, s", [f"{process[p]['median_seconds']:.1f}" for p in PRESETS] + [""] * 3),
        _row("its peak memory, MiB", [f"{process[p]['peak_memory_mib']:.0f}" for p in PRESETS] + [""] * 3),
    ]
    for what in ("prediction", "training"):
        sizes = "x".join(map(str, shares[what, "fast"]["shape"]))
        cells = [f"{100 * shares[what, p]['convolution_share']:.0f} %" for p in PRESETS] + [""] * 3
        lines.append(_row(f"convolutions' share of a {what} step ({sizes})", cells))
    return lines


def _row(heading, cells):
    return f"| {heading} | " + " | ".join(cells) + " |"


def main():
    lncc = read("lncc.json")
    size = "x".join(map(str, lncc["shape"]))
    text = "\n".join([*contest("contest-2mm"), *contest("contest-1mm"), *speed(), ""]) + (
        f"\nLNCC with gradient, window {lncc['window']}, {size}: {lncc['median_seconds']['ours']:.3f} s, "
        f"{lncc['median_speedup']:.0f} times faster than the same with `avg_pool3d`.\n"
    )
    (RESULTS / "summary.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
