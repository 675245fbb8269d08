"""Which format a name and a content mean, what is refused before long work, and whose transform it is."""

import os
import sys
import warnings

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from vxm_tf.files import InputError
from vxm_tf.spatial import AffineTransform, Chain, DisplacementField, Grid, dense
from vxm_tf.spatial.transform_files import (
    FORMATS,
    check_belongs,
    check_transform_output,
    read_transform,
    write_transform,
)
from vxm_tf.spatial.transforms import flattened

# Name, format to write, format to read (None: found out), whether the parts stay apart.
DENSE = [
    ("warp.nii.gz", None, None, False),
    ("warp.nii", "itk", None, False),
    ("warp.h5", None, None, True),
    ("warp.nii.gz", "fsl", None, False),
    ("warp.nii.gz", "afni", "afni", False),
    ("warp.mgz", None, None, False),
    ("warp.mgh", "freesurfer", None, False),
    ("warp.x5", None, None, True),
    ("warp.h5", "x5", None, True),
    ("warp.nii.gz", "greedy", None, False),
    ("warp.nii.gz", "niftyreg", None, False),
    ("y_warp.nii", "spm", None, False),
]
AFFINE = [
    ("out_0GenericAffine.mat", None, None),
    ("flirt.mat", "fsl", None),
    ("affine.txt", None, None),
    ("affine.tfm", "itk", None),
    ("affine.lta", None, None),
    ("anat.aff12.1D", None, "afni"),
    ("affine.x5", None, None),
    ("affine.h5", None, None),
    ("affine.mat", "greedy", "greedy"),
    ("affine.txt", "niftyreg", "niftyreg"),
]


@pytest.mark.parametrize(("name", "written", "read", "apart"), DENSE)
def test_a_dense_transform_comes_back(
    tmp_path, straight_transform, straight_grid, moving_grid, name, written, read, apart
):
    path = tmp_path / "deep" / name
    write_transform(path, straight_transform, straight_grid, format=written, moving_grid=moving_grid)
    found = read_transform(path, format=read, moving_grid=moving_grid, fixed_grid=straight_grid)
    points = straight_grid.points()
    np.testing.assert_allclose(found.map(points), straight_transform.map(points), atol=1e-3)
    assert len(flattened(found)) == (len(flattened(straight_transform)) if apart else 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_belongs(found, straight_grid, path)


@pytest.mark.parametrize(("name", "written", "read"), AFFINE)
def test_an_affine_transform_comes_back(tmp_path, affine_transform, straight_grid, moving_grid, name, written, read):
    path = tmp_path / name
    both = Chain((affine_transform, AffineTransform(np.diag([1.2, 0.9, -1.0, 1.0]))))
    write_transform(path, both, straight_grid, format=written, moving_grid=moving_grid)
    found = read_transform(path, format=read, moving_grid=moving_grid, fixed_grid=straight_grid)
    points = straight_grid.points()
    np.testing.assert_allclose(found.map(points), both.map(points), atol=1e-6)


@pytest.mark.parametrize("name", ["warp.nii.gz", "warp.mgz"])
def test_an_affine_transform_as_a_field(tmp_path, affine_transform, fixed_grid, moving_grid, name):
    write_transform(tmp_path / name, affine_transform, fixed_grid, moving_grid=moving_grid)
    found = read_transform(tmp_path / name)
    np.testing.assert_allclose(found.displacement_mm, dense(affine_transform, fixed_grid).displacement_mm, atol=1e-4)


@pytest.mark.parametrize("intent", [0, 1006])
def test_a_nifti_that_does_not_say_what_it_is(tmp_path, straight_field, straight_grid, intent):
    path = tmp_path / "warp.nii.gz"
    write_transform(path, straight_field, straight_grid, format="afni")
    image = nibabel.load(path)
    image.header["intent_code"] = intent
    nibabel.save(image, tmp_path / "unsaid.nii.gz")
    with pytest.raises(InputError, match=f"unsaid.nii.gz: its intent {intent} .* Say which format it has"):
        read_transform(tmp_path / "unsaid.nii.gz")
    read_transform(tmp_path / "unsaid.nii.gz", format="afni")


def test_files_of_other_tools_go_to_the_right_reader(tmp_path, straight_grid, moving_grid):
    sitk.WriteTransform(sitk.Euler3DTransform((0, 0, 0), 0.1, 0, 0, (1, 2, 3)), str(tmp_path / "rigid.mat"))
    np.testing.assert_allclose(read_transform(tmp_path / "rigid.mat").map([0, 0, 0]), [-1, -2, 3])
    (tmp_path / "flirt.mat").write_text("1  0  0  4  \n0  1  0  0  \n0  0  1  0  \n0  0  0  1  \n")
    found = read_transform(tmp_path / "flirt.mat", moving_grid=straight_grid, fixed_grid=straight_grid)
    assert np.isclose(np.linalg.norm(found.matrix[:3, 3]), 4)
    with pytest.raises(InputError, match="moving image is needed"):
        read_transform(tmp_path / "flirt.mat")
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6), "float32"), np.eye(4)), tmp_path / "image.nii")
    with pytest.raises(InputError, match="its intent 0 does not tell"):
        read_transform(tmp_path / "image.nii")


@pytest.mark.parametrize("name", ["absent.nii.gz", "absent.h5", "absent.mat", "absent.mgz", "absent.lta", "absent.1D"])
def test_a_missing_file(tmp_path, name):
    with pytest.raises(InputError, match=f"{name}: there is no such file"):
        read_transform(tmp_path / name)


@pytest.mark.parametrize("extension", ["nii.gz", "nii", "h5", "mat", "mgz", "lta", "1D", "tfm"])
@pytest.mark.parametrize("content", [b"", b"no transform at all\n", bytes(range(256)) * 20])
def test_a_file_of_something_else(tmp_path, extension, content):
    name = f"bad.{extension}"
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        read_transform(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "format", "ndim", "affine", "message"),
    [
        ("warp.npz", None, 3, False, "not a transform file that is known"),
        ("warp", None, 3, False, "not a transform file that is known"),
        ("warp.mgz", "itk", 3, False, "itk transforms end in one of .nii.gz, .nii, .h5"),
        ("warp.nii.gz", "freesurfer", 3, False, "freesurfer transforms end in one of .mgz, .mgh, .lta"),
        ("affine.txt", "afni", 3, True, "end in one of .nii.gz, .nii, .1D"),
        ("warp.mat", None, 3, False, "holds an affine matrix only; .* choose one of .nii.gz"),
        ("warp.lta", None, 3, False, "choose one of .mgz"),
        ("warp.nii.gz", "fsl", 2, False, "fsl transforms have three axes; the images have 2"),
        ("warp.mgz", None, 2, False, "three axes"),
        ("warp.x5", None, 2, False, "three axes"),
    ],
)
def test_what_cannot_be_written_is_refused_early(tmp_path, name, format, ndim, affine, message):
    with pytest.raises(InputError, match=message):
        check_transform_output(tmp_path / name, format, ndim, affine=affine)
    assert list(tmp_path.iterdir()) == []


def test_what_can_be_written_passes(tmp_path):
    for name, written, _, _ in DENSE:
        assert check_transform_output(tmp_path / "new" / name, written) in FORMATS
    for name, written, _ in AFFINE:
        assert check_transform_output(tmp_path / name, written, affine=True) in FORMATS
    assert check_transform_output(tmp_path / "flat.nii.gz", ndim=2) == "itk"
    assert check_transform_output(tmp_path / "flirt.mat", affine=True) == "itk"
    assert [path.name for path in tmp_path.iterdir()] == ["new"] and not list((tmp_path / "new").iterdir())


def test_an_unknown_format(tmp_path, field, fixed_grid):
    for call in (
        lambda: read_transform(tmp_path / "a.h5", format="elastix"),
        lambda: write_transform(tmp_path / "a.h5", field, fixed_grid, format="elastix"),
        lambda: check_transform_output(tmp_path / "a.h5", "elastix"),
    ):
        with pytest.raises(
            ValueError, match="'itk', 'fsl', 'freesurfer', 'afni', 'x5', 'greedy', 'niftyreg', 'spm'; got 'elastix'"
        ):
            call()


def test_a_missing_extra_and_a_place_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        check_transform_output(tmp_path / "file" / "warp.nii.gz")
    for name in list(sys.modules):
        if name.split(".")[0] == "nitransforms":
            monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=r"warp.x5: .*pip install 'vxm-tf\[transforms\]'"):
        check_transform_output(tmp_path / "warp.x5")


def test_a_full_disk_leaves_what_was_there(tmp_path, field, affine_transform, fixed_grid, moving_grid, monkeypatch):
    names = ["warp.nii.gz", "warp.h5", "warp.mgz", "warp.x5"]
    for name in names:
        write_transform(tmp_path / name, field, fixed_grid, moving_grid=moving_grid)
    before = {name: (tmp_path / name).read_bytes() for name in names}

    def fail(*paths):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    for name in names:
        with pytest.raises(InputError, match="No space left.*untouched"):
            write_transform(tmp_path / name, affine_transform, fixed_grid, moving_grid=moving_grid)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def grid_at(x_mm, shape=(20, 20, 20)):
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[0, 3] = x_mm
    return Grid(shape, affine)


def field_on(grid):
    return DisplacementField(grid, np.ones((*grid.shape, grid.ndim), "float32"))


def test_the_images_own_transform_belongs_to_it():
    grid, shift = grid_at(0), np.eye(4)
    shift[0, 3] = 100
    far = AffineTransform(shift)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        there, here = Chain((far, field_on(grid_at(100)))), Chain((field_on(grid), far))
        for transform in (field_on(grid), far, there, here):
            check_belongs(transform, grid, "warp.h5")


@pytest.mark.parametrize(("x_mm", "covered"), [(4, "90%"), (16, "60%")])
def test_a_field_beside_the_image_is_interpolated_and_says_so(x_mm, covered):
    with pytest.warns(UserWarning, match=f"warp.nii.gz: .*covers {covered} of the image and is interpolated") as caught:
        check_belongs(field_on(grid_at(x_mm)), grid_at(0), "warp.nii.gz")
    assert caught[0].filename == __file__


def test_a_field_on_a_coarser_grid_is_interpolated():
    coarse = Grid((10, 10, 10), np.array([[4, 0, 0, 1], [0, 4, 0, 1], [0, 0, 4, 1], [0, 0, 0, 1.0]]))
    with pytest.warns(UserWarning, match=r"10 x 10 x 10 voxels of 4 x 4 x 4 mm around \(19, 19, 19\).*covers 100%"):
        check_belongs(field_on(coarse), grid_at(0), "warp.nii.gz")


@pytest.mark.parametrize("x_mm", [25, -25, 500])
def test_another_images_transform_is_refused(x_mm):
    with pytest.raises(InputError, match="warp.nii.gz: .*belongs to another image.*Give the transform of this image"):
        check_belongs(field_on(grid_at(x_mm)), grid_at(0), "warp.nii.gz")
    shift = np.eye(4)
    shift[0, 3] = x_mm
    with pytest.raises(InputError, match="belongs to another image"):
        check_belongs(Chain((AffineTransform(shift), field_on(grid_at(0)))), grid_at(0), "warp.h5")


def test_a_transform_with_other_axes_is_refused():
    with pytest.raises(InputError, match="warp.h5: has 2 axes, the fixed image 3"):
        check_belongs(AffineTransform(np.eye(3)), grid_at(0), "warp.h5")


@pytest.mark.parametrize("name", ["warp.nii.gz", "warp.h5", "warp.mgz", "warp.mat"])
def test_a_pointer_in_place_of_a_transform_is_called_what_it_is(tmp_path, name):
    (tmp_path / name).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n")
    with pytest.raises(InputError, match=f"{name}: cannot be read: it is a pointer of Git LFS"):
        read_transform(tmp_path / name)
