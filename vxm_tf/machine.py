"""The number of threads that this process may compute with."""

import math
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from vxm_tf.files.errors import InputError

CHOICE = "VXM_THREADS"
# Shares of a machine that schedulers hand out, and limits that users know from other programs.
LIMITS = (
    "OMP_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "SLURM_CPUS_PER_TASK",
    "NSLOTS",
    "PBS_NUM_PPN",
    "PBS_NCPUS",
    "NCPUS",
    "LSB_DJOB_NUMPROC",
)
CGROUPS, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def use_threads(count: int | None = None) -> int:
    """Set the number of threads with which this package computes from now on.

    Call it before the first computation: TensorFlow starts its threads then, and keeps them.

    Args:
        count: number of threads; None for `VXM_THREADS` of the environment, or as many as `available_threads` counts.

    Returns:
        The number of threads.

    Raises:
        InputError: a number below 1, or TensorFlow computes already with another number.
    """
    if count is not None:
        if not isinstance(count, int) or count < 1:
            raise InputError(f"The number of threads is 1 or more; got {count!r:.50}.")
        os.environ[CHOICE] = str(count)
    number = threads()
    if not _limit_tensorflow(number) and count is not None:
        raise InputError(
            f"TensorFlow computes already with another number of threads than {count}. Choose the number before the "
            f"first computation, or by the environment variable {CHOICE}."
        )
    return number


def threads() -> int:
    """The number of threads to compute with: `VXM_THREADS` of the environment, else `available_threads()`.

    Raises:
        InputError: `VXM_THREADS` is no whole number of 1 or more.
    """
    chosen = os.environ.get(CHOICE, "").strip()
    if not chosen:
        return available_threads()
    if not chosen.isdecimal() or int(chosen) < 1:
        raise InputError(f"{CHOICE} is a whole number of 1 or more; got {chosen!r}.")
    return int(chosen)


def available_threads(
    environment: Mapping[str, str] | None = None,
    *,
    cgroups: str | os.PathLike = CGROUPS,
    membership: str | os.PathLike = MEMBERSHIP,
) -> int:
    """The number of processors that this process may use.

    It is the smallest of: the processors that it may run on, the quota of its control groups (containers, batch
    systems), rounded up, and the variables in `LIMITS` that are set.

    Args:
        environment: environment variables; those of the process if None.
        cgroups: folder in which Linux shows control groups.
        membership: file that lists the control groups of the process.

    Returns:
        A number of 1 or more.
    """
    environment = os.environ if environment is None else environment
    limits = [_runnable(), *_quotas(Path(cgroups), Path(membership))]
    for name in LIMITS:
        # OpenMP takes a list, such as "4,2", with a number for each level of nesting.
        number = re.match(r"\s*(\d+)", environment.get(name, ""))
        if number and int(number.group(1)) > 0:
            limits.append(int(number.group(1)))
    return max(1, min(limits))


def _runnable() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(cgroups: Path, membership: Path) -> Iterable[int]:
    """The number of processors, rounded up, that each control group of the process and each of its parents allows."""
    for line in _text(membership).splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not controllers:
            folders, read = [cgroups, cgroups / "unified"], _quota_of_v2
        elif "cpu" in controllers.split(","):
            folders, read = [cgroups / controllers, cgroups / "cpu"], _quota_of_v1
        else:
            continue
        parts = Path(path.lstrip("/")).parts
        for folder in folders:
            # A container sees its own group at the root, whatever path the list has.
            for depth in range(len(parts) + 1):
                quota, period = read(folder.joinpath(*parts[:depth]))
                if quota > 0 and period > 0:
                    yield math.ceil(quota / period)


def _quota_of_v2(folder: Path) -> tuple[float, float]:
    quota, period = [*_text(folder / "cpu.max").split(), "", ""][:2]
    return _number(quota), _number(period)


def _quota_of_v1(folder: Path) -> tuple[float, float]:
    return _number(_text(folder / "cpu.cfs_quota_us")), _number(_text(folder / "cpu.cfs_period_us"))


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""


def _number(text: str) -> float:
    """The number that a text holds; 0 for none, such as "max"."""
    try:
        return float(text)
    except ValueError:
        return 0.0


def _limit_tensorflow(count: int) -> bool:
    """Set TensorFlow's pools, if it is imported; False if it computes already with other pools."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None:
        return True
    threading = tensorflow.config.threading
    if threading.get_intra_op_parallelism_threads() == threading.get_inter_op_parallelism_threads() == count:
        return True
    try:
        threading.set_intra_op_parallelism_threads(count)
        threading.set_inter_op_parallelism_threads(count)
    except RuntimeError:
        return False
    return True
