"""Training on events: what the network is fed, what it learns, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from spikesam.pipeline import run, train
from spikesam.pipeline.config import Config, TrainingSection, load_config
from spikesam.pipeline.images.datasets import base
from spikesam.pipeline.images.datasets.saccade_digits import SaccadeDigits
from spikesam.pipeline.networks.checkpoint import load
from spikesam.pipeline.training.inputs import EventInputs, loaders, move_events, training_inputs
from tests.pipeline.small_events import DIRECTIONS, bar_folders
from tests.pipeline.training.configs import OF_EVENTS

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration, and recordings in class folders."""
    folder = tmp_path_factory.mktemp("training")
    bar_folders(folder / "bars" / "train", per_class=24)
    (folder / "config.toml").write_text(OF_EVENTS)
    return folder


def arguments(workplace: Path, out: Path, *extra: str) -> list[str]:
    source = ["--data.source", str(workplace / "bars")]
    return ["--config", str(workplace / "config.toml"), *source, "--out", str(out), *extra]


def config(**network: object) -> Config:
    settings = {"encoder": "spikes", "layers": (4, "P", "D8"), "timesteps": 12} | network
    data = {
        "source": "saccade-digits",
        "height": 32,
        "width": 32,
        "window_us": 30_000,
        "train_scenes": 40,
    }
    return Config.model_validate({"data": data, "network": settings, "training": {"batch_size": 4}})


def test_it_learns_which_way_bars_move_and_is_run(workplace: Path) -> None:
    train.main(arguments(workplace, workplace / "out"))
    lines = (workplace / "out" / "metrics.csv").read_text().splitlines()
    assert max(float(line.split(",")[-1]) for line in lines[1:]) > 0.8  # chance is 1/2
    path = workplace / "out" / "checkpoint.safetensors"
    checkpoint = load(path, "snn")
    assert checkpoint.classes == DIRECTIONS
    assert checkpoint.network.encoder == "spikes"
    assert checkpoint.network.input_shape == (2, 12, 12)
    assert (
        checkpoint.preparation
        == training_inputs(load_config(workplace / "config.toml")).preparation
    )
    assert (
        checkpoint.preparation.bins == 9
    )  # a layer takes a step, so three steps are for the last bin to arrive
    words = [
        "--checkpoint",
        str(path),
        "--data",
        str(workplace / "bars" / "train"),
        "--samples",
        "6",
        "--figures",
        "1",
    ]
    run.main([*words, "--out", str(workplace / "run")])
    assert (workplace / "run" / "figures" / "sam_000.png").stat().st_size > 0


def test_what_is_kept_is_what_is_fed() -> None:
    inputs = training_inputs(config())
    assert isinstance(inputs, EventInputs)
    recordings = [item.image for item in SaccadeDigits("train", size=2)]
    packed = torch.from_numpy(np.stack([inputs.kept(events) for events in recordings]))
    spikes = inputs.plain(packed, torch.Generator())
    assert spikes.shape == (12, 2, *inputs.shape)
    for sample, events in enumerate(recordings):
        bits = inputs.preparation.binned(events).bits
        assert len(bits) == 10
        assert np.array_equal(spikes[:10, sample].numpy(), bits)
    assert not spikes[10:].any()


def test_saccade_digits_are_selected_by_their_own_handwriting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(base.SIZES, "selection", 10)
    settings = config()
    fitting, selecting = loaders(settings, training_inputs(settings), Console(quiet=True))
    assert len(fitting.dataset) == 40
    assert len(selecting.dataset) == 10
    packed, labels, boxes = next(iter(fitting))
    assert packed.dtype == torch.uint8
    assert labels.max() < 10
    assert boxes.isfinite().all()


@pytest.mark.parametrize(("flip", "shift"), [(False, 0), (False, 2), (True, 1)])
def test_recordings_are_moved_whole(flip: bool, shift: int) -> None:
    torch.manual_seed(0)
    bits = torch.zeros(64, 3, 2, 8, 8, dtype=torch.uint8)
    bits[:, 0, 1, 3, 3] = bits[:, 2, 0, 4, 4] = 1
    moved = move_events(bits, TrainingSection(flip=flip, shift=shift))
    assert moved.flatten(1).sum(1).tolist() == [2] * 64
    first, second = moved[:, 0, 1].nonzero(), moved[:, 2, 0].nonzero()
    assert (second[:, 1] - first[:, 1] == 1).all()
    sideways = second[:, 2] - first[:, 2]
    assert set(sideways.tolist()) == ({-1, 1} if flip else {1})
    for moves in (first[:, 1] - 3, first[sideways == 1, 2] - 3):
        assert set(moves.tolist()) == set(range(-shift, shift + 1))


def test_nothing_comes_in_from_outside() -> None:
    torch.manual_seed(0)
    moved = move_events(
        torch.ones(50, 1, 2, 6, 6, dtype=torch.uint8), TrainingSection(flip=False, shift=2)
    )
    assert set(moved.flatten(1).sum(1).tolist()) <= {
        2 * a * b for a in (4, 5, 6) for b in (4, 5, 6)
    }
    assert moved.float().mean() < 0.9


def test_a_single_column_stays_where_it_is() -> None:
    moved = move_events(
        torch.ones(20, 1, 2, 6, 1, dtype=torch.uint8), TrainingSection(flip=True, shift=2)
    )
    assert moved.sum(dim=(1, 2, 3, 4)).min() >= 2 * 4
