"""A command that is refused says why on one line, exits with 2, and leaves the disk as it was."""

import importlib
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save

from spikesam.backends.network.storage import network_file_digest
from tests.campaign.formats.zips import add
from tests.campaign.inflated import png_bomb
from tests.pipeline.small_events import bar_folders
from tests.pipeline.small_networks import (
    CONFIG,
    class_folders,
    small_ann,
    small_checkpoint,
    small_workplace,
)
from tests.pipeline.training.configs import OF_EVENTS
from tests.recordings.rasters import record

RUN = ("run", "--checkpoint", "snn.safetensors", "--data", "images")
TRAIN = ("train", "--config", "small.toml")
CONVERT = ("convert", "ann.safetensors", "--config", "small.toml")
EVENTS = ("train", "--config", "events.toml", "--data.source", "bars", "--out", "new")
EXPORT = ("export", "snn.safetensors", "--data", "images")
EXPLAIN = ("explain", "raster.h5", "--out", "new/maps.h5")
GRADCAM = ("explain", "snn.safetensors", "--data", "images", "--out", "new/maps.h5")
PAPER = ("paper.__main__", "fig3", "--config", "paper.toml")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with networks of both kinds, what they are shown, a raster, configurations, and
    files that are none.
    """
    folder = small_workplace(tmp_path_factory.mktemp("refusals"), per_class=3)
    class_folders(folder / "strange", per_class=1, classes=("yak", "zebra"))
    class_folders(folder / "half" / "val", per_class=1)
    bar_folders(folder / "bars" / "train", per_class=8)
    record(folder, 2)
    (folder / "longer.toml").write_text(CONFIG.replace("timesteps = 8", "timesteps = 20"))
    (folder / "events.toml").write_text(OF_EVENTS)
    (folder / "text.png").write_text("no image")
    (folder / "empty.png").touch()
    (folder / "cut.png").write_bytes((folder / "images" / "apple" / "0.png").read_bytes()[:900])
    Image.fromarray(np.full((20, 20), np.nan, np.float32)).save(folder / "nan.tiff")
    add(folder / "other.zip", {"readme.txt": "nothing here"})
    for name, save_network in (("trained", small_checkpoint), ("ann", small_ann)):
        (folder / name).mkdir()
        save_network(folder / name / "checkpoint.safetensors")
    (folder / "dangling.h5").symlink_to("nothing")
    (folder / "busy").mkdir()
    (folder / "busy" / "metrics.csv").write_text("mine")
    return folder


def everything(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (
            (*RUN, "--out", "new/deep", "--device", "tpu"),
            "device is 'tpu', expected auto, cpu, cuda or cuda:N",
        ),
        (
            (*RUN, "--out", "new", "--data", "strange"),
            "zebra) are none that the checkpoint knows (APPLE, PEAR, PLUM)",
        ),
        ((*RUN, "--out", "new/deep", "--data", "text.png"), "text.png: not an image"),
        (
            (*RUN, "--out", "new/deep", "--checkpoint", "ann.safetensors"),
            "an ANN, which does not spike",
        ),
        ((*RUN, "--out", "new", "--data", "missing.jpg"), "missing.jpg: no such data set or file"),
        ((*RUN, "--out", "new", "--data", "empty.png"), "empty.png: the file is empty"),
        ((*RUN, "--out", "new", "--data", "cut.png"), "cut.png: broken or truncated image"),
        ((*RUN, "--out", "new", "--data", "nan.tiff"), "NaN or infinite pixels"),
        (
            (*RUN, "--out", "new", "--data", "other.zip"),
            "other.zip: not in the Tiny-ImageNet layout",
        ),
        (
            (*RUN, "--out", "new", "--checkpoint", "text.png"),
            "text.png: not a readable safetensors file",
        ),
        (
            (*RUN, "--out", "new", "--config", "longer.toml"),
            "does not fit the configuration: network.timesteps is 20",
        ),
        (
            (*RUN, "--out", "new", "--checkpoint", "net.pt"),
            "PyTorch file: build the model and use spikesam.record, or",
        ),
        ((*RUN, "--out", "new", "--checkpoint", "x.pth"), "a PyTorch file"),
        (("convert", "x.pt2", "--out", "new"), "of an ANN spikesam.convert(model, images)"),
        (
            (*RUN, "--out", "new", "--checkpoint", "x.nir"),
            "a NIR file: spikesam.from_nir makes a network of it",
        ),
        (
            (*RUN, "--out", "new", "--checkpoint", "x.net"),
            "a lava-dl file: spikesam.from_netx makes a network of it,",
        ),
        (
            (*RUN, "--out", "new", "--checkpoint", "sn.safetensors"),
            "'sn.safetensors': no such file; did you mean snn.",
        ),
        ((*RUN, "--out", "new", "--data", "imges/apple"), "did you mean images/apple?"),
        (
            (*RUN, "--out", "new", "--data", "text.png", "cu.png"),
            "images or events; did you mean cut.png?",
        ),
        (
            (*RUN, "--out", "new", "--config", "smal.toml"),
            "smal.toml: no such file; did you mean small.toml?",
        ),
        (
            ("explain", "rastr.h5", "--out", "new/maps.h5"),
            "that a run has finished; did you mean raster.h5?",
        ),
        (
            (*RUN, "--timesteps", "4"),
            "--timesteps: T belongs to the network; take another --checkpoint, or train",
        ),
        (
            ("train", "--timesteps", "4"),
            "unknown option --timesteps; did you mean --network.timesteps?",
        ),
        ((*RUN, "--out", "new", "--samples", "0"), "--samples"),
        ((*RUN, "--out", "new", "--gamma", "-1"), "--gamma"),
        ((*RUN, "--out", "new", "--steps", "8:"), "steps: '8:' means none of the 8 steps, 0 to 7"),
        ((*RUN, "--out", "new", "--steps", "1"), "steps: got '1', expected"),
        ((*RUN, "--out", "new", "--backend", "lava", "--lava-deadline", "1e-9"), "1e-09"),
        (
            (*RUN, "--out", "new", "--lava-models", "stock"),
            "--lava-models: belongs to --backend lava, got --backend aut",
        ),
        ((*RUN, "--out", "/proc/spikes"), "/proc/spikes: cannot be written"),
        ((*RUN, "--resume"), "--resume needs --out"),
        ((*RUN, "--out", "busy"), "busy: holds files already"),
        (
            (*RUN, "--out", "busy", "--resume"),
            "busy: nothing is there to resume; start without --resume",
        ),
        (
            (*RUN, "--out", "new", "--resume"),
            "new: nothing is there to resume; start without --resume",
        ),
        ((*RUN, "--out", "text.png"), "text.png: cannot be written"),
        (
            (*RUN, "--out", "new", "--backend", "torch", "--device", "meta"),
            "device is 'meta', expected",
        ),
        ((*TRAIN, "--out", "trained"), "trained: holds a training already; add --resume"),
        (
            ("train", "--out", "busy", "--resume"),
            "last.ckpt: no finished epoch to resume from; start without --resume",
        ),
        ((*TRAIN, "--out", "new", "--data.source", "nowhere"), "nowhere: no such data set"),
        ((*TRAIN, "--out", "new", "--data.source", "images/apple"), "got images without labels"),
        (
            (*TRAIN, "--out", "new", "--data.classes", "apple", "yak"),
            "has no training image of yak",
        ),
        ((*TRAIN, "--out", "new", "--training.batch-size", "7"), "size is 7, but there are only 6"),
        (
            (*TRAIN, "--out", "new", "--data.height", "15"),
            "pooling 2 in front of conv2 does not divide its 15×24",
        ),
        (
            (*EVENTS, "--training.crop", "0.5"),
            "training.crop is 0.5, but events cannot be zoomed; set training.crop =",
        ),
        (
            (*EVENTS, "--network.neuron", "relu"),
            'network.encoder is "spikes", which an ANN cannot take',
        ),
        (
            (*EVENTS, "--network.timesteps", "3"),
            "network.timesteps is 3, expected more than the number of layers",
        ),
        (
            (*EVENTS, "--network.encoder", "poisson"),
            "data: got events, but the network takes images",
        ),
        (
            (*EVENTS, "--data.source", "cluttered-digits"),
            "data: got an image, but the network takes events",
        ),
        ((*EVENTS, "--data.binning", "count"), "got window_us beside by='count'"),
        (
            (*TRAIN, "--out", "new", "--network.layers", "P"),
            'the last entry must be dense neurons such as "D128"',
        ),
        (
            (*CONVERT, "--out", "new", "--device", "tpu"),
            "device is 'tpu', expected auto, cpu, cuda or cuda:N",
        ),
        ((*CONVERT, "--out", "new", "--data", "images/apple/0.png"), "holds images without labels"),
        ((*CONVERT, "--out", "busy"), "busy: holds files already; choose another --out"),
        (
            (*CONVERT, "--out", "new", "--conversion.calibration", "1"),
            "is 1, expected greater than or equal to 2",
        ),
        (
            (*CONVERT, "--out", "new", "--conversion.timesteps", "3"),
            "timesteps is 3, but 3 layers delay the image",
        ),
        (
            (*CONVERT, "--out", "new", "--conversion.rule", "mean"),
            "rule is 'mean', expected 'ftbc', 'max', 'percentil",
        ),
        ((*CONVERT, "--out", "new", "--data", "nowhere"), "nowhere: no such data set or file"),
        ((*CONVERT, "--out", "new", "--data", "half"), "half: has no train part"),
        (
            ("convert", "snn.safetensors", "--out", "new"),
            "snn.safetensors: a spiking network, expected an ANN",
        ),
        (
            ("convert", "ann/checkpoint.safetensors", "--out", "ann", "--overwrite"),
            "is the ANN to be converted",
        ),
        (
            (*EXPORT, "--out", "new", "--device", "tpu"),
            "device is 'tpu', expected auto, cpu, cuda or cuda:N",
        ),
        ((*EXPORT, "--out", "new", "--data", "images/pear/0.png"), "holds images without labels"),
        (
            (*EXPORT, "--out", "new", "--nir", "text.png"),
            "text.png: already exists, and was not replaced",
        ),
        ((*EXPORT, "--out", "new", "--nir", "busy"), "busy: already exists"),
        (
            (*EXPORT, "--out", "new", "--nir", "nowhere/x.nir"),
            "x.nir: cannot be written (No such file or directory)",
        ),
        ((*GRADCAM, "--layers", "fc1"), "layer 'fc1' has no places"),
        ((*GRADCAM, "--figures", "pictures", "--layers", "fc1"), "has no places"),
        ((*GRADCAM, "--out", "dangling.h5"), "dangling.h5: not a regular file"),
        (
            (*GRADCAM, "--out", "snn.safetensors", "--overwrite"),
            "is an input; choose another --out",
        ),
        ((*GRADCAM, "--figures", "busy"), "busy: already exists; choose another --figures"),
        (
            (*GRADCAM, "--figures", "snn.safetensors/new"),
            "is a file, expected the name of a folder",
        ),
        ((*GRADCAM, "--seed", "-1"), "--seed"),
        ((*GRADCAM, "--steps", "8:"), "steps: '8:' means none of the 8 steps, 0 to 7"),
        (
            ("explain", "ann.safetensors", *GRADCAM[2:], "--layers", "input"),
            "no layer 'input'; did you mean",
        ),
        (
            ("explain", "none", *EXPLAIN[2:], "--method", "grad-cam"),
            "checkpoint 'none': neither a bundled one",
        ),
        (
            ("explain", "raster.h5", "--method", "captum:Saliency"),
            "raster.h5: is a recording, but method captum expla",
        ),
        (("explain", "snn.safetensors"), "--out is needed: maps of a network have no raster"),
        (("explain", "text.png", *EXPLAIN[2:]), "text.png: is not HDF5, expected"),
        (
            ("explain", "text.png", *EXPLAIN[2:], "--figures", "pictures"),
            "text.png: is not HDF5, expected",
        ),
        (("explain", "none.h5", *EXPLAIN[2:]), "none.h5: no such file, expected a raster file"),
        (
            (*EXPLAIN, "--out", "raster.h5", "--overwrite"),
            "raster.h5: is an input; choose another --out",
        ),
        (
            (*EXPLAIN, "--out", "busy", "--overwrite"),
            "busy: a directory, expected the name of a file",
        ),
        ((*EXPLAIN, "--out", "/dev/null", "--overwrite"), "/dev/null: not a regular file"),
        ((*EXPLAIN, "--out", "raster.h5/sam.h5"), "sam.h5: cannot be written ("),
        ((*EXPLAIN, "--gamma", "-1"), "gamma: got -1.0, expected a finite number ≥ 0"),
        ((*EXPLAIN, "--gamma", "much"), "--gamma"),
        ((*EXPLAIN, "--layers", "conv7"), "no layer 'conv7'; did you mean conv1?"),
        (
            (*EXPLAIN, "--variant", "authors-code", "--no-include-current"),
            "always counts the current spike",
        ),
        ((*EXPLAIN, "--figures", "busy"), "busy: already exists; choose another --figures"),
        (
            (*EXPLAIN, "--figures", "text.png/new"),
            "text.png is a file, expected the name of a folder for --figures",
        ),
        (
            (*EXPLAIN, "--samples", "2"),
            "--samples: belongs to --method captum, grad-cam, gradient-x-input, integrated",
        ),
        (
            (*EXPLAIN, "--method", "rise", "--steps", "all"),
            "--steps: belongs to --method grad-cam, snn-grad-cam; rise",
        ),
        ((*EXPLAIN, "--method", "rise", "--samples", "0"), "--samples"),
        ((*EXPLAIN, "--method", "graph-sam"), "'graph-sam'"),
        (
            (*EXPLAIN, "--method", "relevance", "--no-include-current"),
            "--include-current: belongs to --method sam",
        ),
        ((*EXPLAIN, "--rule", "signed"), "--rule: belongs to --method relevance, got --method sam"),
        (
            (*EXPLAIN, "--steps", "some"),
            """steps: got 'some', expected "pictured", "all", "none", or first:last:ev""",
        ),
        (
            (*PAPER, "--out", "new", "--data", "strange"),
            "(yak, zebra) are none that the checkpoint knows",
        ),
        (
            (*PAPER, "--out", "new", "--checkpoint", "nope"),
            "checkpoint 'nope': neither a bundled one",
        ),
        (
            (*PAPER, "--out", "new", "--device", "tpu"),
            "device is 'tpu', expected auto, cpu, cuda or cuda:N",
        ),
        ((*PAPER, "--out", "new", "--leaks", "0.5", "1.5"), "error: --leaks"),
        ((*PAPER, "--out", "new", "--leaks"), "error: --leaks"),
    ],
)
def test_a_refusal_leaves_the_disk_as_it_was(workplace, monkeypatch, refused, command, reason):
    monkeypatch.chdir(workplace)
    before = everything(workplace)
    assert reason in refused(main_of(command[0]), *command[1:])
    assert everything(workplace) == before


def main_of(name):
    """The function of a command."""
    return importlib.import_module(name if name == PAPER[0] else f"spikesam.pipeline.{name}").main


def checkpoint_saying(path, key, change):
    """A network's file in which one of the texts was changed,
    with the digest that then is right.
    """
    with safe_open(path, "numpy") as file:
        metadata, tensors = (
            dict(file.metadata()),
            {name: file.get_tensor(name) for name in file.keys()},  # noqa: SIM118
        )
    del metadata["sha256"]
    metadata[key] = change(metadata[key])
    metadata["sha256"] = network_file_digest(metadata, tensors)
    path.write_bytes(save(tensors, metadata))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A folder with a small network, and files that somebody made to do harm."""
    folder = tmp_path_factory.mktemp("hostile")
    small_checkpoint(folder / "snn.safetensors")
    digits, line = "9" * 5000, "val_0.JPEG n00000000 0 0 1 1\n"
    for name, key, change in (
        ("deep", "checkpoint", lambda text: "[" * 100_000),
        ("infinite", "checkpoint", lambda text: text.replace('"height": 16', '"height": Infinity')),
        ("digits", "graph", lambda text: text.replace('"timesteps": 8', f'"timesteps": {digits}')),
        (
            "large",
            "graph",
            lambda text: text.replace('"timesteps": 8', '"timesteps": 1' + "0" * 400),
        ),
    ):
        small_checkpoint(folder / f"{name}.safetensors")
        checkpoint_saying(folder / f"{name}.safetensors", key, change)
    damaged = bytearray((folder / "snn.safetensors").read_bytes())
    damaged[-5] ^= 1
    (folder / "damaged.safetensors").write_bytes(damaged)
    for name, text in (
        ("deep", "a = " + "[" * 50_000),
        ("dotted", f"[run]\n{'a.' * 400_000}a = 1"),
        ("digits", f"[run]\nseed = {digits}"),
        ("null", '[run]\ncheckpoint = "a\\u0000b"'),
        ("infinite", "[run]\ngamma = inf"),
        ("escape", '[run]\nbackend = "\\u001b[31m' + "x" * 57_000 + '"'),
        ("large", "#" * (1 << 21)),
    ):
        (folder / f"{name}.toml").write_text(text)
    (folder / "latin.toml").write_bytes(b'[run]\ncheckpoint = "caf\xe9"')
    (folder / "huge.png").write_bytes(png_bomb(13_300, 13_300))
    (folder / "empty.png").write_bytes(png_bomb(8, 8)[:-30])
    (folder / "program.eps").write_text(
        "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nquit\n"
    )
    image = Image.new("RGB", (8, 8))
    image.save(
        folder / "exif.jpg",
        exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x05\0\0\0\x01\xff\xff\xff\xff",
    )
    os.mkfifo(folder / "pipe.png")
    listed, image, number = (
        "val/val_annotations.txt",
        "val/images/val_0.JPEG",
        f"val_{1 << 63}.JPEG",
    )
    add(
        folder / "bomb.zip",
        {listed: line, image: bytes(300 << 20), "words.txt": "n00000000\tapple"},
    )
    add(folder / "lines.zip", {listed: line * 500_000, image: b""})
    add(folder / "bzip2.zip", {listed: line, image: b""}, zipfile.ZIP_BZIP2)
    add(folder / "outside.zip", {listed: line.replace("val_0", "../../val_0"), image: b""})
    add(folder / "infinite.zip", {listed: line.replace("1 1", "inf nan"), image: b""})
    add(
        folder / "number.zip",
        {listed: line.replace("val_0.JPEG", number), f"val/images/{number}": b"no image"},
    )
    add(folder / "escape.zip", {listed: f"\x1b[31m{'x' * 57_000}", image: b""})
    (folder / "\x1b]0;title\x07\n.png").write_text("no image")
    (folder / "late.bin").write_bytes(bytes(5 * ((1 << 23) + 1)))
    return folder


SNN = ("run", "--out", "new", "--checkpoint", "snn.safetensors", "--data")


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (("run", "--out", "new", "--checkpoint", "deep.safetensors"), "nested deeper than 32"),
        (
            ("run", "--out", "new", "--checkpoint", "infinite.safetensors"),
            "got Infinity, expected a finite number",
        ),
        (
            ("run", "--out", "new", "--checkpoint", "digits.safetensors"),
            "graph: not valid JSON: Exceeds the limit",
        ),
        (("run", "--out", "new", "--checkpoint", "large.safetensors"), "timesteps is 1000"),
        (
            ("run", "--out", "new", "--checkpoint", "damaged.safetensors"),
            "changed or damaged after it was written",
        ),
        (("run", "--config", "deep.toml"), "nested too deep"),
        (
            ("run", "--config", "dotted.toml"),
            "dotted.toml: line 2 holds more than 100 dots, expected a setting",
        ),
        (("run", "--config", "digits.toml"), "not valid TOML: Exceeds the limit"),
        (("run", "--config", "null.toml"), "expected no null characters"),
        (("run", "--config", "infinite.toml"), "run.gamma"),
        (("run", "--config", "escape.toml"), "expected 'auto'"),
        (("run", "--config", "large.toml"), "a file of 2.1 MB, expected at most 1.0 MB"),
        (("run", "--config", "latin.toml"), "byte 23 is not UTF-8"),
        (("run", "--config", "/dev/zero"), "not an ordinary file"),
        (("run", "--seed", "9" * 5000), "--seed"),
        (("run", "--gamma", "1e999"), "--gamma"),
        (("run", "--checkpoint", "x" * 57_000), "File name too long"),
        (("run", "--checkpoint", "\x1b[31m\u202e"), "neither a bundled one"),
        (("run", "--checkpoint", "caf\udce9"), "expected UTF-8"),
        (("run", "--checkpoint", "a\0b"), "without null characters"),
        (("run", "--\x1b[31m" + "x" * 57_000), "unknown option"),
        ((*SNN, "huge.png"), "13,300×13,300 pixels; expected at most 67,108,864 pixels"),
        ((*SNN, "empty.png"), "empty.png: broken or truncated image"),
        ((*SNN, "program.eps"), "expected JPEG, PNG, GIF, BMP, TIFF, WEBP or PPM"),
        ((*SNN, "pipe.png"), "pipe.png"),
        ((*SNN, "/dev/zero"), "/dev/zero"),
        ((*SNN, "bomb.zip"), "a file of 314.6 MB, expected at most 268.4 MB"),
        ((*SNN, "lines.zip"), "val_annotations.txt: a file of 14.5 MB, expected at most 8.4 MB"),
        ((*SNN, "bzip2.zip"), "compressed by method 12, expected deflate"),
        ((*SNN, "outside.zip"), "names '../../val_0.JPEG', expected a file in val/images"),
        ((*SNN, "infinite.zip"), "expected four finite numbers"),
        ((*SNN, "number.zip"), "n00000000"),
        ((*SNN, "escape.zip"), "line 1: got 1 fields"),
        ((*SNN, "\x1b]0;title\x07\n.png"), "?]0;title? .png: not an image"),
        ((*SNN, "late.bin"), "late.bin: a file of 41.9 MB, expected at most 41.9 MB"),
    ],
)
def test_a_hostile_file_is_one_clean_line(hostile, monkeypatch, refused, command, reason):
    monkeypatch.chdir(hostile)
    error = refused(main_of(command[0]), *command[1:])
    assert reason in error
    assert error.isprintable()
    assert len(error) < 1000
    assert not (hostile / "new").exists()
