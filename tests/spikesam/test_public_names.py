"""The public names: each is there, documented by an example that runs,
and imported only when used.
"""

import doctest
import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import spikesam
from spikesam.common.extras import EXTRAS
from spikesam.pipeline.images.datasets import base

HEAVY = ("torch", "lava", "numba", "h5py", "numpy", "matplotlib", "pandas", "rich")
FIRST = """load train convert convert_checkpoint compact simulate explain record report
open_raster open_maps write_raster sam measure
from_torch compare Network quantise"""


OPTIONAL = {
    "from_nir": "nir",
    "from_nir_data": "nir",
    "to_nir": "nir",
    "spikesam.captum": "snntorch",
    "spikesam.conformance": "nir",
}  # what an example needs beside this project
SLOW = ("train",)  # 39 s where nothing is compiled yet


def test_importing_it_imports_nothing_heavy_and_explaining_neither_torch_nor_lava() -> None:
    code = f"import sys, spikesam\nprint([name for name in {HEAVY} if name in sys.modules])\n"
    code += (
        "spikesam.open_raster, spikesam.open_maps, spikesam.write_raster, spikesam.explain, "
        "spikesam.sam\n"
    )
    code += "print([name for name in ('torch', 'lava') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n[]\n"


def test_every_name_is_documented_and_what_users_call_first_has_an_example() -> None:
    assert set(spikesam.__all__) <= set(dir(spikesam))
    said = {name: inspect.getdoc(getattr(spikesam, name)) or "" for name in spikesam.__all__}
    assert [name for name, text in said.items() if not text.strip()] == []
    assert [name for name in FIRST.split() if ">>> " not in said[name]] == []


def test_where_parameters_are_listed_none_is_missing() -> None:
    public = {name: getattr(spikesam, name) for name in spikesam.__all__}
    classes = [each for each in public.values() if inspect.isclass(each)]
    methods = {
        f.__qualname__: f
        for each in classes
        for _, f in inspect.getmembers(each, inspect.isfunction)
    }
    listed = {
        name: inspect.getdoc(each) or ""
        for name, each in (public | methods).items()
        if callable(each)
    }
    listed = {
        name: text.partition("Parameters\n")[2]
        for name, text in listed.items()
        if "Parameters\n" in text
    }
    assert {"load", "convert", "Conversion", "Input.checked"} <= {*listed}
    for name, text in listed.items():
        said = {
            word.strip(" *")
            for words in re.findall("^(.+?) : ", text, re.M)
            for word in words.split(",")
        }
        asked = inspect.signature((public | methods)[name]).parameters.values()
        known = [
            each.name for each in asked if each.kind is not each.VAR_KEYWORD and each.name[0] != "_"
        ]
        assert [each for each in known if each not in ("self", *said)] == [], name


@pytest.mark.parametrize(
    "name",
    [
        "spikesam",
        "spikesam.captum",
        "spikesam.conformance",
        "spikesam.data",
        "spikesam.figures",
        "spikesam.gradients",
        "spikesam.maps",
        "spikesam.measures",
        "spikesam.settings",
        "spikesam.simulators",
        "spikesam.statistics",
        "spikesam.testing",
        "spikesam.training",
        *(name for name in spikesam.__all__ if name not in SLOW),
        *(pytest.param(name, marks=pytest.mark.long) for name in SLOW),
    ],
)
def test_examples_print_what_they_say(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each runs twice in a folder."""
    if name in OPTIONAL:
        pytest.importorskip(OPTIONAL[name])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(base.SIZES, "selection", 50)  # what a training chooses its best epoch by
    described = import_module(name) if name.startswith("spikesam") else getattr(spikesam, name)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for example in doctest.DocTestFinder().find(described, name, globs={"spikesam": spikesam}):
        for _ in range(2):
            runner.run(example, clear_globs=False)
    assert runner.summarize(verbose=False).failed == 0


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'spikesam' has no attribute 'simulat'"):
        spikesam.simulat  # noqa: B018


def test_the_version_is_that_of_the_distribution() -> None:
    from importlib.metadata import version

    assert spikesam.__version__ == version("spikesam")


LIGHT = f"""
import inspect, sys
sys.modules.update(dict.fromkeys({[*EXTRAS]}))  # None there makes an import fail
import spikesam
from spikesam.common.extras import EXTRAS

public = dict(inspect.getmembers(spikesam))  # as help(spikesam) does
for name in spikesam.__all__:
    if name not in public:
        try:
            getattr(spikesam, name)
        except ImportError as error:
            print(name, str(error).rpartition("pip install ")[2])
try:
    spikesam.explain("cluttered-digits", method="occlusion", samples=1)
except ImportError as error:
    print(error)
"""


def test_without_extras_every_name_is_there_or_says_what_to_install() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    *lines, explained = done.stdout.splitlines()
    said = dict(line.split(" ", 1) for line in lines)
    tables = dict.fromkeys(
        ("Diff", "Edit", "Energy", "diff", "edit", "energy"), "'spikesam[tables]'"
    )
    chip = dict.fromkeys(("Chip", "Fit", "chip", "fits"), "'spikesam[chip]'")
    torch = (
        "Comparison",
        "Conversion",
        "Monitor",
        "check",
        "compare",
        "convert",
        "convert_checkpoint",
        "from_torch",
        "record",
        "to_torch",
    )
    train = dict.fromkeys(("MonitorCallback", "train"), "'spikesam[train]'")
    notebook = {"view": "'spikesam[notebook]'"}
    assert said == tables | chip | dict.fromkeys(torch, "'spikesam[torch]'") | train | notebook
    assert (
        explained == "explain: needs torch, which is not installed; pip install 'spikesam[torch]'"
    )


@pytest.mark.parametrize(
    ("command", "extra"),
    [("train", "train"), ("convert", "torch"), ("energy", "tables"), ("chip", "chip")],
)
def test_without_extras_a_command_names_all_that_it_needs(
    command: str, extra: str, tmp_path: Path
) -> None:
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({[*EXTRAS]}))\n"
        "from spikesam.pipeline.cli.main import main\n"
        f"main([{command!r}, {'run'!r}] if {command!r} in ('chip', 'energy') else [{command!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.endswith(f"which is not installed; pip install 'spikesam[{extra}]'\n")
