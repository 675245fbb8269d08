"""Where training pairs come from."""

import json
from pathlib import Path

import keras
import nibabel
import numpy as np
import pytest

from vxm_tf.data.synthetic.augmentation import augmented
from vxm_tf.data.synthetic.phantoms import write_population
from vxm_tf.files import InputError
from vxm_tf.models import load_model
from vxm_tf.training import TrainConfig, train
from vxm_tf.training.source import SyntheticSource, open_source


@pytest.fixture(scope="module")
def label_maps(tmp_path_factory):
    """Two folders, each with the label maps of a population: of 3 and of 2 people."""
    folders = [tmp_path_factory.mktemp(name) for name in ("many", "few")]
    for seed, (folder, count) in enumerate(zip(folders, (3, 2))):
        write_population(folder, (64, 64), num_train=count, num_val=0, seed=seed)
    return ",".join(map(str, folders))


@pytest.fixture
def make_synthetic(label_maps, make_config):
    def make(**changed):
        settings = {"data_dir": "", "label_maps": label_maps, "shape": (32, 40), "spacing_mm": (2.0,)}
        return make_config(**{**settings, **changed})

    return make


def test_scans_are_fed_as_they_are(make_config):
    source, val_store = open_source(make_config())
    assert (source.image_shape, source.channels, str(source)) == ((32, 32), 1, "4 scans")
    assert len(source.pairs) == 6 and len(val_store) == 2
    batch = next(iter(source.dataset(0)))
    np.testing.assert_array_equal(batch["moving"][0], source.store.image(source.pairs[0][0]))


def test_augmentation_goes_on_where_it_stopped(make_config):
    """Pair 4 is changed alike whether the training began at pair 0 or went on from pair 4."""
    names = ("flip", "affine", "deformation", "intensity")
    source, _ = open_source(make_config(augmentations=names, orientation="RA", seed=3))
    assert source.left_right == 0
    whole, rest = list(source.dataset(0)), list(source.dataset(4))
    images = [source.store.image(index) for index in source.pairs[4]]
    expected = augmented(images, names, np.random.default_rng([3, 4]), 0)
    for name, image in zip(("moving", "fixed"), expected):
        np.testing.assert_array_equal(np.asarray(rest[0][name])[0], image)
        np.testing.assert_array_equal(rest[0][name], whole[4][name])


def test_flips_need_to_know_left_from_right(make_config, caplog):
    source, _ = open_source(make_config(augmentations=("flip",)))
    assert source.left_right is None
    assert "which axis is left to right. Give --orientation" in caplog.text


def test_an_unknown_augmentation_is_refused(make_config):
    with pytest.raises(ValueError, match="no augmentation 'crop'"):
        open_source(make_config(augmentations=("crop",)))


def test_pairs_of_label_maps_stay_within_their_population(make_synthetic):
    source, val_store = open_source(make_synthetic(epochs=50))
    assert val_store is None and str(source) == "5 label maps"
    sizes = np.array([3, 2])[source.pairs[:, 0]]
    assert (source.pairs[:, 1] != source.pairs[:, 2]).all()
    assert (source.pairs[:, 1:] < sizes[:, None]).all() and (source.pairs >= 0).all()
    assert np.bincount(source.pairs[:, 0]).tolist() == pytest.approx([90, 60], abs=20)


def test_a_network_learns_from_label_maps_and_records_their_grid(make_synthetic):
    config = make_synthetic(orientation="RA")
    network = load_model(train(config))
    assert network.metadata["grid"] == {"spacing_mm": [2.0, 2.0], "orientation": "RA"}
    assert network.settings["image_shape"] == (32, 40)
    with open(f"{config.output_dir}/config.json") as stream:
        assert json.load(stream)["label_maps"] == config.label_maps


def test_a_synthetic_training_goes_on_as_if_it_had_not_stopped(make_synthetic, tmp_path, messages):
    weights = []
    for name, runs in (("once", (2,)), ("twice", (1, 2))):
        for epochs in runs:
            config = make_synthetic(output_dir=str(tmp_path / name), epochs=2)
            with pytest.MonkeyPatch.context() as patch:
                if epochs == 1:
                    patch.setattr(keras.callbacks.Callback, "on_epoch_begin", _stop_after_one)
                    with pytest.raises(KeyboardInterrupt):
                        train(config)
                else:
                    train(config)
        weights.append(load_model(f"{config.output_dir}/last.keras").get_weights())
    assert "Going on after epoch 1 of 2" in messages()
    for once, twice in zip(*weights):
        np.testing.assert_allclose(once, twice, atol=1e-6)


def _stop_after_one(callback, epoch, logs=None):
    if epoch == 1:
        raise KeyboardInterrupt


def test_label_maps_of_other_axes_than_the_shape_are_refused(make_synthetic):
    with pytest.raises(InputError, match="label maps with 2 axes, but --shape has 3"):
        open_source(make_synthetic(shape=()))


def test_label_maps_that_say_no_orientation_go_by_those_that_do(label_maps, make_synthetic, tmp_path):
    maps = np.load(next(iter(Path(label_maps.split(",")[0]).rglob("*.npz"))))["seg"]
    for name in ("a", "b"):
        image = nibabel.Nifti1Image(maps[..., None], np.diag([-2.0, 2.0, 2.0, 1.0]))
        nibabel.save(image, tmp_path / f"{name}_seg.nii.gz")
    for folders in (f"{label_maps},{tmp_path}", f"{tmp_path},{label_maps}"):
        assert open_source(make_synthetic(label_maps=folders))[0].grid["orientation"] == "LA"


def test_the_defaults_of_synthetic_images_are_those_of_a_brain_at_2_mm(tmp_path):
    write_population(tmp_path, (40, 40, 40), num_train=2, num_val=0)
    source = SyntheticSource(TrainConfig(label_maps=str(tmp_path)))
    assert (source.image_shape, source.grid["spacing_mm"]) == ((80, 96, 112), [2.0, 2.0, 2.0])


def test_synthetic_images_have_one_voxel_size(make_synthetic):
    with pytest.raises(ValueError, match="one voxel size for all axes"):
        open_source(make_synthetic(spacing_mm=(2.0, 1.0)))


@pytest.mark.parametrize("setting", ({"data_dir": "scans"}, {"atlas": "a.npz"}, {"augmentations": ("affine",)}))
def test_what_would_do_nothing_beside_label_maps_is_refused(make_synthetic, setting):
    with pytest.raises(ValueError, match=f"so {next(iter(setting))} would do nothing"):
        train(make_synthetic(**setting))
