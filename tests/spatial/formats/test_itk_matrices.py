"""ITK's kinds of matrices and the order of composites, against SimpleITK, ANTs and NiTransforms."""

import ants
import nitransforms.linear
import numpy as np
import pytest
import SimpleITK as sitk

from vxm_tf.spatial import AffineTransform, Chain
from vxm_tf.spatial.formats.itk import read_itk, write_itk

AFFINE = (".txt", ".tfm", ".mat")


def points_through_sitk(transform, points, lps):
    return lps(np.array([transform.TransformPoint(point) for point in lps(points).tolist()]))


@pytest.mark.parametrize("extension", AFFINE)
def test_other_tools_read_our_matrix(tmp_path, extension, affine_transform, fixed_grid, points_in, lps):
    path = tmp_path / f"affine{extension}"
    stretch = AffineTransform(np.diag([1.2, 0.9, -1.0, 1.0]))
    write_itk(path, Chain((affine_transform, stretch)), fixed_grid)
    points = points_in(fixed_grid)
    expected = stretch.map(affine_transform.map(points))
    np.testing.assert_allclose(read_itk(path).map(points), expected, atol=1e-9)
    np.testing.assert_allclose(points_through_sitk(sitk.ReadTransform(str(path)), points, lps), expected, atol=1e-6)
    theirs = ants.read_transform(str(path))
    moved = [ants.apply_ants_transform_to_point(theirs, point) for point in lps(points[:5]).tolist()]
    np.testing.assert_allclose(lps(np.array(moved)), expected[:5], atol=1e-3)
    theirs = nitransforms.linear.Affine.from_filename(path, fmt="itk")
    np.testing.assert_allclose(theirs.map(points), expected, atol=1e-3)


def sitk_transforms():
    centre, angle, unit = (3.0, -5.0, 7.0), (0.1, -0.2, 0.3), (0.2, -0.1, 0.15)
    euler = sitk.Euler3DTransform(centre, *angle, (1.0, 2.0, -3.0))
    zyx = sitk.Euler3DTransform(euler)
    zyx.SetComputeZYX(True)
    versor = sitk.VersorRigid3DTransform()
    versor.SetParameters((*unit, 1, 2, 3))
    versor.SetCenter(centre)
    turned = sitk.VersorTransform()
    turned.SetParameters(unit)
    turned.SetCenter(centre)
    similar = sitk.Similarity3DTransform()
    similar.SetParameters((*unit, 1, 2, 3, 1.2))
    similar.SetCenter(centre)
    scaled = sitk.ScaleVersor3DTransform()
    scaled.SetParameters((*unit, 1, 2, 3, 1.1, 0.9, 1.2))
    scaled.SetCenter(centre)
    skewed = sitk.ScaleSkewVersor3DTransform()
    skewed.SetParameters((*unit, 1, 2, 3, 1.1, 0.9, 1.2, 0.01, -0.02, 0.03, 0.04, -0.05, 0.06))
    skewed.SetCenter(centre)
    composed = sitk.ComposeScaleSkewVersor3DTransform()
    composed.SetParameters((*unit, 1, 2, 3, 1.1, 0.9, 1.2, 0.1, -0.05, 0.07))
    composed.SetCenter(centre)
    affine = sitk.AffineTransform((1.1, 0.1, 0.0, -0.2, 0.9, 0.05, 0.03, 0.0, 1.0), (4.0, 5.0, 6.0), centre)
    scale = sitk.ScaleTransform(3, (1.1, 0.8, 1.3))
    scale.SetCenter(centre)
    flat_euler = sitk.Euler2DTransform((2.0, 3.0), 0.3, (4.0, -5.0))
    flat_similar = sitk.Similarity2DTransform(1.2, 0.3, (4.0, -5.0), (2.0, 3.0))
    flat_affine = sitk.AffineTransform((1.1, 0.1, -0.2, 0.9), (4.0, 5.0), (1.0, 2.0))
    shift = sitk.TranslationTransform(3, (1.0, -2.0, 3.0))
    flat = [flat_euler, flat_similar, flat_affine]
    return [euler, zyx, versor, turned, similar, scaled, skewed, composed, affine, scale, shift, *flat]


@pytest.mark.parametrize("extension", [*AFFINE, ".h5"])
@pytest.mark.parametrize("theirs", sitk_transforms(), ids=lambda transform: transform.GetName())
def test_every_kind_of_matrix_that_simpleitk_writes_is_read(tmp_path, rng, theirs, extension, lps):
    path = tmp_path / f"theirs{extension}"
    sitk.WriteTransform(theirs, str(path))
    points = rng.normal(0, 30, (20, theirs.GetDimension()))
    ours = read_itk(path)
    assert isinstance(ours, AffineTransform)
    np.testing.assert_allclose(ours.map(points), points_through_sitk(theirs, points, lps), atol=1e-6)


@pytest.mark.parametrize("extension", [".h5", ".tfm"])
def test_a_composite_that_simpleitk_wrote_is_read_in_its_order(
    tmp_path, fixed_grid, field, sitk_on, lps, points_in, extension
):
    vectors = sitk_on(lps(np.asarray(field.displacement_mm, "float64")), fixed_grid)
    kinds = sitk_transforms()
    theirs = sitk.CompositeTransform([kinds[0], sitk.DisplacementFieldTransform(vectors), kinds[4]])
    sitk.WriteTransform(theirs, str(tmp_path / f"theirs{extension}"))
    ours = read_itk(tmp_path / f"theirs{extension}")
    points = points_in(fixed_grid)
    expected = points_through_sitk(theirs, points, lps)
    np.testing.assert_allclose(ours.map(points), expected, atol=0.01)
    assert np.abs(kinds[4].TransformPoint((0.0, 0.0, 0.0))).max() > 1


def test_more_than_ten_parts_keep_their_order(tmp_path, rng, lps):
    angles = rng.uniform(-0.5, 0.5, (12, 3)).tolist()
    theirs = sitk.CompositeTransform([sitk.Euler3DTransform((1.0, 2.0, 3.0), *angle) for angle in angles])
    sitk.WriteTransform(theirs, str(tmp_path / "many.h5"))
    points = rng.normal(0, 30, (20, 3))
    np.testing.assert_allclose(read_itk(tmp_path / "many.h5").map(points), points_through_sitk(theirs, points, lps))
