"""Where a session can run, found out without letting ONNX Runtime complain about what is not there."""

from __future__ import annotations

import contextlib
import ctypes
import io
import math
import os
import sys
from pathlib import Path

import onnxruntime

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def driver_is_there() -> bool:
    """This machine has an NVIDIA driver, with or without a GPU."""
    return _driver() is not None


def gpu_count() -> int:
    """NVIDIA GPUs that the driver offers to this process; 0 without a driver. Does not touch ONNX Runtime."""
    driver = _driver()
    count = ctypes.c_int(0)
    if driver is None or driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def gpu_is_attached(devices: Path = Path("/dev")) -> bool:
    """This machine has an NVIDIA GPU, whether or not its driver works: the kernel shows it under `devices`."""
    return any(path.name.removeprefix("nvidia").isdecimal() for path in devices.glob("nvidia*"))


def cuda_is_built_in() -> bool:
    """This ONNX Runtime is one that can use NVIDIA GPUs."""
    return CUDA in onnxruntime.get_available_providers()


def preload_cuda_libraries() -> None:
    """Load the CUDA libraries of the extra ``cuda``, where they are installed; silent where they are not."""
    preload = getattr(onnxruntime, "preload_dlls", None)
    if preload is not None:
        with no_output():  # it prints what it does not find
            preload()


def no_output() -> contextlib.redirect_stdout[io.StringIO]:
    """A context in which what ONNX Runtime prints about a GPU that it cannot use goes nowhere."""
    return contextlib.redirect_stdout(io.StringIO())


def _driver() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None


def usable_cores() -> int:
    """Processor cores that this process may use: its affinity, and the quota of its control group."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = min(_cgroup_v2_quota(), _cgroup_v1_quota())
    return max(1, math.ceil(min(cores, quota)))


def _cgroup_v2_quota(root: Path = Path("/sys/fs/cgroup")) -> float:
    """Cores that control groups (version 2) allow; infinity without a limit. The tightest of all levels counts."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return math.inf
    relative = next((line.partition("::")[2] for line in lines if line.startswith("0::")), "")
    folder = root / relative.lstrip("/")
    levels = [level for level in (folder, *folder.parents) if root in (level, *level.parents)]
    return min((_ratio(level / "cpu.max") for level in levels), default=math.inf)


def _cgroup_v1_quota(folder: Path = Path("/sys/fs/cgroup/cpu")) -> float:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return math.inf
    return quota / period if quota > 0 and period > 0 else math.inf


def _ratio(path: Path) -> float:
    """``200000 100000`` is 2 cores; ``max 100000`` is no limit."""
    try:
        quota, period = path.read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf
