"""A folder of files that somebody wants to be imported."""

from __future__ import annotations

from pathlib import Path

LIBRARIES = "h5py json numpy socket pickle subprocess runpy select signal ctypes struct multiprocessing encodings"
OTHERS = "sitecustomize usercustomize torch numba matplotlib PIL safetensors lightning snntorch captum dask distributed"
PACKAGES = "recordings backends pipeline spikesam paper lava faery nir"
SETTINGS = {  # of libraries that look for them in the current folder
    "matplotlibrc": "text.usetex: True\nbackend: module://h5py\naxes.facecolor: \u202e\nno.such: line\n",
    ".numba_config.yaml": "cache_dir: cache\ndisable_jit: 1\n",
}


def hostile_folder(parent: Path) -> Path:
    """A folder whose modules leave the file "mark" beside it if they are imported."""
    return make_hostile(parent / "downloads", parent / "mark")


def make_hostile(folder: Path, mark: Path) -> Path:
    """Put such modules in a folder, and settings that would change what libraries do."""
    code = f"import os; os.close(os.open({str(mark)!r}, os.O_CREAT | os.O_WRONLY))\n"
    modules = [f"{name}.py" for name in f"{LIBRARIES} {OTHERS}".split()]
    modules += [f"{name}/__init__.py" for name in PACKAGES.split()]
    for name, content in (dict.fromkeys(modules, code) | SETTINGS).items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return folder
