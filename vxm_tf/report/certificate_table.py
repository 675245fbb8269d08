"""A certificate as an HTML table that explains its numbers in words."""

from typing import Any

from vxm_tf.report.markup import Raw, number, table, text

DIRECTIONS = {"transform": "Transform", "inverse_transform": "Inverse"}


def certificate_section(certificate: dict[str, Any]) -> str:
    """HTML of a certificate, given in the form of its JSON file."""
    directions = [(key, name) for key, name in DIRECTIONS.items() if key in certificate]
    parts = [certificate[key] for key, _ in directions]
    rows = [
        ("Folds, tetrahedral: within the tetrahedra between voxels", *map(_tetrahedral_folds, parts)),
        ("Folds, trilinear: with linear interpolation along each axis", *map(_trilinear_folds, parts)),
        ("Volume turned inside out", *(f"{number(100.0 * part['non_diffeomorphic_volume'])} %" for part in parts)),
        ("Smallest determinant: strongest shrinking", *(number(part["smallest_determinant"]) for part in parts)),
        ("Smallest determinant, trilinear", *map(_trilinear_smallest, parts)),
        ("Largest determinant: strongest growth", *(number(part["largest_determinant"]) for part in parts)),
        ("Spread of the logarithm of the determinant", *(number(part["log_jacobian_std"]) for part in parts)),
        ("Inverse consistency", *(_consistency(part.get("inverse_consistency")) for part in parts)),
        ("Grid of the test", *map(_grid, parts)),
    ]
    return (
        table(rows, ("", *(name for _, name in directions)))
        + _repair(certificate.get("repair"))
        + f"<details><summary>Every criterion</summary>{_criteria(parts, directions)}"
        + f'<p class="note">{text(certificate["criterion"])}</p></details>'
    )


def fold_sentences(part: dict[str, Any], name: str) -> list[str]:
    """A sentence for each criterion that a direction of a certificate fails.

    Args:
        part: the direction, in the form of its JSON file.
        name: noun for the direction, such as "transform".
    """
    sentences = []
    if part["failing_voxels"]:
        sentences.append(f"The {name} folds at {number(part['failing_voxels'])} voxels.")
    between = part.get("trilinear", {})
    if between.get("failing_cubes"):
        cubes = number(between["failing_cubes"])
        sentences.append(f"Interpolated trilinearly, the {name} folds in {cubes} cubes between voxels.")
    if between.get("undecided_cubes"):
        cubes = number(between["undecided_cubes"])
        sentences.append(f"Whether the {name} folds if it is interpolated trilinearly is undecided in {cubes} cubes.")
    return sentences


def _tetrahedral_folds(part: dict[str, Any]) -> str:
    return _places(part["failing_voxels"], "at", "voxels", "nowhere")


def _trilinear_folds(part: dict[str, Any]) -> str:
    if "trilinear" not in part:
        return "not tested"
    failing, undecided = part["trilinear"]["failing_cubes"], part["trilinear"]["undecided_cubes"]
    if undecided and not failing:
        return _places(undecided, "undecided in", "cubes", "")
    return _places(failing, "in", "cubes", "nowhere, proven")


def _places(count: int, preposition: str, places: str, none: str) -> str:
    if not count:
        return Raw(f'<strong class="good">{none}</strong>')
    return Raw(f'<strong class="bad">{preposition} {number(count)} {places}</strong>')


def _trilinear_smallest(part: dict[str, Any]) -> str:
    if "trilinear" not in part:
        return "–"
    return f"{number(part['trilinear']['smallest'])} found, none below {number(part['trilinear']['bound'])}"


def _consistency(residual: dict[str, float] | None) -> str:
    if not residual:
        return "–"
    return (
        f"within {number(residual['max_mm'])} mm, {number(residual['mean_mm'])} mm on average, over "
        f"{number(100.0 * residual['inside'])} % of the voxels"
    )


def _grid(part: dict[str, Any]) -> str:
    shape, spacing = " x ".join(map(str, part["shape"])), " x ".join(number(size) for size in part["spacing_mm"])
    return f"{shape} voxels of {spacing} mm"


def _criteria(parts: list[dict[str, Any]], directions: list[tuple[str, str]]) -> str:
    rows = [
        (Raw(f"<code>{text(name)}</code>"), *(_criterion(part["criteria"][name]) for part in parts))
        for name in parts[0]["criteria"]
    ]
    return table(rows, ("Determinant", *(name for _, name in directions)))


def _criterion(result: dict[str, Any]) -> str:
    return f"{number(result['failing_voxels'])} fail, {number(result['smallest'])} to {number(result['largest'])}"


def _repair(repairs: dict[str, Any] | None) -> str:
    if not repairs:
        return ""
    rows = [(DIRECTIONS[key], _repaired(repair)) for key, repair in repairs.items() if key in DIRECTIONS]
    return "<h3>Repair</h3>" + table(rows)


def _repaired(repair: dict[str, Any]) -> str:
    if not repair:
        return "not needed"
    local = repair.get("displacement", repair)
    steps = []
    if repair.get("integration_steps"):
        steps.append(f"integrated anew in {repair['integration_steps']} steps")
    if local["changed_voxels"]:
        mean, most = number(local["mean_change_mm"]), number(local["max_change_mm"])
        steps.append(f"{number(local['changed_voxels'])} voxels changed, by {mean} mm on average and {most} mm at most")
    return "; ".join(steps) or "nothing had to be changed"
