"""Every example in the documentation of a public name runs, twice in a folder, and prints what it says."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import spikesam
from spikesam.pipeline.images.datasets import base

OPTIONAL = {
    "from_nir": "nir",
    "from_nir_data": "nir",
    "to_nir": "nir",
    "spikesam.captum": "snntorch",
}  # what an example needs beside this project


@pytest.mark.parametrize("name", ["spikesam", "spikesam.captum", "spikesam.testing", *spikesam.__all__])
def test_examples_print_what_they_say(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
