"""What a figure was measured on, and the table that it stands in."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parents[2] / "build" / "bench"


def machine() -> str:
    """Processor, cores, memory, load, and the versions that matter, in one line."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        model = next(
            (line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")),
            model,
        )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    runtime = next((f"{name} {version(name)}" for name in ("onnxruntime-gpu", "onnxruntime") if _installed(name)), "?")
    return (
        f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, load {os.getloadavg()[0]:.1f}; "
        f"Python {platform.python_version()}, {runtime}, aiokafka {version('aiokafka')},"
        f" faust-streaming {version('faust-streaming')}"
    )


def graphics_card(device_id: int = 0) -> str:
    """Name and memory of a GPU, the driver, and the CUDA versions of driver and ONNX Runtime, in one line.

    Asks the driver itself (``cuda.h``), so that no other package is needed; raises OSError without a driver.
    """
    driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    device, number, memory = ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    name = ctypes.create_string_buffer(128)
    driver.cuInit(0)
    driver.cuDeviceGet(ctypes.byref(device), device_id)
    driver.cuDeviceGetName(name, len(name), device)
    driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    driver.cuDriverGetVersion(ctypes.byref(number))
    return (
        f"{name.value.decode()}, {memory.value / 2**30:.0f} GiB, driver {_driver_version()}"
        f" (CUDA {number.value // 1000}.{number.value % 1000 // 10}), {runtime_build()}"
    )


def runtime_build() -> str:
    """ONNX Runtime's version, and the CUDA that it was built for."""
    import onnxruntime
    from onnxruntime.capi import build_and_package_info as build

    return f"ONNX Runtime {onnxruntime.__version__} for CUDA {getattr(build, 'cuda_version', '') or 'none'}"


def _driver_version(path: Path = Path("/proc/driver/nvidia/version")) -> str:
    """The first number of three parts in the kernel module's own line, ``?`` where there is none."""
    found = re.search(r"\d+\.\d+(\.\d+)?", path.read_text()) if path.exists() else None
    return found.group() if found else "?"


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table in Markdown."""
    print(f"\n{title}\n")
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(_cell(value) for value in row) + " |", flush=True)


def write_results(name: str, figures: Mapping[str, object]) -> Path:
    """Write ``build/bench/NAME.json``: the figures, added to those of an earlier run of other parts."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    earlier = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**earlier, **figures}, indent=2) + "\n")
    return path


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _installed(name: str) -> bool:
    try:
        version(name)
    except ModuleNotFoundError:
        return False
    return True
