"""FreeSurfer's files: byte by byte, against surfa and against surfa where it is at hand."""

import gzip
import struct

import nibabel
import numpy as np
import pytest

from vxm_tf.files import InputError
from vxm_tf.spatial import AffineTransform, DisplacementField, Grid, dense
from vxm_tf.spatial.formats.freesurfer import read_freesurfer_warp, write_freesurfer_warp
from vxm_tf.spatial.grid import apply_affine, same_grid

FORMS = ("absolute voxels", "voxels", "absolute mm", "mm")


def geometry_bytes(grid):
    """As FreeSurfer's VOL_GEOM writes it, from its description alone."""
    middle = grid.affine @ [*(n / 2 for n in grid.shape), 1]
    directions = grid.affine[:3, :3] / grid.spacing_mm
    numbers = [*grid.spacing_mm, *directions[:, 0], *directions[:, 1], *directions[:, 2], *middle[:3]]
    return struct.pack(">4i15f", 1, *grid.shape, *numbers)


def vectors_of(form, field, moving_grid):
    """What a warp of each form holds: where a target voxel's value comes from."""
    grid = field.grid
    there = grid.points() + field.displacement_mm
    voxels = moving_grid.to_indices(there)
    own = np.moveaxis(np.indices(grid.shape), 0, -1)
    return {"absolute voxels": voxels, "voxels": voxels - own, "absolute mm": there, "mm": there - grid.points()}[form]


def warp_bytes(form, field, moving_grid, shear=True, name=b"/subjects/bert/mri/orig.mgz"):
    """A warp file as FreeSurfer writes it, with tags that do not matter between those that do."""
    grid, name = field.grid, name.ljust(512, b"\0")
    content = struct.pack(">7i", 3 << 8 | 1, *grid.shape, 3, 3, 1) + struct.pack(">h", 1) + geometry_bytes(grid)[16:]
    content = content.ljust(284, b"\0")
    content += np.asarray(vectors_of(form, field, moving_grid), ">f4").tobytes(order="F")
    content += struct.pack(">5f", 2.3, 0.1, 2.9, 900.0, 256.0)
    content += struct.pack(">iq", 41, 7) + b"UNKNOWN" + struct.pack(">iqf", 43, 4, 3.0)
    content += struct.pack(">i", 10) + b"".join(geometry_bytes(g) + name for g in (moving_grid, grid))
    if shear:
        with_shear = b"".join(geometry_bytes(g) + bytes(12) + name for g in (moving_grid, grid))
        content += struct.pack(">iq", 15, len(with_shear)) + with_shear
    content += struct.pack(">iqiif", 13, 12, FORMS.index(form), 1, 0.0)
    return content + struct.pack(">iq", 3, 9) + b"mri_warp\0"


@pytest.mark.parametrize("extension", [".mgz", ".mgh"])
def test_every_byte_that_is_written(tmp_path, transform, fixed_grid, moving_grid, extension):
    path = tmp_path / f"warp{extension}"
    write_freesurfer_warp(path, transform, fixed_grid, moving_grid)
    content = path.read_bytes() if extension == ".mgh" else gzip.decompress(path.read_bytes())
    assert struct.unpack(">7i", content[:28]) == (3 * 256 + 1, *fixed_grid.shape, 3, 3, 1)
    assert content[28:30] == b"\0\1"
    np.testing.assert_allclose(
        np.frombuffer(content[30:90], ">f4"), np.frombuffer(geometry_bytes(fixed_grid)[16:], ">f4"), atol=1e-5
    )
    count = 3 * int(np.prod(fixed_grid.shape))
    data = np.frombuffer(content[284 : 284 + 4 * count], ">f4").reshape((*fixed_grid.shape, 3), order="F")
    np.testing.assert_array_equal(data, dense(transform, fixed_grid).displacement_mm)
    tags = content[284 + 4 * count + 20 :]
    assert struct.unpack(">i", tags[:4]) == (10,)
    for start, grid in ((4, moving_grid), (592, fixed_grid)):
        assert struct.unpack(">4i", tags[start : start + 16]) == (1, *grid.shape)
        numbers = np.frombuffer(tags[start + 16 : start + 76], ">f4")
        np.testing.assert_allclose(numbers, np.frombuffer(geometry_bytes(grid)[16:], ">f4"), atol=1e-5)
        assert not any(tags[start + 76 : start + 588])
    assert struct.unpack(">iq", tags[1180:1192]) == (15, 1200)
    assert tags[1192:1268] == tags[4:80] and not any(tags[1268 : 1268 + 12 + 512])
    assert tags[1792:1868] == tags[592:668]
    assert struct.unpack(">iqiif", tags[2392:]) == (13, 12, 3, 1, 0.0)


def test_nibabel_sees_three_frames_in_the_right_place(tmp_path, field, fixed_grid, moving_grid):
    write_freesurfer_warp(tmp_path / "warp.mgz", field, fixed_grid, moving_grid)
    content = bytearray(gzip.decompress((tmp_path / "warp.mgz").read_bytes()))
    # Nibabel knows no intents; without it the file is a plain image.
    content[:4] = struct.pack(">i", 1)
    (tmp_path / "plain.mgh").write_bytes(content)
    image = nibabel.load(tmp_path / "plain.mgh")
    np.testing.assert_allclose(image.affine, fixed_grid.affine, atol=1e-4)
    np.testing.assert_array_equal(np.asarray(image.dataobj), field.displacement_mm)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shear", [False, True])
def test_every_form_is_read(tmp_path, field, moving_grid, form, shear, points_in):
    path = tmp_path / "warp.mgz"
    path.write_bytes(gzip.compress(warp_bytes(form, field, moving_grid, shear)))
    found = read_freesurfer_warp(path)
    assert same_grid(found.grid, field.grid)
    points = points_in(field.grid)
    np.testing.assert_allclose(found.map(points), field.map(points), atol=0.01)


def test_our_own_file_comes_back(tmp_path, transform, fixed_grid, moving_grid):
    write_freesurfer_warp(tmp_path / "warp.mgz", transform, fixed_grid, moving_grid)
    found = read_freesurfer_warp(tmp_path / "warp.mgz")
    np.testing.assert_array_equal(found.displacement_mm, dense(transform, fixed_grid).displacement_mm)
    np.testing.assert_allclose(found.grid.affine, fixed_grid.affine, atol=1e-4)


def test_surfa_moves_the_image_as_we_do(
    tmp_path, surfa, surfa_geometry, transform, fixed_grid, moving_grid, image_on, moved_by, assert_same_image
):
    write_freesurfer_warp(tmp_path / "warp.mgz", transform, fixed_grid, moving_grid)
    warp = surfa.load_warp(str(tmp_path / "warp.mgz"))
    assert warp.format == surfa.Warp.Format.disp_ras
    np.testing.assert_allclose(warp.source.vox2world.matrix, moving_grid.affine, atol=1e-4)
    np.testing.assert_allclose(warp.target.vox2world.matrix, fixed_grid.affine, atol=1e-4)
    moving = image_on(moving_grid)
    theirs = warp.transform(surfa.Volume(moving, geometry=surfa_geometry(moving_grid))).data
    assert_same_image(moved_by(transform, fixed_grid, moving, moving_grid), theirs)


def test_surfa_moves_voxels_as_we_do(tmp_path, surfa, transform, fixed_grid, oblique_moving_grid):
    write_freesurfer_warp(tmp_path / "warp.mgz", transform, fixed_grid, oblique_moving_grid)
    warp = surfa.load_warp(str(tmp_path / "warp.mgz")).convert(surfa.Warp.Format.abs_crs)
    theirs = apply_affine(oblique_moving_grid.affine, warp.data)
    np.testing.assert_allclose(theirs, transform.map(fixed_grid.points()), atol=0.01)


@pytest.mark.parametrize("form", FORMS)
def test_what_surfa_wrote_is_read(tmp_path, surfa, surfa_geometry, field, fixed_grid, moving_grid, form, points_in):
    warp = surfa.Warp(
        field.displacement_mm,
        source=surfa_geometry(moving_grid),
        target=surfa_geometry(fixed_grid),
        format=surfa.Warp.Format.disp_ras,
    )
    warp.convert(FORMS.index(form)).save(str(tmp_path / "theirs.mgz"))
    found, points = read_freesurfer_warp(tmp_path / "theirs.mgz"), points_in(fixed_grid)
    np.testing.assert_allclose(found.map(points), field.map(points), atol=0.01)


def test_damaged_warps_are_refused(tmp_path, field, fixed_grid, moving_grid):
    path = tmp_path / "bad.mgz"
    content = warp_bytes("mm", field, moving_grid)
    count = 12 * int(np.prod(fixed_grid.shape))
    nan = bytearray(content)
    nan[284:288] = struct.pack(">f", np.nan)
    cases = [
        (struct.pack(">i", 1) + content[4:], "no warp: its intent is 0"),
        (struct.pack(">i", 3 << 8 | 2) + content[4:], "version is 2"),
        (content[:16] + struct.pack(">i", 1) + content[20:], "3 frames of numbers; got 1"),
        (content[: 284 + count // 2], "truncated: .* values announced"),
        (content[: 284 + count + 20], "lacks the tags"),
        (content[: 284 + count + 400], "truncated"),
        (bytes(nan), "NaN"),
        (content.replace(struct.pack(">iqi", 13, 12, 3), struct.pack(">iqi", 13, 12, 7)), "form of its vectors is 7"),
    ]
    for damaged, message in cases:
        path.write_bytes(gzip.compress(damaged))
        with pytest.raises(InputError, match=message) as error:
            read_freesurfer_warp(path)
        assert "bad.mgz" in str(error.value)
    path.write_bytes(gzip.compress(content)[:500])
    with pytest.raises(InputError, match="truncated"):
        read_freesurfer_warp(path)
    with pytest.raises(InputError, match="no such file"):
        read_freesurfer_warp(tmp_path / "absent.mgz")


def test_what_cannot_be_written_is_said(tmp_path, field, fixed_grid, moving_grid, affine_transform):
    with pytest.raises(InputError, match="moving image is needed as well, because FreeSurfer's warps hold"):
        write_freesurfer_warp(tmp_path / "warp.mgz", field, fixed_grid, None)
    sheared = Grid((4, 5, 6), np.array([[1, 0.2, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    with pytest.raises(InputError, match="right angles"):
        write_freesurfer_warp(tmp_path / "warp.mgz", affine_transform, sheared, moving_grid)
    with pytest.raises(InputError, match="three axes"):
        write_freesurfer_warp(tmp_path / "warp.mgz", AffineTransform(np.eye(3)), Grid((4, 5), np.eye(3)), moving_grid)
    assert list(tmp_path.iterdir()) == []


def test_a_sheared_target_is_read(tmp_path, moving_grid):
    affine = np.array([[3.0, 0.5, 0.2, -20], [0, 2.5, 0.4, -22], [0, 0, 4, -25], [0, 0, 0, 1]])
    grid = Grid((5, 6, 4), affine)
    field = DisplacementField(grid, np.ones((5, 6, 4, 3), "float32"))
    plain, content = Grid(grid.shape, np.diag([3.0, 2.5, 4.0, 1.0])), warp_bytes("mm", field, moving_grid)
    middle = affine @ [2.5, 3, 2, 1]
    numbers = (*plain.spacing_mm, *np.eye(3).ravel(), *middle[:3], 0.5 / 3, 0.2 / 3, 0.4 / 2.5)
    start = content.index(struct.pack(">iq", 15, 1200)) + 12 + 600
    content = content[:start] + struct.pack(">4i18f", 1, *grid.shape, *numbers) + content[start + 88 :]
    (tmp_path / "warp.mgh").write_bytes(content)
    np.testing.assert_allclose(read_freesurfer_warp(tmp_path / "warp.mgh").grid.affine, affine, atol=1e-5)
