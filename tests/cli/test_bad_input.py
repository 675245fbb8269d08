"""Bad input gets a clear error and loses nothing: what the issue lists, through the commands."""

import importlib
import re

import numpy as np
import pytest

from vxm_tf.models import VxmDense, load_model
from vxm_tf.training import assembly as setup

TRAIN = ("train", "--preset=fast", "--epochs=1", "--steps_per_epoch=2", "--similarity=mse", "--notensorboard")


def snapshot(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def refused(call, tmp_path, tiny):
    """refused(command, arguments, *parts): exit code 1, one error that holds the parts, and every file as it was."""

    def check(command, *arguments, says):
        before = snapshot(tmp_path)
        answer = call(command, *arguments)
        assert answer.code == 1, answer
        assert "Traceback" not in answer.err + answer.out
        starts = [match.start() for match in re.finditer("^Error: ", answer.err, re.MULTILINE)]
        assert len(starts) == 1, answer.err
        error = answer.err[starts[0] :]
        for part in says:
            assert part in error
        after = snapshot(tmp_path)
        assert {path: after.get(path) for path in before} == before
        # Of a refused run nothing is left but the settings of a training that began, and its cache of good scans.
        assert {path.name for path in set(after) - set(before) if path.suffix != ".npy"} <= {"config.json"}

    return check


@pytest.fixture
def train(refused, tmp_path):
    """train(*arguments, says): a training that is refused."""
    output_dir = f"--output_dir={tmp_path / 'out'}"
    return lambda *arguments, says: refused(*TRAIN, output_dir, *arguments, says=says)


@pytest.fixture
def bad_file(scans, nifti):
    """bad_file(kind) -> path, in the folder of scans, of a file that cannot be used."""

    def make(kind):
        if kind == "truncated":
            path = nifti("scans/bad.nii.gz", np.random.default_rng(0).integers(0, 30000, (16, 17)).astype("int16"))
            path.write_bytes(path.read_bytes()[:250])
            return path
        if kind == "text":
            (scans / "bad.nii.gz").write_text("no voxels")
            return scans / "bad.nii.gz"
        array = np.random.default_rng(0).random((16, 17, 5, 4) if kind == "4-D" else (16, 17))
        array.flat[3] = {"NaN": np.nan, "infinite": np.inf}.get(kind, 0.0)
        return nifti("scans/bad.nii.gz", np.zeros_like(array) + 5 if kind == "constant" else array)

    return make


KINDS = {
    "truncated": "truncated",
    "text": "cannot be read",
    "NaN": "NaN or infinite",
    "infinite": "NaN or infinite",
    "constant": "every voxel is 5",
    "4-D": "2-D or 3-D",
}


@pytest.mark.parametrize("kind", KINDS)
def test_train_names_a_scan_that_cannot_be_used(train, scans, bad_file, kind):
    train(f"--data_dir={scans}", says=[str(bad_file(kind)), KINDS[kind]])


@pytest.mark.parametrize("kind", KINDS)
def test_evaluate_names_a_scan_that_cannot_be_used(refused, scans, bad_file, model, tmp_path, kind):
    path = bad_file(kind)
    (tmp_path / "pairs.txt").write_text(f"{scans}/scan0.npz {path}\n")
    arguments = (f"--model={model}", f"--pairs={tmp_path}/pairs.txt", f"--output_dir={tmp_path}/evaluation")
    refused("evaluate", *arguments, says=[str(path), KINDS[kind]])


@pytest.mark.parametrize("which", ("moving", "fixed"))
@pytest.mark.parametrize("kind", KINDS)
def test_register_names_an_image_that_cannot_be_used(refused, bad_file, model, nifti, tmp_path, kind, which):
    images = {"moving": nifti("a.nii"), "fixed": nifti("b.nii"), which: bad_file(kind)}
    (tmp_path / "moved.nii.gz").write_text("of an earlier run")
    arguments = (f"--model={model}", f"--moved={tmp_path}/moved.nii.gz")
    says = [str(images[which]), KINDS[kind]]
    refused("register", *(f"--{k}={v}" for k, v in images.items()), *arguments, says=says)


def test_an_empty_folder_is_named(train, refused, model, tmp_path):
    (tmp_path / "empty").mkdir()
    train(f"--data_dir={tmp_path}/empty", says=[f"{tmp_path}/empty", "no image found"])
    refused(
        "evaluate", f"--model={model}", f"--data_dir={tmp_path}/empty", says=[f"{tmp_path}/empty", "no image found"]
    )


def test_a_folder_that_is_not_there_is_named(train, tmp_path):
    train(f"--data_dir={tmp_path}/nowhere", says=[f"{tmp_path}/nowhere", "no such folder"])


def test_no_pair_left_is_told_with_what_to_do(train, scans):
    says = [str(scans), "1 scan(s) left to train on after 3 went to validation", "--validation_fraction"]
    train(f"--data_dir={scans}", "--validation_fraction=0.75", says=says)


def test_no_pair_left_to_evaluate_is_told(refused, scans, model, tmp_path):
    arguments = (f"--model={model}", f"--data_dir={scans}", f"--output_dir={tmp_path}/evaluation")
    refused("evaluate", *arguments, says=["1 scan(s) for validation make no pair"])


def test_a_missing_file_of_a_list_is_named(train, scans, tmp_path):
    (tmp_path / "list.txt").write_text("scans/scan0.npz\nscans/gone.npz\n")
    for cache in ("memory", "disk"):
        train(f"--train_list={tmp_path}/list.txt", f"--cache={cache}", says=["gone.npz: there is no such file"])


def test_images_of_different_shapes_are_not_laid_voxel_on_voxel(refused, model, nifti, tmp_path):
    moving, fixed = nifti("a.nii", (16, 17)), nifti("b.nii", (16, 18))
    arguments = (f"--moving={moving}", f"--fixed={fixed}", f"--model={model}", f"--moved={tmp_path}/moved.nii")
    refused("register", *arguments, "--affine=none", says=[str(moving), str(fixed), "(16, 17)", "(16, 18)"])


@pytest.mark.parametrize("shape, reason", [((16, 17, 18), "takes 2-D images"), ((16, 17, 3), "takes 2-D images")])
def test_images_of_another_number_of_axes_than_the_networks_are_refused(refused, model, nifti, tmp_path, shape, reason):
    moving, fixed = nifti("a.nii", shape), nifti("b.nii", shape)
    arguments = (f"--moving={moving}", f"--fixed={fixed}", f"--model={model}", f"--moved={tmp_path}/moved.nii")
    refused("register", *arguments, says=[reason])


def test_a_segmentation_of_another_shape_is_named_before_training(train, scans, monkeypatch):
    for k in range(4):
        np.savez(scans / f"scan{k}.npz", vol=np.random.default_rng(k).random((16, 17)), seg=np.ones((16, 18), "uint8"))
    monkeypatch.setattr(setup.RegistrationTrainer, "fit", lambda *_, **__: pytest.fail("trained"))
    train(f"--data_dir={scans}", "--validation_fraction=0.5", says=["the segmentation has shape (16, 18)", ".npz"])


def test_a_segmentation_of_another_shape_is_named_before_evaluation(refused, scans, model, tmp_path, monkeypatch):
    np.savez(scans / "scan3.npz", vol=np.random.default_rng(0).random((16, 17)), seg=np.ones((16, 18), "uint8"))
    (tmp_path / "pairs.txt").write_text("scans/scan0.npz scans/scan1.npz\nscans/scan0.npz scans/scan3.npz\n")
    # The package's attribute of that name is the function.
    module = importlib.import_module("vxm_tf.evaluation.run_evaluation")
    monkeypatch.setattr(module, "register_pair", lambda *_: pytest.fail("registered"))
    arguments = (f"--model={model}", f"--pairs={tmp_path}/pairs.txt", f"--output_dir={tmp_path}/evaluation")
    refused("evaluate", *arguments, says=["scan3.npz: the segmentation has shape (16, 18)"])


def test_a_segmentation_without_image_is_named(train, scans, nifti):
    nifti("scans/scan9_seg.nii.gz", np.ones((16, 17), "uint8"))
    train(f"--data_dir={scans}", says=[str(scans / "scan9_seg.nii.gz"), "there is no image"])


def test_an_image_in_place_of_a_segmentation_is_named(refused, model, nifti, tmp_path):
    image = nifti("a.nii")
    files = (f"--moving={image}", f"--fixed={nifti('b.nii')}", f"--labels={image}", f"--moved_labels={tmp_path}/l.nii")
    refused("register", f"--model={model}", *files, says=[str(image), "whole numbers"])


@pytest.mark.parametrize("command", ("train", "evaluate", "register", "export"))
def test_an_output_folder_that_cannot_be_written_is_named(refused, scans, model, nifti, tmp_path, command):
    (tmp_path / "file").write_text("a regular file")
    target = f"{tmp_path}/file/out"
    arguments = {
        "train": (*TRAIN[1:], f"--data_dir={scans}", f"--output_dir={target}"),
        "evaluate": (f"--model={model}", f"--data_dir={scans}", "--validation_fraction=0.5", f"--output_dir={target}"),
        "export": (f"--model={model}", f"--output_dir={target}"),
        "register": (
            f"--model={model}",
            f"--moving={nifti('a.nii')}",
            f"--fixed={nifti('b.nii')}",
            f"--moved={target}/moved.nii",
        ),
    }
    refused(command, *arguments[command], says=[target, "cannot be written"])


def test_a_disk_that_is_full_while_a_checkpoint_is_written_leaves_the_old_one(
    call, tiny, scans, tmp_path, monkeypatch, caplog
):
    directory = tmp_path / "out"
    arguments = [*TRAIN[1:], f"--data_dir={scans}", f"--output_dir={directory}", "--epochs=2"]
    save = VxmDense.save

    def save_once(self, path, *args, **kwargs):
        if (directory / "state.json").exists():
            raise OSError(28, "No space left on device")
        save(self, path, *args, **kwargs)

    monkeypatch.setattr(VxmDense, "save", save_once)
    answer = call("train", *arguments)
    assert answer.code == 0 and "Traceback" not in answer.err
    assert "No space left on device" in caplog.text
    for name in ("best.keras", "last.keras"):
        assert isinstance(load_model(directory / name), VxmDense)


def test_a_disk_that_is_full_while_a_registration_is_written_leaves_the_old_file(
    refused, model, nifti, tmp_path, monkeypatch
):
    def full(image, path):
        with open(path, "w") as stream:
            stream.write("half")
        raise OSError(28, "No space left on device")

    files = (f"--moving={nifti('a.nii')}", f"--fixed={nifti('b.nii')}", f"--moved={tmp_path}/moved.nii")
    (tmp_path / "moved.nii").write_text("of an earlier run")
    monkeypatch.setattr("vxm_tf.files.writing.nibabel.save", full)
    refused("register", f"--model={model}", *files, says=[f"{tmp_path}/moved.nii", "No space left on device"])


@pytest.mark.parametrize("kind", ("missing", "text", "truncated"))
@pytest.mark.parametrize("command", ("train", "evaluate", "register", "export"))
def test_a_model_file_that_is_not_one_is_named(refused, scans, model, nifti, tmp_path, command, kind):
    path = tmp_path / "not.keras"
    if kind != "missing":
        path.write_bytes(b"no model" if kind == "text" else model.read_bytes()[:2000])
    model.unlink()
    arguments = {
        "train": (*TRAIN[1:], f"--data_dir={scans}", f"--output_dir={tmp_path}/out", f"--initial_model={path}"),
        "evaluate": (f"--data_dir={scans}", "--validation_fraction=0.5", f"--output_dir={tmp_path}/evaluation"),
        "export": (f"--output_dir={tmp_path}/served",),
        "register": (f"--moving={nifti('a.nii')}", f"--fixed={nifti('b.nii')}", f"--moved={tmp_path}/moved.nii"),
    }[command]
    if command != "train":
        arguments = (f"--model={path}", *arguments)
    says = [str(path), "no such model file" if kind == "missing" else "cannot be loaded as a model"]
    refused(command, *arguments, says=says)


def test_a_version_that_is_served_already_is_not_overwritten(refused, model, tmp_path):
    (tmp_path / "served" / "1").mkdir(parents=True)
    (tmp_path / "served" / "1" / "saved_model.pb").write_text("in service")
    refused("export", f"--model={model}", f"--output_dir={tmp_path}/served", "--version=1", says=["exists already"])


def test_another_training_in_the_same_folder_is_refused(call, refused, scans, tmp_path, tiny):
    arguments = [*TRAIN[1:], f"--data_dir={scans}", f"--output_dir={tmp_path}/out"]
    assert call("train", *arguments).code == 0
    refused("train", *arguments, "--weight=0.25", says=["other settings", "weight: ", "-> 0.25", f"{tmp_path}/out"])


def test_a_training_that_diverges_says_so(train, scans):
    train(f"--data_dir={scans}", "--learning_rate=1e30", says=["epoch 1", "--learning_rate"])


@pytest.mark.parametrize("flag", ("epochs", "steps_per_epoch", "batch_size"))
def test_no_epochs_steps_or_pairs_are_refused(train, scans, flag):
    train(f"--data_dir={scans}", f"--{flag}=0", says=[f"{flag} is 1 or more; got 0"])
