"""The notebook that registers two scans runs from its first cell to its last, and shows what its text promises."""


def test_two_scans_are_registered_judged_and_saved(executed, tmp_path):
    cells = executed("register_two_scans")
    printed = "".join(output.get("text", "") for cell in cells for output in cell.outputs)
    before, after = (float(printed.split("Mean Dice: ")[1].split()[index]) for index in (0, 2))
    assert after > before + 0.1
    assert "Verdict: pass." in printed and "Folds: 0 voxels" in printed
    written = {path.suffix for path in (tmp_path / "registered").iterdir()}
    assert written == {".gz", ".json", ".html", ".png"}
    assert "image/png" in cells[-1].outputs[-1].data
