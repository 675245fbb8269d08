"""A store reads its scans once, checks them, and gives the same arrays from memory and from disk."""

import os

import nibabel
import numpy as np
import pytest

from vxm_tf.data import Scan, ScanStore, normalize
from vxm_tf.files import InputError

SHAPE = (9, 10, 11)


@pytest.fixture
def scans(write_npz, rng):
    """Three scans with a segmentation each."""
    paths = [write_npz(f"scans/{k}.npz", seg=rng.integers(0, 4, SHAPE).astype("uint8")) for k in range(3)]
    return [Scan(path.stem, path, path) for path in paths]


@pytest.fixture
def bare(write_npz):
    """bare(*shapes): scans without segmentation."""
    return lambda *shapes, **arrays: [
        Scan(f"b{k}", write_npz(f"bare/b{k}.npz", shape, **arrays), None) for k, shape in enumerate(shapes)
    ]


def test_images_are_normalised_by_the_named_method(scans):
    store = ScanStore(scans, "minmax")
    assert len(store) == 3
    for index, scan in enumerate(scans):
        expected = normalize(np.load(scan.image)["vol"][..., None], "minmax")
        np.testing.assert_array_equal(store.image(index), expected)
        assert store.image(index).dtype == np.float32


def test_memory_and_disk_give_the_same_arrays(scans, tmp_path):
    memory, disk = ScanStore(scans), ScanStore(scans, cache="disk", cache_dir=tmp_path / "cache")
    for index in range(3):
        np.testing.assert_array_equal(memory.image(index), disk.image(index))
        np.testing.assert_array_equal(memory.labels(index), disk.labels(index))


def test_a_disk_cache_is_mapped_not_held(scans, tmp_path):
    assert isinstance(ScanStore(scans, cache="disk", cache_dir=tmp_path / "cache").image(0), np.memmap)


def test_a_disk_cache_is_reused(scans, tmp_path, monkeypatch):
    first = ScanStore(scans, cache="disk", cache_dir=tmp_path / "cache")

    def read_again(*_, **__):
        raise AssertionError("read again")

    monkeypatch.setattr("vxm_tf.data.scan_store.read_image", read_again)
    second = ScanStore(scans, cache="disk", cache_dir=tmp_path / "cache")
    np.testing.assert_array_equal(second.image(2), first.image(2))


def test_a_disk_cache_is_refreshed_when_a_file_changes(scans, tmp_path, rng):
    ScanStore(scans, "none", cache="disk", cache_dir=tmp_path / "cache")
    size, changed = scans[1].image.stat().st_size, rng.random(SHAPE, dtype="float32")
    np.savez(scans[1].image, vol=changed, seg=np.load(scans[1].image)["seg"])
    os.utime(scans[1].image, ns=(1, 1))
    assert scans[1].image.stat().st_size == size
    store = ScanStore(scans, "none", cache="disk", cache_dir=tmp_path / "cache")
    np.testing.assert_array_equal(store.image(1)[..., 0], changed)


def test_a_disk_cache_is_not_shared_between_normalisations(scans, tmp_path):
    ScanStore(scans, "none", cache="disk", cache_dir=tmp_path / "cache")
    store = ScanStore(scans, "minmax", cache="disk", cache_dir=tmp_path / "cache")
    assert store.image(0).max() == 1.0


def test_labels_are_integers_on_the_images_grid(scans):
    labels = ScanStore(scans).labels(1)
    np.testing.assert_array_equal(labels, np.load(scans[1].image)["seg"])
    assert labels.dtype == np.int32


def test_labels_are_read_once(scans):
    store = ScanStore(scans)
    assert store.labels(0) is store.labels(0)


def test_a_scan_without_segmentation_has_no_labels(bare):
    assert ScanStore(bare(SHAPE)).labels(0) is None


def test_a_store_has_labels_only_if_every_scan_has(scans, bare):
    assert ScanStore(scans).has_labels
    assert not ScanStore([*scans, *bare(SHAPE)]).has_labels


def test_a_segmentation_of_another_shape_is_named_with_both_shapes(scans, write_npz):
    other = write_npz("other.npz", seg=np.zeros((9, 10, 12), "uint8"))
    store = ScanStore([Scan("a", scans[0].image, other)])
    with pytest.raises(InputError, match=r"other.npz.*\(9, 10, 12\).*0.npz.*\(9, 10, 11\)"):
        store.labels(0)


def test_images_of_one_shape_have_that_shape(scans):
    assert ScanStore(scans).image_shape == SHAPE


def test_images_of_different_shapes_have_no_common_shape(bare):
    assert ScanStore(bare((9, 10, 11), (9, 10, 12))).image_shape == (None, None, None)
    assert ScanStore(bare((9, 10), (8, 10))).image_shape == (None, None)


@pytest.mark.parametrize("shape, multichannel, channels", [((9, 10), False, 1), ((9, 10, 3), True, 3)])
def test_the_number_of_channels_is_known(bare, shape, multichannel, channels):
    store = ScanStore(bare(shape), multichannel=multichannel)
    assert (store.channels, store.image_shape) == (channels, (9, 10))


@pytest.mark.parametrize("cache", ("memory", "disk"))
def test_every_bad_file_is_named_in_one_error(scans, write_npz, tmp_path, cache):
    (tmp_path / "text.nii.gz").write_text("no volume")
    constant, infinite = write_npz("constant.npz", vol=np.ones(SHAPE)), write_npz("inf.npz", vol=np.full(SHAPE, np.inf))
    bad = [tmp_path / "gone.nii", tmp_path / "text.nii.gz", constant, infinite]
    with pytest.raises(InputError) as caught:
        ScanStore([*scans, *(Scan(p.stem, p, None) for p in bad)], cache=cache, cache_dir=tmp_path / "cache")
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [str(path) for path in bad]


def test_very_many_bad_files_are_counted(tmp_path):
    with pytest.raises(InputError, match=r"\.\.\. and 5 more\.") as caught:
        ScanStore([Scan(str(k), tmp_path / f"{k}.nii", None) for k in range(25)])
    assert len(str(caught.value).splitlines()) == 21


def test_2_d_and_3_d_images_do_not_mix(bare):
    with pytest.raises(InputError, match=r"b0.npz is 2-D.*b1.npz is 3-D"):
        ScanStore(bare((9, 10), (9, 10, 11)))


def test_different_numbers_of_channels_do_not_mix(bare):
    with pytest.raises(InputError, match=r"b0.npz is 2-D with 2 channel.*b1.npz is 2-D with 3 channel"):
        ScanStore(bare((9, 10, 2), (9, 10, 3)), multichannel=True)


def test_an_unknown_cache_is_refused(scans):
    with pytest.raises(InputError, match="'memory' or 'disk'; got 'tape'"):
        ScanStore(scans, cache="tape")


def test_progress_counts_to_the_number_of_scans(scans):
    calls = []
    ScanStore(scans, progress=lambda *call: calls.append(call))
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_nifti_and_npz_scans_share_a_store(scans, tmp_path, rng, affine):
    nibabel.save(nibabel.Nifti1Image(rng.random(SHAPE), affine), tmp_path / "n.nii.gz")
    assert ScanStore([*scans, Scan("n", tmp_path / "n.nii.gz", None)]).image_shape == SHAPE


def test_a_cache_on_disk_needs_a_folder(scans):
    with pytest.raises(InputError, match="give cache_dir"):
        ScanStore(scans, cache="disk")


def test_images_that_resemble_segmentations_are_told(write_npz, rng, caplog):
    shape = (22, 24, 26)
    labels = write_npz("labels.npz", shape, vol=rng.integers(0, 30, shape).astype("uint8"))
    image = write_npz("image.npz", shape, vol=rng.integers(0, 200, shape).astype("uint8"))
    ScanStore([Scan("labels", labels, None), Scan("image", image, None)])
    assert "1 of 2 scans hold only a few whole numbers" in caplog.text and "images: labels." in caplog.text
