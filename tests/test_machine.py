"""The number of threads comes from what this process may use, not from what the machine has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vxm_tf import machine
from vxm_tf.files import InputError

ROOT = Path(__file__).resolve().parents[1]
MANY = 1000
# A fresh process, because TensorFlow starts its threads once.
REPORT = """
import sys
import vxm_tf, tensorflow as tf
from vxm_tf import machine
if len(sys.argv) > 1:
    machine.use_threads(int(sys.argv[1]))
threading = tf.config.threading
print(machine.threads(), threading.get_intra_op_parallelism_threads(), threading.get_inter_op_parallelism_threads())
"""
VARIABLES = (machine.CHOICE, *machine.LIMITS)


@pytest.fixture
def many(monkeypatch):
    """A machine of a thousand processors, so that every other limit shows."""
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: set(range(MANY)), raising=False)


def counted(tmp_path, environment=None, membership="", files=None):
    """The number of threads with made-up control groups: their list, and the content of their files."""
    (tmp_path / "membership").write_text(membership)
    for name, text in (files or {}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return machine.available_threads(environment or {}, cgroups=tmp_path, membership=tmp_path / "membership")


def test_without_limits_all_runnable_processors_count(many, tmp_path):
    assert counted(tmp_path) == MANY


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system binds no process to processors")
def test_a_process_that_is_bound_to_one_processor_counts_one():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n" + REPORT
    assert report(code).split() == ["1", "1", "1"]


@pytest.mark.parametrize("name", machine.LIMITS)
def test_each_usual_variable_is_a_limit(many, tmp_path, name):
    assert counted(tmp_path, {name: "3"}) == 3


@pytest.mark.parametrize(
    ("environment", "number"),
    [
        ({"OMP_NUM_THREADS": "6", "SLURM_CPUS_PER_TASK": "4", "NSLOTS": "5"}, 4),
        ({"OMP_NUM_THREADS": "4,2"}, 4),
        ({"OMP_NUM_THREADS": "0", "NSLOTS": "", "NCPUS": "all"}, MANY),
        ({"OMP_NUM_THREADS": "2000"}, MANY),
    ],
)
def test_the_smallest_variable_that_holds_a_number_counts(many, tmp_path, environment, number):
    assert counted(tmp_path, environment) == number


@pytest.mark.parametrize(
    ("membership", "files", "number"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "max 100000\n"}, MANY),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "300000 100000\n"}, 3),
        ("0::/a/b\n", {"a/b/cpu.max": "400000 100000\n", "a/cpu.max": "700000 100000\n"}, 4),
        (
            "3:cpu,cpuacct:/j\n",
            {"cpu,cpuacct/j/cpu.cfs_quota_us": "500000", "cpu,cpuacct/j/cpu.cfs_period_us": "1e5"},
            5,
        ),
        ("1:cpu:/docker/x\n", {"cpu/cpu.cfs_quota_us": "600000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 6),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, MANY),
        ("1:cpuset:/\n", {"cpuset/cpu.cfs_quota_us": "100000\n", "cpuset/cpu.cfs_period_us": "100000\n"}, MANY),
        ("nonsense\n", {"cpu.max": "100000 100000\n"}, MANY),
    ],
)
def test_the_quota_of_control_groups_and_their_parents_is_a_limit(many, tmp_path, membership, files, number):
    assert counted(tmp_path, {}, membership, files) == number


def test_a_system_without_control_groups_has_no_quota(many, tmp_path):
    assert machine.available_threads({}, cgroups=tmp_path / "gone", membership=tmp_path / "gone") == MANY


def test_the_package_s_own_variable_has_the_last_word(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv(machine.CHOICE, "5")
    assert machine.threads() == 5


@pytest.mark.parametrize("text", ("0", "-2", "two", "1.5"))
def test_a_variable_that_is_no_number_of_threads_is_refused(monkeypatch, text):
    monkeypatch.setenv(machine.CHOICE, text)
    with pytest.raises(InputError, match="VXM_THREADS is a whole number of 1 or more; got"):
        machine.threads()


@pytest.mark.parametrize("count", [0, -3, 1.5, "2"])
def test_what_is_no_number_of_threads_is_refused(count):
    with pytest.raises(InputError, match=f"number of threads is 1 or more; got {count!r}"):
        machine.use_threads(count)


def test_tensorflow_starts_with_the_number_of_the_environment():
    assert report(REPORT, OMP_NUM_THREADS="1").split() == ["1", "1", "1"]


def test_a_program_chooses_the_number_by_a_function():
    assert report(REPORT, "3", OMP_NUM_THREADS="1").split() == ["3", "3", "3"]


def test_a_number_that_comes_too_late_is_refused():
    late = "import vxm_tf, tensorflow as tf\ntf.zeros(3)\nfrom vxm_tf import machine\nmachine.use_threads(77)"
    with pytest.raises(subprocess.CalledProcessError) as error:
        report(late)
    assert "InputError: TensorFlow computes already with another number of threads than 77." in error.value.stderr


def test_the_pools_of_this_package_have_that_many_threads(monkeypatch):
    import numpy as np

    from vxm_tf.spatial import interpolation

    made = []
    pool = interpolation.ThreadPoolExecutor
    monkeypatch.setattr(interpolation, "ThreadPoolExecutor", lambda count: made.append(count) or pool(count))
    monkeypatch.setenv(machine.CHOICE, "3")
    interpolation.interpolate(np.zeros((4, 4, 1)), np.zeros((2, 2)))
    assert made == [3]


def report(code, *arguments, **variables):
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment |= {"PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=300).stdout
