"""A file is written whole or not at all."""

import os
import stat
import threading
import time

import numpy as np
import pytest

from vxm_tf.files.atomic import replace_atomically
from vxm_tf.files.csv_file import write_csv
from vxm_tf.files.errors import InputError
from vxm_tf.files.json_file import read_json, write_json, write_text
from vxm_tf.files.volumes import read_image
from vxm_tf.files.writing import write_volume

RAMP = np.arange(990, dtype="float32").reshape(9, 10, 11)


def half_then(error):
    """A `save` that fails after half of its bytes."""

    def save(temporary):
        with open(temporary, "wb") as stream:
            stream.write(b"half")
        raise error

    return save


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "old.nii.gz"
    path.write_bytes(b"what was there before")
    return path


def only(path, content):
    """Whether the folder holds this file with this content and nothing else."""
    return list(path.parent.iterdir()) == [path] and path.read_bytes() == content


@pytest.mark.parametrize("error", (OSError(28, "No space left on device"), ValueError("bad"), KeyboardInterrupt()))
def test_a_failing_save_leaves_the_old_file_and_no_temporary(old, error):
    with pytest.raises((InputError, type(error))):
        replace_atomically(old, half_then(error))
    assert only(old, b"what was there before")


def test_a_full_disk_is_told_with_the_file_and_the_reason(old):
    with pytest.raises(InputError, match="No space left on device") as caught:
        replace_atomically(old, half_then(OSError(28, "No space left on device")))
    assert str(old) in str(caught.value)


def test_a_volume_that_cannot_be_encoded_leaves_the_old_file(old):
    with pytest.raises(Exception, match="dtype"):
        write_volume(old, RAMP.astype("U4"))
    assert only(old, b"what was there before")


def test_the_old_file_stays_readable_until_the_new_one_is_whole(old):
    seen = []

    def save(temporary):
        with open(temporary, "wb") as stream:
            stream.write(b"new")
            seen.append(old.read_bytes())

    replace_atomically(old, save)
    assert seen == [b"what was there before"]
    assert only(old, b"new")


@pytest.mark.parametrize("name", ("a.nii.gz", "a.npz", "a.json", "best.keras", "picture.png"))
def test_the_temporary_has_the_extension_by_which_writers_choose_the_format(tmp_path, name):
    names = []

    def save(temporary):
        names.append(os.path.basename(temporary))
        open(temporary, "wb").close()

    replace_atomically(tmp_path / name, save)
    assert names[0] != name
    assert names[0].endswith(name[name.index(".") :])


def test_missing_folders_are_made(tmp_path):
    write_volume(tmp_path / "a" / "b" / "v.npz", RAMP)
    assert read_image(tmp_path / "a" / "b" / "v.npz").array.shape == (9, 10, 11, 1)


@pytest.mark.parametrize("below", ("out.nii.gz", "deeper/out.nii.gz"))
def test_a_folder_that_cannot_be_written_is_named(tmp_path, below):
    (tmp_path / "file").write_text("a regular file")
    target = tmp_path / "file" / below
    with pytest.raises(InputError, match="cannot be written") as caught:
        write_volume(target, RAMP)
    assert str(target) in str(caught.value)
    assert (tmp_path / "file").read_text() == "a regular file"


def test_a_file_is_as_readable_as_the_user_wants_new_files_to_be(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


def test_files_written_by_several_threads_leave_the_umask_alone(tmp_path, monkeypatch):
    umask = os.umask

    def slow_umask(mask):
        before = umask(mask)
        time.sleep(0.01)
        return before

    monkeypatch.setattr(os, "umask", slow_umask)
    before = umask(0o027)
    try:
        threads = [threading.Thread(target=write_text, args=(tmp_path / f"{k}.txt", "text")) for k in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert umask(0o027) == 0o027
    finally:
        umask(before)


def test_json_survives_writing_and_reading(tmp_path):
    value = {"name": "ä", "numbers": [1, 2.5, None, True]}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value


@pytest.mark.parametrize("content", (b"", b'{"half": [1, 2', b"\xff\xfe"))
def test_damaged_json_is_named(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match="a.json: cannot be read"):
        read_json(tmp_path / "a.json")


def test_missing_json_is_named(tmp_path):
    with pytest.raises(InputError, match="gone.json: cannot be read"):
        read_json(tmp_path / "gone.json")


def test_a_table_has_every_name_that_any_row_has(tmp_path):
    write_csv(tmp_path / "a.csv", [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25, "dice": 0.7}])
    assert (tmp_path / "a.csv").read_text() == "epoch,loss,dice\n1,0.5,\n2,0.25,0.7\n"


def test_an_empty_table_is_an_empty_line(tmp_path):
    write_csv(tmp_path / "a.csv", [])
    assert (tmp_path / "a.csv").read_text() == "\n"
