"""Names are data: whatever classes, files and folders are called, a run shows them and does nothing else with them."""

from __future__ import annotations

import dataclasses
import json
import os
import warnings

import pytest
from PIL import Image

from pipeline.networks.checkpoint import load_checkpoint, save_checkpoint
from pipeline.run import main
from recordings.raster.reader import RasterReader
from tests.pipeline.small_networks import small_checkpoint

NAMES = (
    ("$\\frac{$x", "[red]a[/red] :cat:", "\x1b[31m<b>|\n# title\x1b[0m"),
    ("caf\udce9 \u202e", "x" * 57_000, "猫 \U000f0000"),
    ("{0} %s \\", "../../etc", "=1+1,\"'"),
)


@pytest.mark.parametrize("names", NAMES)
def test_a_run_with_strange_names(tmp_path, capsys, names):
    """Of classes, and of images in class folders; the last two of them have no file name."""
    checkpoint = load_checkpoint(small_checkpoint(tmp_path / "snn.safetensors"))
    save_checkpoint(dataclasses.replace(checkpoint, class_names=names), tmp_path / "snn.safetensors")
    folder = os.fsencode(tmp_path) + b"/im\xe9ges [red]"
    for identifier in checkpoint.classes:
        os.makedirs(folder + b"/" + identifier.encode())
        for name in (b"caf\xe9 \x1b[31m\n.png", b"$\\frac{$[bold].png"):
            with open(folder + b"/" + identifier.encode() + b"/" + name, "wb") as file:
                Image.new("RGB", (24, 16)).save(file, "PNG")
    (tmp_path / "data").symlink_to(os.fsdecode(folder))
    out = tmp_path / "out [red] :cat:"
    command = ["--checkpoint", str(tmp_path / "snn.safetensors"), "--data", str(tmp_path / "data"), "--out", str(out)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        main([*command, "--samples", "6", "--backend", "event", "--figures", "6"])
    shown = capsys.readouterr()
    assert shown.err == ""
    assert shown.out.replace("\n", "").isprintable()
    assert "caf? ?[31m .png" in shown.out
    assert "[red] :cat:" in shown.out
    assert max(map(len, shown.out.splitlines())) < 1000
    summary = json.loads((out / "summary.json").read_bytes().decode("utf-8"))
    assert len(summary["answers"]) == 6
    assert {answer["image"].split("/")[1] for answer in summary["answers"]} == {
        "caf? ?[31m .png",
        "$\\frac{$[bold].png",
    }
    with RasterReader(out / "raster.h5") as raster:
        assert raster.header.dataset.startswith("im?ges [red]/val#")
    assert len(list((out / "figures").glob("*.png"))) == 9
