"""Names are data: a run shows them, tells them apart, and nothing that is printed steers a
terminal.
"""

import json
import os
import shlex
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
from PIL import Image

from spikesam.pipeline import convert, run
from spikesam.pipeline.networks.checkpoint import load, save
from spikesam.pipeline.run import main
from spikesam.recordings.raster.reader import RasterReader
from tests.pipeline.page.pages import runs_of
from tests.pipeline.small_networks import CLASSES, class_folders, small_checkpoint, small_workplace

NAMES = (
    ("$\\frac{$x", "[red]a[/red] :cat:", "\x1b[31m<b>|\n# title\x1b[0m"),
    ("caf\udce9 \u202e", "x" * 57_000, "猫 \U000f0000"),
    ("{0} %s \\", "../../etc", "=1+1,\"'"),
)


def network_of(folder: Path, class_names: tuple[str, ...]) -> str:
    """The file of a small network whose classes have other names."""
    path = small_checkpoint(folder / "snn.safetensors")
    save(replace(load(path), class_names=class_names), path)
    return str(path)


@pytest.mark.parametrize("names", NAMES)
def test_a_run_with_strange_names(tmp_path, capsys, names):
    """Of classes, and of images in class folders; the last two of them have no file name."""
    network = network_of(tmp_path, names)
    folder = os.fsencode(tmp_path) + b"/im\xe9ges [red]"
    for identifier in CLASSES:
        os.makedirs(folder + b"/" + identifier.encode())
        for name in (b"caf\xe9 \x1b[31m\n.png", b"$\\frac{$[bold].png"):
            with open(folder + b"/" + identifier.encode() + b"/" + name, "wb") as file:
                Image.new("RGB", (24, 16)).save(file, "PNG")
    (tmp_path / "data").symlink_to(os.fsdecode(folder))
    out = tmp_path / "out [red] :cat:"
    command = ["--checkpoint", network, "--data", str(tmp_path / "data"), "--out", str(out)]
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


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (("crane", "crane", "crane"), ["crane (0)", "crane (1)", "crane (2)"]),
        (("bell\x07", "bell\x1b", "plum"), ["bell? (0)", "bell? (1)", "plum"]),
    ],
)
def test_classes_of_one_name_are_told_apart(tmp_path, capsys, names, shown):
    """On the terminal, in summary.json and on the page; right is what has the number of the
    sample's own class.
    """
    data, out = class_folders(tmp_path / "images", per_class=2), tmp_path / "out"
    command = ["--checkpoint", network_of(tmp_path, names), "--data", str(data), "--out", str(out)]
    main([*command, "--samples", "6", "--backend", "event", "--figures", "1"])
    printed = capsys.readouterr().out.splitlines()[1:7]
    summary = json.loads((out / "summary.json").read_bytes())
    assert summary["class_names"] == shown
    with RasterReader(out / "raster.h5") as raster:
        labels, predictions = raster.labels.tolist(), raster.predictions.tolist()
    assert [answer["label"] for answer in summary["answers"]] == labels
    assert [answer["classes"][0] for answer in summary["answers"]] == predictions
    assert all(sorted(answer["classes"]) == [0, 1, 2] for answer in summary["answers"])
    assert summary["accuracy"] == sum(map(int.__eq__, labels, predictions)) / 6 < 1
    for line, label, predicted in zip(printed, labels, predictions, strict=True):
        assert f": {shown[predicted]} " in line
        assert line.endswith(" ✓" if label == predicted else f" ✗ is {shown[label]}")
    (page,) = runs_of(out / "report.html")
    said = [(sample["label"], sample["predicted"], sample["right"]) for sample in page["samples"]]
    assert said == [(shown[a], shown[b], a == b) for a, b in zip(labels, predictions, strict=True)]


@pytest.mark.long
def test_printed_commands_are_quoted(tmp_path, capsys):
    """The shell would execute parts of these names."""
    folder = tmp_path / 'it\'s $(id); touch "PWNED"'
    folder.mkdir()
    small_workplace(folder, per_class=7)
    data, out = str(folder / "images"), str(folder / "parts")
    network = str(folder / "snn.safetensors")
    run.main(
        ["--checkpoint", network, "--data", data, "--samples", "2", "--range", "1/1", "--out", out]
    )
    merging = capsys.readouterr().out.splitlines()[-1]
    assert shlex.split(merging) == ["spikesam", "merge", out]
    ann, out = str(folder / "ann.safetensors"), folder / "converted"
    samples = ["--samples", "9", "--conversion.calibration", "6", "--conversion.timesteps", "12"]
    convert.main([ann, "--data", data, "--out", str(out), *samples])
    following = capsys.readouterr().out.splitlines()[-1].removeprefix("next: ")
    expected = ["--checkpoint", str(out / "checkpoint.safetensors"), "--data", data]
    assert shlex.split(following) == ["spikesam", "run", *expected]


HOSTILE = "\x1b]0;title\x07\x1b[31m \u202e\x9b2J"
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of hostile name with networks, images, a run, and the parts of another one."""
    folder = tmp_path_factory.mktemp("names") / HOSTILE
    folder.mkdir()
    small_workplace(folder, per_class=3)
    network = network_of(folder, tuple(f"{name}{HOSTILE}" for name in CLASSES))
    source = ["--checkpoint", network, "--data", str(folder / "images"), "--samples", "2"]
    run.main([*source, "--out", str(folder / "run"), "--figures", "0"])
    run.main([*source, "--out", str(folder / "parts"), "--range", "1/1"])
    (folder / "c.toml").write_text(
        f'[run]\ndata = ["{HOSTILE!a}"]\n'.replace("'", "")
        .replace("\\x9b", "\\u009b")
        .replace("\\x", "\\u00")
    )
    return folder


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("run", "--checkpoint {}/snn.safetensors --data {}/images --samples 2 --out {}/again"),
        ("run", "--config {}/c.toml --help"),
        ("run", "--checkpoint {}/none.safetensors"),
        ("run", "--checkpoint {}/snn.safetensors --data {}/none"),
        ("run", "--checkpoint {}/snn.safetensors --data {}/images --out {}/run"),
        ("merge", "{}/parts"),
        ("merge", "{}/none"),
        ("explain", "{}/run/raster.h5 --out {}/sam.h5 --figures {}/figures"),
        ("explain", "{}/snn.safetensors --method rise --out {}/sam.h5"),
        ("explain", "{}/snn.safetensors --data {}/images --samples 1 --out {}/cam.h5 --figures "
                    "{}/cams"),
        ("report", "{}/run --out {}/page.html"),
        ("report", "{}/none --out {}/page.html"),
        ("export", "{}/run/raster.h5 {}/a.nwb"),
        ("export", "{}/snn.safetensors --data {}/images --samples 2 --seeds 1 --out {}/export"),
        ("validate", "{}/run/raster.h5 {}/run/sam.h5"),
        ("validate", "{}/none.h5"),
        pytest.param(
            "train", "--data.source {}/images --data.height 8 --data.width 8 --network.layers 2 D4 "
                     "--network.timesteps 4 --training.epochs 1 --training.batch-size 2 "
                     "--training.selection 0.5 "
                     "--out {}/train",
            marks=pytest.mark.long,
        ),
        ("train", "--data.source {}/none --out {}/none"),
        ("convert", "{}/ann.safetensors --data {}/images --samples 2 --conversion.timesteps 12 "
                    "--conversion.calibration 6 --out {}/convert"),
    ],
)  # fmt: skip
def test_all_that_is_printed_is_so(
    place: Path, capfd: pytest.CaptureFixture[str], command: str, arguments: str
) -> None:
    capfd.readouterr()  # what making the place printed
    main: Callable[[list[str]], object] = import_module(f"spikesam.pipeline.{command}").main
    with suppress(SystemExit):  # a refusal, or the help
        main([part.replace("{}", str(place)) for part in arguments.split()])
    shown = capfd.readouterr()
    assert "]0;title" in shown.out + shown.err
    assert (shown.out + shown.err).replace("\n", "").isprintable()
