"""Nothing that commands print steers a terminal, whatever files, folders and classes are called."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from spikesam.pipeline import run
from spikesam.pipeline.networks.checkpoint import load_checkpoint, save_checkpoint
from tests.pipeline.small_networks import class_folders, small_ann, small_checkpoint

HOSTILE = "\x1b]0;title\x07\x1b[31m \u202e\x9b2J"
CLASSES = ("apple", "pear", "plum")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of hostile name with networks, images, a run, and the parts of another one."""
    folder = tmp_path_factory.mktemp("names") / HOSTILE
    folder.mkdir()
    names = tuple(f"{name}{HOSTILE}" for name in CLASSES)
    checkpoint = load_checkpoint(small_checkpoint(folder / "snn.safetensors"))
    save_checkpoint(replace(checkpoint, class_names=names), folder / "snn.safetensors")
    small_ann(folder / "ann.safetensors")
    for part in ("train", "val"):
        class_folders(folder / "images" / part, per_class=3)
    source = ["--checkpoint", str(folder / "snn.safetensors"), "--data", str(folder / "images"), "--samples", "2"]
    run.main([*source, "--out", str(folder / "run"), "--figures", "0"])
    run.main([*source, "--out", str(folder / "parts"), "--range", "1/1"])
    (folder / "c.toml").write_text(
        f'[run]\ndata = ["{HOSTILE!a}"]\n'.replace("'", "").replace("\\x9b", "\\u009b").replace("\\x", "\\u00")
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
        ("explain", "{}/snn.safetensors --data {}/images --samples 1 --out {}/cam.h5 --figures {}/cams"),
        ("report", "{}/run --out {}/page.html"),
        ("report", "{}/none --out {}/page.html"),
        ("export", "{}/run/raster.h5 {}/a.nwb"),
        ("export", "{}/snn.safetensors --data {}/images --samples 2 --seeds 1 --out {}/export"),
        ("validate", "{}/run/raster.h5 {}/run/sam.h5"),
        ("validate", "{}/none.h5"),
        pytest.param(
            "train", "--data.source {}/images --data.height 8 --data.width 8 --network.layers 2 D4 "
                     "--network.timesteps 4 --training.epochs 1 --training.batch-size 2 --training.selection 0.5 "
                     "--out {}/train",
            marks=pytest.mark.long,
        ),
        ("train", "--data.source {}/none --out {}/none"),
        ("convert", "{}/ann.safetensors --data {}/images --samples 2 --conversion.timesteps 12 "
                    "--conversion.calibration 6 --out {}/convert"),
    ],
)  # fmt: skip
def test_everything_printed_is_printable(
    place: Path, capfd: pytest.CaptureFixture[str], command: str, arguments: str
) -> None:
    capfd.readouterr()  # what making the place printed
    main: Callable[[list[str]], object] = import_module(f"spikesam.pipeline.{command}").main
    with suppress(SystemExit):  # a refusal, or the help
        main([part.replace("{}", str(place)) for part in arguments.split()])
    shown = capfd.readouterr()
    assert "]0;title" in shown.out + shown.err
    assert (shown.out + shown.err).replace("\n", "").isprintable()
