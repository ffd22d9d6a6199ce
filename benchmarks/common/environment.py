"""Where benchmarks run: which there are, the machine, its libraries, peers that are missing, and
other processes.
"""

from __future__ import annotations

import importlib
import os
import platform
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from shutil import which
from typing import Any

import psutil

from benchmarks.common.measurement import Case, CaseMaker, MeasuredRow, Options
from spikesam import BackendError
from spikesam.commands import PlainConsole, cores, progress_bar
from spikesam.simulators import make_backend

VECTORS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "amx_tile",
    "asimd",
)  # instructions that speeds depend on, as Linux says
HASWELL = "+sse4.2,+popcnt,+avx,+avx2,+fma,+bmi,+bmi2,+lzcnt,+f16c,+movbe"
CASCADE_LAKE = f"{HASWELL},+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl,+avx512vnni"
UP_TO = {
    "avx2": {
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": HASWELL,
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    },
    "avx512_vnni": {
        "NUMBA_CPU_NAME": "cascadelake",
        "NUMBA_CPU_FEATURES": CASCADE_LAKE,
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16",  # as the newest without AMX
    },
}
"""Variables with which Numba, PyTorch and its libraries use no better vector instructions than
these.
"""
LOOP, COMPILED, INT8 = "PyTorch loop", "loop, torch.compile", "loop, int8 in oneDNN"
SPIKINGJELLY_COMPILED, NORSE_COMPILED, ONNX = (
    "SpikingJelly, torch.compile",
    "Norse, torch.compile",
    "loop, ONNX Runtime",
)
NEEDS = {  # peers in simulation -> modules that they import, or programs that they call
    "snnTorch": ("snntorch",),
    "SpikingJelly": ("spikingjelly",),
    SPIKINGJELLY_COMPILED: ("spikingjelly", "g++"),
    "Norse": ("norse",),
    NORSE_COMPILED: ("norse", "g++"),
    "sinabs": ("sinabs",),
    "JAX": ("jax",),
    LOOP: (),
    COMPILED: ("g++",),
    INT8: (),
    ONNX: ("onnx", "onnxruntime"),
}
DISTRIBUTIONS = (
    *(
        "numpy",
        "numba",
        "torch",
        "snntorch",
        "spikingjelly",
        "norse",
        "sinabs",
        "jax",
        "onnxruntime",
    ),
    *("lava-nc", "h5py", "isal"),
)


def machine(up_to: str = "all") -> dict[str, Any]:
    """Processor, vector instructions and cores that may be used, memory in bytes, and the last
    minute's load.
    """
    about: dict[str, str] = {}
    allowed = VECTORS[: VECTORS.index(up_to) + 1] if up_to in VECTORS else VECTORS
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        about = {
            name.strip(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
    flags = (about.get("flags") or about.get("Features", "")).split()
    return {
        "cpu": about.get("model name", platform.machine()),
        "vectors": [name for name in allowed if name in flags],
        "cores": cores(),
        "memory": psutil.virtual_memory().total,
        "load": os.getloadavg()[0],
        "system": platform.platform(),
    }


def busy(seconds: float = 2.0) -> float:
    """The share of all cores that other processes use meanwhile."""
    return float(psutil.cpu_percent(seconds)) / 100


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that are installed."""
    found = {"python": platform.python_version()}
    for name in DISTRIBUTIONS:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def commit() -> str:
    """The commit checked out, with a mark if anything differs from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    with suppress(OSError):
        found = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
        )
        if found.stdout:
            return found.stdout.strip()
    return "unknown"


def all_benchmarks() -> dict[str, str]:
    """Every benchmark, a module of the package: its name, and the first line of its docstring."""
    files = sorted(Path(__file__).parents[1].glob("[a-z]*.py"))
    return {
        file.stem: file.read_text().split('"""')[1].splitlines()[0].rstrip(".") for file in files
    }


def case_maker(name: str) -> CaseMaker:
    """What makes the cases of a benchmark of this package."""
    make: CaseMaker = importlib.import_module(f"benchmarks.{name}").cases
    return make


def missing(names: Iterable[str]) -> list[str]:
    """Why rows of these benchmarks are left out, one for each of their `PEERS` that cannot run."""
    modules = [importlib.import_module(f"benchmarks.{name}") for name in names]
    return sorted(
        {why for module in modules for reason in getattr(module, "PEERS", ()) if (why := reason())}
    )


def missing_lava() -> str:
    """Why Lava cannot run; nothing if it can."""
    try:
        make_backend("lava")
    except BackendError as error:
        return str(error)
    return ""


def missing_peer(name: str) -> str:
    """Why a peer in simulation cannot run, and what installs it; nothing if it can."""
    lacking = [
        each for each in NEEDS[name] if not (which(each) if each == "g++" else find_spec(each))
    ]
    if not lacking:
        return ""
    how = "install a C++ compiler" if "g++" in lacking else f"pip install {' '.join(lacking)}"
    return f"{name}: {', '.join(lacking)} not installed; {how}"


missing_spikingjelly = partial(missing_peer, "SpikingJelly")
MISSING_PEERS = tuple(partial(missing_peer, name) for name in NEEDS)


def measure(name: str, make_cases: CaseMaker, options: Options, folder: Path) -> list[MeasuredRow]:
    """All rows of a benchmark; files that are made on the way lie under `folder`,
    and are removed.
    """
    rows: list[MeasuredRow] = []
    with (
        tempfile.TemporaryDirectory(dir=folder) as scratch,
        progress_bar(PlainConsole(stderr=True), transient=True) as progress,
    ):
        cases = list(make_cases(options, Path(scratch)))
        task = progress.add_task(name, total=len(cases))
        shared = groupby(
            enumerate(cases), key=lambda item: (item[1].environment, item[1].alone and item[0])
        )
        for (environment, _), group in shared:
            with new_process({**UP_TO.get(options.instructions, {}), **environment}) as process:
                for _, case in group:
                    progress.update(task, description=f"{name}: {case.name}")
                    rows += process.submit(rows_of, case, options.tiny).result()
                    progress.advance(task)
    return rows


def rows_of(case: Case, tiny: bool) -> list[MeasuredRow]:
    """Measure a case; what the other process does. Figures of tiny sizes have no targets."""
    return [replace(row, at_least=None, at_most=None) if tiny else row for row in case.rows()]


@contextmanager
def new_process(environment: Mapping[str, str]) -> Iterator[ProcessPoolExecutor]:
    """A process that starts afresh with these variables set; work is submitted to it."""
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            process.submit(os.getpid).result()  # it starts now, and not with its first work
            yield process
    finally:
        os.environ.clear()
        os.environ.update(before)
