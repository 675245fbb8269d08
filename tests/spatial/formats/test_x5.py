"""BIDS X5 against NiTransforms, both ways."""

import sys

import h5py
import nitransforms.linear
import nitransforms.manip
import nitransforms.nonlinear
import numpy as np
import pytest
from nitransforms.io import x5 as their_x5

from vxm_tf.files import InputError
from vxm_tf.spatial import AffineTransform, Chain, DisplacementField, Grid
from vxm_tf.spatial.formats.x5 import is_x5, read_x5, write_x5
from vxm_tf.spatial.transforms import flattened


def test_nitransforms_moves_points_as_we_do(tmp_path, transform, fixed_grid):
    path = tmp_path / "warp.x5"
    write_x5(path, transform, fixed_grid)
    theirs = nitransforms.manip.TransformChain.from_filename(path)
    assert len(theirs.transforms) == len(flattened(transform))
    points = fixed_grid.points().reshape(-1, 3)
    if isinstance(flattened(transform)[0], AffineTransform):
        # Between voxels NiTransforms fits splines where we interpolate linearly, so the parts are compared.
        matrix, field = transform.transforms
        np.testing.assert_allclose(theirs.transforms[0].matrix, matrix.matrix)
        np.testing.assert_allclose(theirs.transforms[1].map(points), field.map(points), atol=0.01)
    else:
        np.testing.assert_allclose(theirs.map(points), transform.map(points), atol=0.01)


def test_nitransforms_moves_the_image_as_we_do(
    tmp_path, field, affine_transform, fixed_grid, moving_grid, nifti_on, image_on, moved_by, assert_same_image
):
    moving, fixed = image_on(moving_grid), nifti_on(image_on(fixed_grid), fixed_grid)
    for name, transform in (("dense", field), ("chain", Chain((field, affine_transform)))):
        path = tmp_path / f"{name}.x5"
        write_x5(path, transform, fixed_grid)
        theirs = nitransforms.manip.TransformChain.from_filename(path)
        moved = nitransforms.resampling.apply(theirs, nifti_on(moving, moving_grid), reference=fixed, order=1)
        assert_same_image(moved_by(transform, fixed_grid, moving, moving_grid), moved.get_fdata())


def test_single_transforms_are_read_by_their_own_classes(tmp_path, field, affine_transform, fixed_grid, points_in):
    write_x5(tmp_path / "dense.x5", field, fixed_grid)
    theirs = nitransforms.nonlinear.DenseFieldTransform.from_filename(tmp_path / "dense.x5")
    points = fixed_grid.points().reshape(-1, 3)
    np.testing.assert_allclose(theirs.map(points), field.map(points), atol=0.01)
    write_x5(tmp_path / "affine.x5", affine_transform, fixed_grid)
    theirs = nitransforms.linear.Affine.from_filename(tmp_path / "affine.x5", fmt="X5")
    np.testing.assert_allclose(theirs.map(points), affine_transform.map(points), atol=1e-6)
    np.testing.assert_allclose(read_x5(tmp_path / "affine.x5").matrix, affine_transform.matrix)


def test_what_nitransforms_wrote_is_read(tmp_path, field, affine_transform, fixed_grid, nifti_on, image_on, points_in):
    points = points_in(fixed_grid)
    fixed = nifti_on(image_on(fixed_grid), fixed_grid)
    warp = nitransforms.nonlinear.DenseFieldTransform(nifti_on(field.displacement_mm, fixed_grid))
    affine = nitransforms.linear.Affine(affine_transform.matrix, reference=fixed)
    there = field.grid.points() + field.displacement_mm
    places = nitransforms.nonlinear.DenseFieldTransform(nifti_on(there, fixed_grid), is_deltas=False)
    their_x5.to_filename(tmp_path / "dense.x5", [warp.to_x5()])
    their_x5.to_filename(tmp_path / "places.x5", [places.to_x5()])
    affine.to_filename(tmp_path / "affine.x5", fmt="X5")
    nitransforms.manip.TransformChain([warp, affine]).to_filename(tmp_path / "chain.x5")
    for name, expected in [
        ("dense", field),
        ("places", field),
        ("affine", affine_transform),
        ("chain", Chain((field, affine_transform))),
    ]:
        np.testing.assert_allclose(read_x5(tmp_path / f"{name}.x5").map(points), expected.map(points), atol=0.01)


def test_our_own_file_comes_back(tmp_path, transform, fixed_grid):
    write_x5(tmp_path / "warp.x5", transform, fixed_grid)
    found = read_x5(tmp_path / "warp.x5")
    assert [type(part) for part in flattened(found)] == [type(part) for part in flattened(transform)]
    assert all(part.outside == "zero" for part in flattened(found) if isinstance(part, DisplacementField))
    points = fixed_grid.points()
    np.testing.assert_allclose(found.map(points), transform.map(points), atol=1e-3)
    assert is_x5(tmp_path / "warp.x5") and [path.name for path in tmp_path.iterdir()] == ["warp.x5"]


def test_a_file_that_was_there_is_replaced(tmp_path, field, affine_transform, fixed_grid):
    write_x5(tmp_path / "warp.x5", field, fixed_grid)
    write_x5(tmp_path / "warp.x5", affine_transform, fixed_grid)
    assert isinstance(read_x5(tmp_path / "warp.x5"), AffineTransform)


@pytest.mark.parametrize("fixed_grid", ["RAS"], indirect=True)
def test_without_nitransforms_the_extra_is_named(tmp_path, monkeypatch, field, fixed_grid):
    write_x5(tmp_path / "warp.x5", field, fixed_grid)
    for name in list(sys.modules):
        if name.split(".")[0] == "nitransforms":
            monkeypatch.setitem(sys.modules, name, None)
    for call in (lambda: read_x5(tmp_path / "warp.x5"), lambda: write_x5(tmp_path / "b.x5", field, fixed_grid)):
        with pytest.raises(InputError, match=r"pip install 'vxm-tf\[transforms\]'"):
            call()


@pytest.mark.parametrize("fixed_grid", ["RAS"], indirect=True)
def test_damage_is_named(tmp_path, field, affine_transform, fixed_grid, nifti_on):
    path = tmp_path / "bad.x5"
    with pytest.raises(InputError, match="no such file"):
        read_x5(path)
    write_x5(path, field, fixed_grid)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match="bad.x5.*truncated"):
        read_x5(path)
    with h5py.File(path, "w") as file:
        file["TransformGroup"] = 1
    with pytest.raises(InputError, match="not in X5 format"):
        read_x5(path)
    matrix = nitransforms.linear.Affine(affine_transform.matrix).to_x5
    warp = nitransforms.nonlinear.DenseFieldTransform(nifti_on(field.displacement_mm, fixed_grid)).to_x5
    cases = [
        ([matrix(), matrix()], {}, "2 transforms and no chain"),
        ([matrix()], {"transform": np.diag([1.0, 1.0, 0.0, 1.0])}, "singular"),
        ([matrix()], {"transform": np.zeros((2, 4, 4)), "array_length": 2}, r"one matrix \[4, 4\]"),
        ([warp()], {"subtype": "bspline"}, "nonlinear transform, bspline"),
        ([warp()], {"domain": None}, "without the grid"),
        ([warp()], {"representation": "velocities"}, "a field of velocities"),
        ([warp()], {"transform": np.zeros((3, 3, 3, 3))}, "got .3, 3, 3, 3."),
        ([warp()], {"transform": np.full_like(field.displacement_mm, np.nan)}, "NaN"),
    ]
    for nodes, changes, message in cases:
        for name, value in changes.items():
            setattr(nodes[0], name, value)
        their_x5.to_filename(path, nodes)
        with pytest.raises(InputError, match=message):
            read_x5(path)
    with pytest.raises(InputError, match="three axes"):
        write_x5(path, AffineTransform(np.eye(3)), Grid((4, 5), np.eye(3)))
