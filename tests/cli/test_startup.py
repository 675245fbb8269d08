"""A command starts with the package's settings of Keras, and without TensorFlow's log lines."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
FOREIGN = {"floatx": "float16", "epsilon": 0.001, "image_data_format": "channels_first", "backend": "jax"}
# The displacement of a network whose weights are seeded.
PREDICT = """
import keras, numpy as np
from vxm_tf.models import VxmDense
keras.utils.set_random_seed(0)
network = VxmDense((16, 16), features=((4,), (4,)))
images = np.random.default_rng(0).random((2, 1, 16, 16, 1)).astype("float32")
fields = network.with_outputs("displacement")({"moving": images[0], "fixed": images[1]})
print(network.dtype_policy.name, np.asarray(fields["displacement"]).tobytes().hex())
"""


def run(*command, log_level=None, **variables):
    dropped = ("TF_CPP_MIN_LOG_LEVEL", "KERAS_BACKEND", "KERAS_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    environment |= {"PYTHONPATH": str(ROOT), **variables}
    if log_level is not None:
        environment["TF_CPP_MIN_LOG_LEVEL"] = log_level
    return subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The answer without a keras.json."""
    done = run("-c", "import vxm_tf" + PREDICT, KERAS_HOME=str(tmp_path_factory.mktemp("keras")))
    assert done.stdout.startswith("float32 "), done.stderr
    return done.stdout


def test_a_keras_json_changes_no_result(tmp_path, plain):
    (tmp_path / "keras.json").write_text(json.dumps(FOREIGN))
    assert run("-c", "import vxm_tf" + PREDICT, KERAS_HOME=str(tmp_path)).stdout == plain


def test_a_data_format_that_a_program_chose_changes_no_result(tmp_path, plain):
    start = "import keras; keras.config.set_image_data_format('channels_first'); import vxm_tf"
    assert run("-c", start + PREDICT, KERAS_HOME=str(tmp_path)).stdout == plain


def test_a_backend_that_the_environment_names_and_nobody_installed_ends_in_a_sentence():
    done = run("-m", "vxm_tf.cli.train", "--help", KERAS_BACKEND="nosuch")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert (
        "Error: Keras cannot start with the backend 'nosuch', which the environment variable KERAS_BACKEND names"
        in (done.stderr)
    )


def test_a_keras_json_that_keras_refuses_is_named(tmp_path):
    (tmp_path / "keras.json").write_text(json.dumps({"floatx": "float8"}))
    done = run("-m", "vxm_tf.cli.train", "--help", KERAS_HOME=str(tmp_path))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"{tmp_path}/keras.json" in done.stderr


def test_a_command_shows_no_line_but_its_own(tmp_path):
    image = nibabel.Nifti1Image(np.random.default_rng(0).random((8, 9, 10)).astype("float32"), np.eye(4))
    nibabel.save(image, tmp_path / "A.nii.gz")
    arguments = ("--moving", tmp_path / "A.nii.gz", "--fixed", tmp_path / "A.nii.gz", "--moved", tmp_path / "m.nii.gz")
    done = run("-m", "vxm_tf.cli.register", "--model", "none", "--refine", "1", *arguments)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) >= 2 and [line for line in lines if not re.match(r"\d\d:\d\d:\d\d ", line)] == []


def test_a_user_who_wants_the_log_gets_it():
    assert re.search(r"I0000 .*oneDNN|I tensorflow", run("-m", "vxm_tf.cli.train", "--help", log_level="0").stderr)


def test_what_is_no_noise_is_shown_even_if_the_import_ends_the_process():
    crash = """
import os, sys
sys.argv = ["vxm-register"]
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "keras":
            os.write(2, b"I0000 00:00:17.0 1 port.cc:153] oneDNN custom operations are on.\\nF0000 no AVX here\\n")
            os.abort()
import importlib.util
importlib.util.find_spec("keras")
sys.meta_path.insert(0, Watch())
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: object()
import vxm_tf
"""
    done = run("-c", crash)
    assert done.returncode < 0
    assert "F0000 no AVX here" in done.stderr and "oneDNN" not in done.stderr


def test_a_command_computes_with_the_number_of_its_flag(tmp_path):
    code = (
        "import sys; sys.argv = ['vxm-invert', '--threads=3', *sys.argv[1:]]\n"
        "import vxm_tf.cli.invert as invert, tensorflow as tf\n"
        "invert.invert_file = lambda config: print(tf.config.threading.get_intra_op_parallelism_threads())\n"
        "invert.main()"
    )
    done = run("-c", code, "--transform=a", "--moving=b", "--output=c", OMP_NUM_THREADS="1")
    assert done.stdout.strip() == "3", done.stderr


def test_threads_below_one_are_refused(call):
    answer = call("invert", "--transform=a", "--output=b", "--threads=0")
    assert answer.code == 1 and "Error: The number of threads is 1 or more; got 0." in answer.err
