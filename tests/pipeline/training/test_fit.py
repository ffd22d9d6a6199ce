"""Training on small images: it learns, resumes exactly, and says so when it diverges."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import redirect_stderr
from pathlib import Path

import pytest
import torch

from spikesam.pipeline import train
from spikesam.pipeline.config import TrainingSection
from spikesam.pipeline.images.encoding import encode
from spikesam.pipeline.networks.checkpoint import load_checkpoint
from spikesam.pipeline.networks.differentiable import predictions
from spikesam.pipeline.training.augmentation import augment
from tests.pipeline.small_networks import class_folders

CONFIG = """
[data]
height = 16
width = 24

[network]
layers = [6, "P", 8, "P4", "D16"]
timesteps = 8

[training]
epochs = 3
batch_size = 8
learning_rate = 0.02
selection = 0.25
shift = 1
dropout = 0.1
"""
ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with a configuration and images of three easy classes."""
    folder = tmp_path_factory.mktemp("training")
    class_folders(folder / "images" / "train", per_class=16, size=20)
    (folder / "config.toml").write_text(f'{CONFIG}\n[run]\ncheckpoint = "x"\n')
    return folder


def arguments(workplace: Path, out: str, *extra: str) -> list[str]:
    return [
        *("--config", str(workplace / "config.toml"), "--data.source", str(workplace / "images")),
        *("--out", str(workplace / out), *extra),
    ]


def start(workplace: Path, out: str, *extra: str, **variables: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "spikesam.pipeline.train", *arguments(workplace, out, *extra)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "SPIKESAM_DEBUG": "0"} | variables
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture(scope="module")
def uninterrupted(workplace):
    """The output of a training that nobody stopped."""
    with redirect_stderr(io.StringIO()) as output:
        train.main(arguments(workplace, "whole"))
    return output.getvalue()


def rows(workplace: Path, out: str) -> list[str]:
    """The lines of metrics.csv, none if it is not there."""
    path = workplace / out / "metrics.csv"
    return path.read_text().splitlines() if path.exists() else []


def test_it_learns_three_colours(workplace, uninterrupted):
    lines = (workplace / "whole" / "metrics.csv").read_text().splitlines()
    column = lines[0].split(",").index("selection_accuracy")
    accuracies = [float(line.split(",")[column]) for line in lines[1:] if line.split(",")[column]]
    assert [line.split(",")[0] for line in lines] == ["epoch", "1", "2", "3"]
    assert max(accuracies) > 0.6  # chance is 1/3
    checkpoint = load_checkpoint(str(workplace / "whole" / "checkpoint.safetensors"))
    assert checkpoint.classes == ("apple", "pear", "plum")
    assert list((workplace / "whole").rglob("events.out.tfevents*"))
    assert "epoch 3/3" in uninterrupted
    assert "min left" in uninterrupted


def test_the_ann_twin_is_trained_by_the_same_command(workplace, capsys):
    train.main(arguments(workplace, "ann", "--network.neuron", "relu"))
    captured = capsys.readouterr()
    path = workplace / "ann" / "checkpoint.safetensors"
    assert f"next: spikesam convert {path}" in captured.out
    assert "epoch 3/3" in captured.err
    ann = load_checkpoint(str(path), "ann")
    assert ann.classes == ("apple", "pear", "plum")
    colours = torch.zeros(3, 3, 16, 24) - 1
    colours[range(3), range(3)] = 1  # red, green and blue, as the images of the three classes are
    assert predictions(ann.network, [encode(ann.network, colours.numpy(), 0, range(3))]).tolist() == [0, 1, 2]


def test_killed_and_resumed_is_as_if_it_had_never_stopped(workplace, uninterrupted):
    process = start(workplace, "killed")
    last = workplace / "killed" / "epochs" / "last.ckpt"
    deadline = time.monotonic() + 300
    while not last.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert last.exists()
    assert not (workplace / "killed" / "checkpoint.safetensors").exists()
    train.main(arguments(workplace, "killed", "--resume"))
    assert rows(workplace, "killed") == rows(workplace, "whole")
    resumed, whole = (
        load_checkpoint(str(workplace / name / "checkpoint.safetensors")).network for name in ("killed", "whole")
    )
    assert resumed.sha256 == whole.sha256


def test_an_epoch_that_is_not_the_best_is_kept_too(workplace):
    still = ["--network.neuron", "relu", "--training.learning-rate", "1e-12", "--training.epochs", "2"]
    train.main(arguments(workplace, "still", *still))
    assert len({line.split(",")[-1] for line in rows(workplace, "still")[1:]}) == 1  # the second is no better
    epochs = workplace / "still" / "epochs"
    kept = {name: torch.load(epochs / f"{name}.ckpt", weights_only=True)["epoch"] for name in ("best", "last")}
    assert kept == {"best": 0, "last": 1}


def test_stopped_with_ctrl_c_it_says_so(workplace, capsys):
    ended = threading.Event()

    def press() -> None:
        while not rows(workplace, "stopped") and not ended.wait(0.05):
            pass
        if not ended.is_set():
            os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    try:
        with pytest.raises(SystemExit) as stop:
            train.main(arguments(workplace, "stopped", "--training.epochs", "1000"))
    finally:
        ended.set()
        presser.join()
    assert stop.value.code == 130
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("interrupted; finished work is kept, and run and train continue it with --resume")


def test_nothing_is_left_among_the_temporary_files(workplace, tmp_path):
    process = start(workplace, "clean", "--network.neuron", "relu", "--training.epochs", "1", TMPDIR=str(tmp_path))
    assert process.wait(timeout=300) == 0, process.communicate()[1]
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_is_not_finite_stops_with_one_line(workplace, capsys):
    with pytest.raises(SystemExit) as stop:
        train.main(arguments(workplace, "diverged", "--training.learning-rate", "1e38", "--training.optimizer", "sgd"))
    assert stop.value.code == 2
    errors = capsys.readouterr().err
    last = errors.strip().splitlines()[-1]
    assert last.startswith("error: training: the loss is ")
    assert "lower training.learning_rate" in last
    assert "Traceback" not in errors


def test_augmentation_can_be_switched_off():
    images = torch.rand(3, 3, 6, 8)
    still = augment(images, torch.full((3, 4), torch.nan), TrainingSection(flip=False, shift=0, crop=1.0))
    torch.testing.assert_close(still, images, rtol=1e-4, atol=1e-5)


def test_a_mirrored_image_is_mirrored():
    torch.manual_seed(0)
    images = torch.rand(32, 1, 4, 6)
    found = augment(images, torch.full((32, 4), torch.nan), TrainingSection(flip=True, shift=0, crop=1.0))
    mirrored = torch.isclose(found, images.flip(3), atol=1e-5).flatten(1).all(1)
    same = torch.isclose(found, images, atol=1e-5).flatten(1).all(1)
    assert (mirrored | same).all()
    assert 5 < mirrored.sum() < 27


@pytest.mark.parametrize("keep", [True, False])
def test_a_zoom_that_keeps_the_object(keep):
    torch.manual_seed(0)
    images = torch.zeros(200, 1, 40, 60)
    images[:, :, 5:15, 40:58] = 1  # 18×10 pixels near the upper right corner
    boxes = torch.tensor([[40.0, 5.0, 58.0, 15.0]]).repeat(200, 1)
    settings = TrainingSection(flip=True, shift=0, crop=0.1, keep_object=keep)
    found = augment(images, boxes, settings)
    lit = found[:, 0] > 0.5
    shape = lit.any(1).sum(1) / lit.any(2).sum(1).clamp(min=1)  # columns per row; 1.8 while the object is whole
    whole = ((shape / 1.8 - 1).abs() < 0.2).float().mean()
    if keep:
        assert whole == 1
        assert found.mean() > 1.3 * images.mean()  # and it has become larger
    else:
        assert whole < 0.7
