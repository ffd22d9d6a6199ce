"""A command that is refused says why on one line, exits with 2, and leaves the disk as it was."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from tests.pipeline.small_networks import class_folders, small_ann, small_checkpoint

SMALL = """
[data]
source = "images"
height = 16
width = 24

[network]
layers = [4, "P", 6, "P4", "D8"]
timesteps = 8
"""
RUN = ("run", "--checkpoint", "snn.safetensors", "--data", "images")
TRAIN = ("train", "--config", "small.toml")
CONVERT = ("convert", "ann.safetensors", "--config", "small.toml")
EXPORT = ("export", "snn.safetensors", "--data", "images")
GRADCAM = ("gradcam", "snn.safetensors", "--data", "images")
PAPER = ("paper.__main__", "fig3", "--config", "paper.toml")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with networks of both kinds, images, configurations, and a folder that holds a file."""
    folder = tmp_path_factory.mktemp("refusals")
    small_checkpoint(folder / "snn.safetensors")
    small_ann(folder / "ann.safetensors")
    class_folders(folder / "images", per_class=3)
    class_folders(folder / "strange", per_class=1, classes=("yak", "zebra"))
    (folder / "small.toml").write_text(SMALL)
    (folder / "paper.toml").write_text(f'{SMALL}[paper]\ncheckpoint = "snn.safetensors"\nann = "ann.safetensors"\n')
    (folder / "text.png").write_text("no image")
    (folder / "trained").mkdir()
    small_checkpoint(folder / "trained" / "checkpoint.safetensors")
    (folder / "dangling.h5").symlink_to("nothing")
    (folder / "busy").mkdir()
    (folder / "busy" / "mine").write_text("mine")
    return folder


def everything(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ((*RUN, "--out", "new/deep", "--device", "tpu"), "device is 'tpu', expected auto, cpu, cuda or cuda:N"),
        (
            (*RUN, "--out", "new/deep", "--data", "strange"),
            "(yak, zebra) are none that the checkpoint knows",
        ),
        ((*RUN, "--out", "new/deep", "--data", "text.png"), "text.png: not an image"),
        ((*RUN, "--out", "new/deep", "--checkpoint", "ann.safetensors"), "an ANN, which does not spike"),
        ((*RUN, "--out", "busy"), "busy: holds files already"),
        ((*RUN, "--out", "busy", "--resume"), "busy: nothing is there to resume; leave out --resume to begin"),
        ((*RUN, "--out", "new", "--resume"), "new: nothing is there to resume; leave out --resume to begin"),
        ((*RUN, "--out", "text.png"), "text.png: cannot be written"),
        (
            (*RUN, "--out", "new", "--backend", "torch", "--device", "meta"),
            "device is 'meta', expected",
        ),
        ((*TRAIN, "--out", "trained"), "trained: holds a training already"),
        ((*TRAIN, "--out", "new", "--resume"), "no finished epoch to resume from"),
        ((*TRAIN, "--out", "new", "--data.source", "nowhere"), "nowhere: no such data set"),
        ((*TRAIN, "--out", "new", "--data.source", "images/apple"), "got images without labels"),
        (
            (*TRAIN, "--out", "new", "--data.classes", "apple", "yak"),
            "has no training image of yak",
        ),
        ((*TRAIN, "--out", "new", "--training.batch-size", "7"), "there are only 6 training images"),
        ((*TRAIN, "--out", "new", "--network.layers", "P"), 'the last entry must be dense neurons such as "D128"'),
        ((*CONVERT, "--out", "new", "--device", "tpu"), "device is 'tpu', expected auto, cpu, cuda or cuda:N"),
        ((*CONVERT, "--out", "new", "--data", "images/apple/0.png"), "holds images without labels"),
        ((*CONVERT, "--out", "busy"), "busy: holds files already"),
        ((*EXPORT, "--out", "new", "--device", "tpu"), "device is 'tpu', expected auto, cpu, cuda or cuda:N"),
        ((*EXPORT, "--out", "new", "--data", "images/pear/0.png"), "holds images without labels"),
        ((*EXPORT, "--out", "new", "--nir", "text.png"), "text.png: already exists, and was not replaced"),
        ((*EXPORT, "--out", "new", "--nir", "busy"), "busy: already exists"),
        ((*EXPORT, "--out", "new", "--nir", "nowhere/x.nir"), "x.nir: cannot be written (No such file or directory)"),
        ((*GRADCAM, "--out", "new/maps.h5", "--layers", "fc1"), "is dense"),
        ((*GRADCAM, "--out", "new/maps.h5", "--figures", "pictures", "--layers", "fc1"), "is dense"),
        (("explain", "text.png", "--out", "new/maps.h5", "--figures", "pictures"), "text.png: cannot be read as HDF5"),
        ((*GRADCAM, "--out", "dangling.h5"), "dangling.h5: not a regular file"),
        ((*GRADCAM, "--out", "new/maps.h5", "--figures", "busy"), "busy: already exists"),
        (("explain", "text.png", "--out", "new/maps.h5"), "text.png: cannot be read as HDF5"),
        ((*PAPER, "--out", "new", "--data", "strange"), "(yak, zebra) are none that the checkpoint knows"),
        ((*PAPER, "--out", "new", "--checkpoint", "nope"), "checkpoint 'nope': neither a bundled one"),
        ((*PAPER, "--out", "new", "--device", "tpu"), "device is 'tpu', expected auto, cpu, cuda or cuda:N"),
    ],
)
def test_a_refusal_leaves_the_disk_as_it_was(workplace, monkeypatch, capsys, command, reason):
    monkeypatch.chdir(workplace)
    before = everything(workplace)
    name, *arguments = command
    with pytest.raises(SystemExit) as stop:
        importlib.import_module(f"pipeline.{name}").main(arguments)
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert error.startswith("error: ") and error.count("\n") == 1
    assert reason in error
    assert everything(workplace) == before
