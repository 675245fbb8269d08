"""A certificate as a table that says in words what its numbers mean."""

from vxm_tf.report.markup import Raw, number, table, text

DIRECTIONS = {"transform": "Transform", "inverse_transform": "Inverse"}


def certificate_section(certificate) -> str:
    """HTML of a certificate, as `write_certificate` writes it."""
    directions = [(key, name) for key, name in DIRECTIONS.items() if key in certificate]
    parts = [certificate[key] for key, _ in directions]
    rows = [
        ("Folds", *map(_folds, parts)),
        ("Volume turned inside out", *(f"{number(100.0 * part['non_diffeomorphic_volume'])} %" for part in parts)),
        ("Smallest determinant: strongest shrinking", *(number(part["smallest_determinant"]) for part in parts)),
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


def _folds(part):
    if part["passes"]:
        return Raw('<strong class="good">nowhere</strong>')
    return Raw(f'<strong class="bad">at {number(part["failing_voxels"])} voxels</strong>')


def _consistency(found):
    if not found:
        return "–"
    return (
        f"within {number(found['max_mm'])} mm, {number(found['mean_mm'])} mm on average, over "
        f"{number(100.0 * found['inside'])} % of the voxels"
    )


def _grid(part):
    shape, spacing = " x ".join(map(str, part["shape"])), " x ".join(number(size) for size in part["spacing_mm"])
    return f"{shape} voxels of {spacing} mm"


def _criteria(parts, directions):
    rows = [
        (Raw(f"<code>{text(name)}</code>"), *(_criterion(part["criteria"][name]) for part in parts))
        for name in parts[0]["criteria"]
    ]
    return table(rows, ("Determinant", *(name for _, name in directions)))


def _criterion(found):
    return f"{number(found['failing_voxels'])} fail, {number(found['smallest'])} to {number(found['largest'])}"


def _repair(repairs):
    if not repairs:
        return ""
    rows = [(DIRECTIONS[key], _repaired(done)) for key, done in repairs.items() if key in DIRECTIONS]
    return "<h3>Repair</h3>" + table(rows)


def _repaired(done):
    if not done:
        return "not needed"
    local = done.get("displacement", done)
    said = []
    if done.get("integration_steps"):
        said.append(f"integrated anew in {done['integration_steps']} steps")
    if local["changed_voxels"]:
        mean, most = number(local["mean_change_mm"]), number(local["max_change_mm"])
        said.append(f"{number(local['changed_voxels'])} voxels changed, by {mean} mm on average and {most} mm at most")
    return "; ".join(said) or "nothing had to be changed"
