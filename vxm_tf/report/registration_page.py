"""The report of one registration: one HTML file that needs neither a network nor other files."""

import base64
import os
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from vxm_tf._version import __version__
from vxm_tf.files.json_file import write_text
from vxm_tf.metrics import correlation, foreground
from vxm_tf.report.certificate_table import certificate_section, fold_sentences
from vxm_tf.report.contents import ReportContents, contents_of
from vxm_tf.report.markup import FOLDER, Raw, asset, facts, filled, number, table, text
from vxm_tf.report.pictures import colour_bars, data_url, still_views
from vxm_tf.report.planes import Plane, planes_of
from vxm_tf.report.viewer_data import viewer_data

LIMIT_BYTES = 5_800_000
# Numbers of voxels to try; the first one that keeps the page below the limit is taken.
VOXELS = (1_600_000, 1_100_000, 800_000, 550_000, 350_000, 200_000, 100_000)
# The page may run scripts and show pictures that are part of it; it may load nothing.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; "
    "form-action 'none'"
)
NIIVUE = FOLDER / "vendor" / "niivue.umd.js.gz"
BADGES = {"pass": ("good", "Pass"), "review": ("warn", "Review"), "fail": ("bad", "Fail")}
PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "scikit-image", "nibabel")


def write_registration_report(path: str | os.PathLike, result: Any, certificate: dict[str, Any]) -> None:
    """Write the report of one registration.

    Args:
        path: path of the page (.html).
        result: the registration, as `register_files` and `register_images` return it; its `uncertainty` and `verdict`
            are shown if it has them.
        certificate: the certificate of this registration, in the form of its JSON file.

    Raises:
        InputError: the file cannot be written.
    """
    for max_voxels in VOXELS:
        page = registration_page(contents_of(result, certificate, max_voxels))
        if len(page.encode()) <= LIMIT_BYTES:
            break
    write_text(path, page)


def registration_page(contents: ReportContents) -> str:
    """The HTML of the report of one registration."""
    moving, fixed = map(text, contents.names)
    three_d = contents.grid.ndim == 3
    return filled(
        "registration.html",
        head=page_head(f"{moving} → {fixed}"),
        heading=f'{moving} <span class="arrow">→</span> {fixed}',
        badge=_badge(contents),
        facts=_facts(contents),
        pictures_note=_note(contents),
        stills="".join(_stills(contents, plane) for plane in planes_of(contents.grid.ndim, contents.placed))
        + _colour_bars(contents),
        solid=filled("solid.html", niivue=base64.b64encode(NIIVUE.read_bytes()).decode()) if three_d else "",
        certificate=certificate_section(contents.certificate),
        gate=_gate(contents.verdict),
        files=_files(contents.certificate),
        made=_made(contents),
        footer=f"vxm_tf {text(__version__)}. This page is one file and loads nothing.",
        volumes=viewer_data(contents),
        script=asset("viewer.js"),
    )


def page_head(title: str) -> str:
    """The HTML before the body of every page.

    Args:
        title: title of the page, as HTML.
    """
    return filled("head.html", policy=POLICY, title=title, style=asset("page.css"))


def badge(kind: str, word: str, sentences: Iterable[str]) -> Raw:
    """The HTML of a verdict.

    Args:
        kind: "good", "warn" or "bad", which gives the colour.
        word: the verdict in a word or two.
        sentences: the reasons.
    """
    reasons = "".join(f"<li>{text(sentence)}</li>" for sentence in sentences)
    listed = f"<ul>{reasons}</ul>" if reasons else ""
    return Raw(f'<div class="badge {kind}"><strong>{text(word)}</strong>{listed}</div>')


def _badge(contents: ReportContents) -> Raw:
    verdict, folds = contents.verdict, _folds(contents.certificate)
    if verdict is not None:
        kind, word = BADGES.get(verdict.verdict, ("warn", verdict.verdict))
        kind = "warn" if folds and kind == "good" else kind
        return badge(kind, word, [*verdict.reasons, *(folds or ["Folds nowhere."])])
    if folds:
        return badge("bad", "Folds", folds)
    return badge("good", "Folds nowhere", ["Whether the images are well aligned was not judged: see the pictures."])


def _folds(certificate: dict[str, Any]) -> list[str]:
    """A sentence for each direction and criterion that fails."""
    parts = {"transform": "transform", "inverse_transform": "inverse transform"}
    return [
        sentence
        for key, name in parts.items()
        if key in certificate
        for sentence in fold_sentences(certificate[key], name)
    ]


def _facts(contents: ReportContents) -> str:
    lengths = np.linalg.norm(contents.displacement * np.array(contents.grid.spacing_mm, "float32"), axis=-1)
    transform = contents.certificate["transform"]
    before, after = (correlation(image, contents.fixed) for image in (contents.moving, contents.moved))
    rows = [
        ("Displacement", f"{number(float(lengths.mean()))} mm", f"mean; at most {number(float(lengths.max()))} mm"),
        ("Correlation with the fixed image", f"{before:.3f} → {after:.3f}", "before and after"),
        (
            "Local volume",
            f"{number(transform['smallest_determinant'])} to {number(transform['largest_determinant'])}",
            "smallest and largest determinant",
        ),
        ("Time", f"{sum(contents.seconds.values()):.1f} s", _parts(contents)),
    ]
    if contents.uncertainty_mm is not None:
        rows[1:1] = _uncertainty(contents)
    return facts(rows)


def _uncertainty(contents: Any) -> list[tuple[str, str, str]]:
    """The facts about the uncertainty in the fixed image's foreground; in the background it is meaningless."""
    shown = foreground(contents.fixed)
    shown = shown if shown.any() else np.ones_like(shown)
    median, most = (number(float(value)) for value in np.percentile(contents.uncertainty_mm[shown], (50, 95)))
    rows = [("Uncertainty", f"{median} mm", f"median of what the fixed image shows; 95 % below {most} mm")]
    if contents.error_bound_mm is not None:
        bound, part = number(float(np.median(contents.error_bound_mm[shown]))), number(100 * contents.coverage)
        meaning = f"median; {part} % of true displacements lie within, as calibrated"
        if contents.beyond:
            reasons = "; ".join(contents.beyond)
            meaning = f"median; promised for {part} % of true displacements, but this pair lies outside: {reasons}"
        rows.append(("Error bound", f"{bound} mm", meaning))
    return rows


def _parts(contents: ReportContents) -> str:
    parts = [f"{name} {seconds:.1f} s" for name, seconds in contents.seconds.items()]
    return ", ".join(parts + ([f"{contents.steps} steps"] if contents.steps else []))


def _note(contents: ReportContents) -> str:
    sentences = ["Moving is shown after the affine part alone, moved after the whole transform."]
    if contents.channels > 1:
        sentences.append(f"Pictures and correlation are of the first of {contents.channels} channels.")
    if not np.any(contents.displacement):
        sentences.append("Nothing was deformed: both are the same.")
    if contents.grid.shape != contents.worked_on.shape:
        finer = " x ".join(f"{size:.2g}" for size in contents.worked_on.spacing_mm)
        shown = " x ".join(f"{size:.2g}" for size in contents.grid.spacing_mm)
        sentences.append(
            f"Pictures are at {shown} mm to keep this page small; the registration was computed at {finer} mm."
        )
    sentences.append(
        "The warped grid has lines of the moving image. Jacobian determinants are those of the deformation alone."
    )
    if abs(contents.affine_volume - 1.0) > 5e-4:
        sentences.append(f"The affine part makes everything {contents.affine_volume:.3g} times as large.")
    sentences.append("Pink voxels fail the certificate.")
    return text(" ".join(sentences))


def _stills(contents: ReportContents, plane: Plane) -> str:
    name = plane.name if plane.axis is None else f"{plane.name}, middle slice"
    width, height = (contents.grid.spacing_mm[axis] * contents.grid.shape[axis] for axis in (plane.across, plane.up))
    figures = "".join(
        f'<figure><img src="{data_url(view)}" alt="{text(f"{caption}, {name}")}" data-view="{text(caption)}" '
        f'data-plane="{text(plane.name)}" style="aspect-ratio: {width:.4g} / {height:.4g}">'
        f"<figcaption>{text(_sentence(caption))}</figcaption></figure>"
        for caption, view in still_views(contents, plane).items()
    )
    return f'<h3>{text(_sentence(name))}</h3><div class="stills">{figures}</div>'


def _colour_bars(contents: ReportContents) -> str:
    figures = "".join(
        f'<figure><img src="{data_url(bar)}" alt=""><figcaption>{text(_sentence(caption))}</figcaption></figure>'
        for caption, bar in colour_bars(contents)
    )
    return f'<div class="stills bars">{figures}</div>'


def _sentence(caption: str) -> str:
    return caption[0].upper() + caption[1:]


def _gate(verdict: Any) -> str:
    if verdict is None:
        return ""
    rows = [(name.replace("_", " "), number(value, 4)) for name, value in verdict.measures.items()]
    measures = table(rows, ("Measure", "Value")) if rows else ""
    word = BADGES.get(verdict.verdict, ("", verdict.verdict))[1]
    return (
        f'<section aria-labelledby="gate-title"><h2 id="gate-title">Gate</h2><p class="note">{text(word)}. '
        f"{text(' '.join(verdict.reasons))}</p>{measures}</section>"
    )


def _files(certificate: dict[str, Any]) -> str:
    named = {**certificate.get("inputs", {}), **({"model": certificate["model"]} if certificate.get("model") else {})}
    groups = [("read", named), ("written", certificate.get("outputs", {}))]
    rows = [
        (name.replace("_", " "), kind, Raw(f"<code>{text(file['path'])}<br>{text(file['sha256'])}</code>"))
        for kind, files in groups
        for name, file in files.items()
    ]
    return table(rows, ("File", "", "Path and SHA-256"))


def _made(contents: ReportContents) -> str:
    settings = contents.certificate.get("settings", {})
    changed = [(name, value) for name, value in settings.items() if value not in ("", None)]
    software = {**contents.certificate.get("software", {}), **versions()}
    worked_on = contents.worked_on
    shape, spacing = " x ".join(map(str, worked_on.shape)), " x ".join(f"{size:.3g}" for size in worked_on.spacing_mm)
    rows = [("Worked on", f"{shape} voxels of {spacing} mm"), ("Time", _parts(contents))]
    return (
        table(rows)
        + f"<details><summary>Versions</summary>{table(software.items())}</details>"
        + f"<details><summary>Settings</summary>{table(changed)}</details>"
    )


def versions() -> dict[str, str]:
    """The installed versions of the packages that numbers may depend on."""
    installed = {}
    for name in PACKAGES:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            continue
    return installed
