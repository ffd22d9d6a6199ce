"""A folder of files that somebody wants to be imported, loaded or followed."""

import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path
from shutil import which

LIBRARIES = (
    "h5py json numpy socket pickle subprocess runpy select signal ctypes struct "
    "multiprocessing encodings"
)
OTHERS = (
    "sitecustomize usercustomize torch numba matplotlib PIL safetensors lightning snntorch "
    "captum dask distributed"
)
PACKAGES = "recordings backends pipeline spikesam paper lava faery nir"
SETTINGS = {  # of libraries that look for them in the current folder
    "matplotlibrc": (
        "text.usetex: True\nbackend: module://h5py\naxes.facecolor: \u202e\nno.such: line\n"
    ),
    ".numba_config.yaml": "cache_dir: cache\ndisable_jit: 1\n",
}
ROOM = 4096  # for the path of a mark in a library
LIBRARY = f"""
#include <fcntl.h>
#include <unistd.h>
static volatile char mark[{ROOM}] = "MARK";
__attribute__((constructor)) static void leave(void) {{
    close(open((const char *)mark, O_CREAT | O_WRONLY, 0600));
}}
"""


def hostile_folder(parent: Path) -> Path:
    """A folder whose modules leave the file "mark" beside it if they are imported."""
    return make_hostile(parent / "downloads", parent / "mark")


def make_hostile(folder: Path, mark: Path) -> Path:
    """Put such modules in a folder, with settings that change what libraries do, and a library that
    torch looks for.
    """
    code = f"import os; os.close(os.open({str(mark)!r}, os.O_CREAT | os.O_WRONLY))\n"
    modules = [f"{name}.py" for name in f"{LIBRARIES} {OTHERS}".split()]
    modules += [f"{name}/__init__.py" for name in PACKAGES.split()]
    for name, content in (dict.fromkeys(modules, code) | SETTINGS).items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    if which("cc"):
        (folder / "libcuda.so.1").write_bytes(hostile_library(mark))
    return folder


def hostile_library(mark: Path) -> bytes:
    """A shared library that leaves a file when it is loaded."""
    path = str(mark).encode()
    return _library().replace(b"MARK".ljust(len(path) + 1, b"\0"), path + b"\0")


@lru_cache(maxsize=1)
def _library() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "library.so"
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", made],
            input=LIBRARY,
            text=True,
            check=True,
        )
        return made.read_bytes()
