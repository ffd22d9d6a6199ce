"""What a resumed training reads back: moved, damaged, exchanged or hostile, it gives one network or one line."""

import hashlib
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from spikesam.pipeline import train
from spikesam.pipeline.networks.checkpoint import load_checkpoint
from spikesam.pipeline.training.epochs import read_epoch, write_epoch
from spikesam.recordings.errors import InputError
from tests.pipeline.small_networks import class_folders
from tests.pipeline.training.test_fit import CONFIG, ROOT

pytestmark = pytest.mark.filterwarnings("ignore")
KILLED = """
import os, signal, sys
from spikesam.pipeline import train
from spikesam.pipeline.training.epoch_log import EpochLog

def die(self, trainer, module):
    if trainer.current_epoch == 2:
        os.kill(os.getpid(), signal.SIGKILL)

EpochLog.on_train_epoch_start = die
train.main(sys.argv[1:])
"""  # in its third epoch; the first was the best


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with images, a training that nobody stopped, `whole`, and the same one killed, `killed`."""
    folder = tmp_path_factory.mktemp("resume")
    class_folders(folder / "images" / "train", per_class=16, size=20)
    (folder / "config.toml").write_text(CONFIG)
    train.main(words(folder, folder / "whole"))
    subprocess.run([sys.executable, "-c", KILLED, *words(folder, folder / "killed")], cwd=ROOT, capture_output=True)
    epochs = {name: read_epoch(folder / "killed" / "epochs" / f"{name}.ckpt")["epoch"] for name in ("best", "last")}
    assert epochs == {"best": 0, "last": 1}
    return folder


@pytest.fixture
def killed(place, tmp_path) -> Path:
    """A copy of the folder of the killed training."""
    return shutil.copytree(place / "killed", tmp_path / "moved")


def words(place: Path, out: Path, *more: str) -> list[str]:
    return [
        *("--config", str(place / "config.toml"), "--data.source", str(place / "images"), "--out", str(out)),
        *("--network.neuron", "relu", "--training.epochs", "4", *more),
    ]


def resumed(place: Path, out: Path) -> None:
    """Resume the training, which must end as if it had never stopped."""
    train.main(words(place, out, "--resume"))
    found, whole = (load_checkpoint(folder / "checkpoint.safetensors") for folder in (out, place / "whole"))
    assert found.network.sha256 == whole.network.sha256
    assert (out / "metrics.csv").read_text() == (place / "whole" / "metrics.csv").read_text()


def test_a_folder_that_was_moved(place, killed):
    resumed(place, killed)


def flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "a bit flipped": flip,
    "cut": lambda content: content[: len(content) // 2],
    "the end missing": lambda content: content[:-1],
    "empty": lambda content: b"",
    "zeros": lambda content: bytes(len(content)),
    "more at the end": lambda content: content + b"0",
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["best", "last"])
def test_one_file_is_damaged(place, killed, capsys, name, damage):
    path = killed / "epochs" / f"{name}.ckpt"
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    resumed(place, killed)
    error = capsys.readouterr().err
    told = (
        f"{path}: damaged, or not an epoch of spikesam train: it does not end with its SHA-256; going on after epoch 1"
    )
    assert (told in error) == (name == "last")  # nobody reads the other one
    if name == "last":
        read_epoch(path)  # it is whole again


def test_one_file_is_missing(place, killed):
    (killed / "epochs" / "last.ckpt").unlink()
    resumed(place, killed)


@pytest.mark.parametrize("damage", DAMAGES)
def test_both_files_are_damaged(place, killed, refused, damage):
    for path in (killed / "epochs").iterdir():
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    line = refused(train.main, *words(place, killed, "--resume"))
    assert "last.ckpt: damaged, or not an epoch" in line
    assert line.endswith(f"no other epoch is whole, remove {killed / 'epochs'} and train from the start")


def test_after_that_advice_training_starts_again(place, killed):
    shutil.rmtree(killed / "epochs")
    train.main(words(place, killed))
    assert (killed / "metrics.csv").read_text() == (place / "whole" / "metrics.csv").read_text()


def test_the_settings_are_those_of_the_epoch_whatever_lies_beside_it(place, killed, tmp_path, refused):
    (killed / "config.toml").unlink()
    line = refused(train.main, *words(place, killed, "--resume", "--training.seed", "1"))
    assert "last.ckpt: the training has training.seed 0, now it is 1; resume with the same settings" in line
    other = tmp_path / "other"
    train.main(words(place, other, "--training.seed", "1"))
    shutil.copy(other / "epochs" / "last.ckpt", killed / "epochs")
    line = refused(train.main, *words(place, killed, "--resume"))
    assert "last.ckpt: the training has training.seed 1, now it is 0" in line


def test_images_that_changed_under_their_names(place, killed, tmp_path, refused):
    images = shutil.copytree(place / "images", tmp_path / "images")
    train.main([*words(place, killed, "--resume"), "--data.source", str(images)])  # they may move
    shutil.copy(images / "train" / "plum" / "0.png", images / "train" / "plum" / "1.png")
    line = refused(train.main, *words(place, killed, "--resume"), "--data.source", str(images))
    assert "last.ckpt: the training had other images than there are now; resume with those, or remove" in line


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"", None])
def test_metrics_are_not_read_back(place, killed, content):
    (killed / "metrics.csv").write_bytes(content) if content is not None else (killed / "metrics.csv").unlink()
    resumed(place, killed)


class Command:
    """An object whose unpickling runs a command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("how", ["zip", "plain", "old"])
def test_nothing_in_a_file_is_executed(place, killed, tmp_path, refused, how, sealed):
    harm = {"epoch": 1, "settings": {}, "state_dict": Command(f"touch {tmp_path / 'executed'}")}
    path = killed / "epochs" / "last.ckpt"
    if how == "plain":
        path.write_bytes(pickle.dumps(harm))
    else:
        torch.save(harm, path, _use_new_zipfile_serialization=how == "zip")
    if sealed:
        seal(path)
    shutil.copy(path, killed / "epochs" / "best.ckpt")
    line = refused(train.main, *words(place, killed, "--resume"))
    assert "last.ckpt: " in line and "weights_only" not in line
    start = refused(train.main, *words(place, tmp_path / "new", "--training.start", str(path)))
    assert start.startswith(f"error: training.start: {path}: ")
    assert not (tmp_path / "executed").exists()


def seal(path: Path) -> None:
    """Give whatever lies there a seal, as somebody may who can write in the folder."""
    content = path.read_bytes()
    path.write_bytes(content + hashlib.sha256(content).hexdigest().encode())


def without(*keys: str) -> Callable[[dict], object]:
    """Remove one value somewhere inside."""

    def change(epoch: dict) -> None:
        for key in keys[:-1]:
            epoch = epoch[key]
        del epoch[keys[-1]]

    return change


FORGERIES: dict[str, Callable[[dict], object]] = {
    "no weights": without("state_dict"),
    "no loops": without("loops", "fit_loop"),
    "no optimizer": without("optimizer_states"),
    "no best network": without("best"),
    "no callbacks": without("callbacks"),
    "no metrics": without("metrics"),
    "no version": without("pytorch-lightning_version"),
    "another network": lambda epoch: epoch.update(state_dict={name: torch.ones(3) for name in epoch["state_dict"]}),
    "another best network": lambda epoch: epoch.update(best={}),
    "settings are a list": lambda epoch: epoch.update(settings=[1]),
    "an optimizer of texts": lambda epoch: epoch.update(optimizer_states=[{"state": "x", "param_groups": 3}]),
    "a schedule beyond its end": lambda epoch: epoch["lr_schedulers"][0].update(last_epoch=99),
    "an epoch long ago": lambda epoch: epoch.update(epoch=-(1 << 40)),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_sealed_file_of_another_content(place, killed, refused, forgery):
    for path in (killed / "epochs").iterdir():
        epoch = read_epoch(path)
        FORGERIES[forgery](epoch)
        write_epoch(epoch, path)
    assert "last.ckpt: " in refused(train.main, *words(place, killed, "--resume"))


def test_every_flipped_bit_is_noticed(killed):
    path = killed / "epochs" / "last.ckpt"
    content = path.read_bytes()
    for place in range(0, len(content), len(content) // 200):
        path.write_bytes(content[:place] + bytes([content[place] ^ (1 << place % 8)]) + content[place + 1 :])
        with pytest.raises(InputError, match="damaged"):
            read_epoch(path)


def test_a_file_of_a_terabyte_is_refused_at_once(killed):
    path = killed / "epochs" / "last.ckpt"
    with path.open("r+b") as file:
        file.truncate(1 << 40)  # zeros, which take no place on the disk
    with pytest.raises(InputError, match="damaged"):
        read_epoch(path)
