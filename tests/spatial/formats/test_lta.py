"""FreeSurfer's .lta against surfa, where it is at hand, and NiTransforms."""

import nitransforms.linear
import numpy as np
import pytest

from vxm_tf.files import InputError
from vxm_tf.spatial.formats.lta import read_lta, write_lta


def test_surfa_moves_the_image_by_our_lta(
    tmp_path, surfa, surfa_geometry, affine_transform, fixed_grid, moving_grid, image_on, moved_by, assert_same_image
):
    write_lta(tmp_path / "affine.lta", affine_transform, fixed_grid, moving_grid)
    theirs = surfa.load_affine(str(tmp_path / "affine.lta"))
    moving = image_on(moving_grid)
    moved = surfa.Volume(moving, geometry=surfa_geometry(moving_grid)).transform(theirs, method="linear").data
    assert_same_image(moved_by(affine_transform, fixed_grid, moving, moving_grid), moved)
    for space in ("world", "voxel"):
        theirs.convert(space=space).save(str(tmp_path / "theirs.lta"))
        found = read_lta(tmp_path / "theirs.lta")
        np.testing.assert_allclose(found.matrix, affine_transform.matrix, atol=1e-4)


def test_nitransforms_reads_our_lta_and_we_theirs(
    tmp_path, affine_transform, fixed_grid, moving_grid, nifti_on, image_on, points_in
):
    points = points_in(fixed_grid)
    write_lta(tmp_path / "ours.lta", affine_transform, fixed_grid, moving_grid)
    theirs = nitransforms.linear.Affine.from_filename(tmp_path / "ours.lta", fmt="lta")
    np.testing.assert_allclose(theirs.map(points), affine_transform.map(points), atol=0.01)
    fixed, moving = (nifti_on(image_on(grid), grid) for grid in (fixed_grid, moving_grid))
    written = nitransforms.linear.Affine(affine_transform.matrix, reference=fixed)
    written.to_filename(tmp_path / "theirs.lta", fmt="lta", moving=moving)
    found = read_lta(tmp_path / "theirs.lta")
    np.testing.assert_allclose(found.map(points), affine_transform.map(points), atol=0.01)


def test_an_lta_between_voxels_is_read(tmp_path, affine_transform, fixed_grid, moving_grid):
    path = tmp_path / "affine.lta"
    write_lta(path, affine_transform, fixed_grid, moving_grid)
    np.testing.assert_allclose(read_lta(path).matrix, affine_transform.matrix, atol=1e-9)
    voxels = np.linalg.inv(fixed_grid.affine) @ affine_transform.inverse().matrix @ moving_grid.affine
    lines = ["# transform file made by hand", "", *path.read_text().splitlines(), "subject fsaverage", "fscale 0.15"]
    lines[2] = "type      = 0 # LINEAR_VOX_TO_VOX"
    lines[7:11] = [" ".join(f"{v:.12f}" for v in row) for row in voxels]
    path.write_text("\n".join(lines) + "\n")
    np.testing.assert_allclose(read_lta(path).matrix, affine_transform.matrix, atol=1e-6)
    path.write_text("\n".join(lines).replace("valid = 1", "valid = 0"))
    with pytest.raises(InputError, match="between voxels.*marked as invalid"):
        read_lta(path)


def test_damaged_ltas_are_refused(tmp_path, affine_transform, fixed_grid, field):
    path = tmp_path / "bad.lta"
    with pytest.raises(InputError, match="affine matrix only"):
        write_lta(path, field, fixed_grid)
    write_lta(path, affine_transform, fixed_grid)
    np.testing.assert_allclose(read_lta(path).matrix, affine_transform.matrix, atol=1e-9)
    text = path.read_text()
    cases = [
        (text.replace("nxforms   = 1", "nxforms   = 2"), "one 4 x 4 matrix; it says nxforms = 2"),
        (text.replace("type      = 1", "type      = 14"), "type 14"),
        (text[:150], "truncated"),
        ("", "nxforms = None"),
        ("\n".join([*text.splitlines()[:5], *["0 0 0 0"] * 3, "0 0 0 1"]), "singular"),
    ]
    for damaged, message in cases:
        path.write_text(damaged)
        with pytest.raises(InputError, match=message):
            read_lta(path)
