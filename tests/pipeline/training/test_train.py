"""Training from Python: a configuration of any kind, the checkpoint that comes back, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import spikesam
from spikesam.pipeline.config import Config, read_config
from spikesam.recordings.errors import InputError
from tests.pipeline.small_networks import class_folders

pytestmark = pytest.mark.filterwarnings("ignore")


def tables(folder: Path) -> dict[str, Any]:
    return {
        "data": {
            "source": str(class_folders(folder / "images" / "train", per_class=8).parent),
            "height": 8,
            "width": 8,
        },
        "network": {"layers": [4, "P4", "D8"], "timesteps": 6},
        "training": {"epochs": 1, "batch_size": 8, "selection": 0.25, "shift": 1},
    }


def test_the_checkpoint_that_is_written_comes_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = tables(tmp_path)
    checkpoint = spikesam.train(settings, tmp_path / "out")
    assert "epoch 1/1" in capsys.readouterr().err
    assert checkpoint.classes == ("apple", "pear", "plum")
    assert checkpoint.network.shapes == ((6, 8, 8), (4, 8, 8), (8, 1, 1))
    assert spikesam.load(tmp_path / "out" / "checkpoint.safetensors").network.sha256 == checkpoint.network.sha256


def test_the_same_call_again_returns_the_finished_checkpoint(tmp_path: Path) -> None:
    settings, out = tables(tmp_path), tmp_path / "out"
    first = spikesam.train(settings, out)
    epochs = (out / "metrics.csv").read_text()
    assert spikesam.train(settings, out).network.sha256 == first.network.sha256
    assert (out / "metrics.csv").read_text() == epochs
    with pytest.raises(InputError, match=r"last\.ckpt: the training has training.seed 0, now it is 1"):
        spikesam.train(settings | {"training": settings["training"] | {"seed": 1}}, out)
    (out / "checkpoint.safetensors").unlink()
    with pytest.raises(InputError, match=f"{out}: holds a training already; add resume=True"):
        spikesam.train(settings, out)


def test_there_must_be_an_epoch_to_resume_from(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"epochs/last.ckpt: no finished epoch to resume from"):
        spikesam.train(tables(tmp_path), tmp_path / "out", resume=True)
    assert not (tmp_path / "out").exists()


def test_a_configuration_is_a_file_its_tables_or_itself(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[training]\nepochs = 3\n")
    found = [
        read_config(given) for given in (tmp_path / "c.toml", str(tmp_path / "c.toml"), {"training": {"epochs": 3}})
    ]
    assert [config.training.epochs for config in found] == [3, 3, 3]
    assert read_config(found[0]) is found[0]
    assert isinstance(read_config(None), Config)


def test_a_misspelt_setting_is_named() -> None:
    with pytest.raises(InputError, match=r"config: unknown key training\.epcohs; did you mean training\.epochs"):
        spikesam.train({"training": {"epcohs": 3}})
