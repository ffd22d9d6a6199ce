"""docs/other-formats.md: its commands and its code run as printed."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from spikesam.pipeline import export
from tests.recordings.rasters import HEADER, record, spikes

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "other-formats.md").read_text(
    encoding="utf-8"
)
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = re.findall(r"^spikesam export (runs/digits .*)$", TEXT, re.MULTILINE)
INSTALLED_BY_NAME = 'engine="spikesam"'


@pytest.mark.parametrize("library", ["xarray", "pynwb", "zarr", "nir"])
def test_examples(tmp_path, monkeypatch, capsys, library):
    pytest.importorskip(library, reason=f"{library} is not installed")
    monkeypatch.chdir(tmp_path)
    record(tmp_path / "runs" / "digits", 5)
    (source,) = (
        block
        for block in BLOCKS
        if {"zarr": "open_zarr", "xarray": "isel"}.get(library, f" {library}") in block
    )
    suffix = {"pynwb": ".nwb"}.get(library, f".{library}")
    for command in COMMANDS:
        if suffix in command:
            export.main(shlex.split(command.replace("conv1 conv2", "conv1")))
    capsys.readouterr()
    names: dict[str, Any] = {}
    engine = (
        "from spikesam.pipeline.interop.engine import SpikesamBackend\n"
        if library == "xarray"
        else ""
    )
    exec(engine + source.replace(INSTALLED_BY_NAME, "engine=SpikesamBackend"), names)
    printed = capsys.readouterr().out
    first, second = (spikes(HEADER, HEADER.layers[1], at) for at in (0, 1))
    if library == "xarray":
        assert printed.splitlines() == [str(first.sum((1, 2, 3)))] * 2
    elif library == "pynwb":
        assert (
            printed.splitlines()[1]
            == f"spikes of conv1 in sample 3 of the data set: {second.sum()}"
        )
    elif library == "nir":
        assert printed == "(4, 6, 60) 0.001\n"


def test_every_format_has_its_command():
    assert [Path(shlex.split(command)[1]).suffix for command in COMMANDS] == [
        ".nwb",
        ".zarr",
        ".nir",
        "",
    ]
    assert "--format vectors" in COMMANDS[-1]
