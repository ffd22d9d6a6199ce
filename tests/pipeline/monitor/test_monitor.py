"""A training that is watched: numbers by hand, nothing of it changes, and what loggers get."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
snn = pytest.importorskip("snntorch")
utils = pytest.importorskip("snntorch.utils")

import spikesam  # noqa: E402
from spikesam.pipeline.drawing.grid import draw_maps  # noqa: E402
from spikesam.pipeline.monitor.monitor import beside  # noqa: E402

STEPS = 6


class Logger:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.scalars: dict[tuple[str, int], float] = {}
        self.images: dict[tuple[str, int], Any] = {}

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        self.scalars[tag, global_step] = scalar_value

    def add_image(self, tag: str, img_tensor: Any, global_step: int) -> None:
        self.images[tag, global_step] = img_tensor


def run(model: Any, images: Any) -> Any:
    utils.reset(model)
    return torch.stack([model(images) for _ in range(STEPS)])


def three_neurons() -> Any:
    """Weights 2, 0 and 1/2 to three channels, which fire above 1 and lose all: always, never, and
    every other step.
    """
    conv = torch.nn.Conv2d(1, 3, 1, bias=False)
    conv.weight.data = torch.tensor([2.0, 0.0, 0.6]).reshape(3, 1, 1, 1)
    lif = snn.Leaky(1.0, threshold=1.0, reset_mechanism="zero", init_hidden=True)
    return torch.nn.Sequential(conv, lif)


def test_rates_dead_and_saturated_neurons_by_hand() -> None:
    """Of a pixel of 1: 2 > 1 at all 6 steps; 0 never; 0.6, 1.2 (fires), 0.6 … at 3: 9 spikes in 18
    neuron steps.
    """
    logger = Logger()
    monitor = spikesam.Monitor(three_neurons(), torch.ones(2, 1, 1, 2), logger, every=2, run=run)
    rows = monitor(0)
    assert rows is not None and monitor(1) is None
    assert repr(monitor) == "<Monitor of Sequential, every 2 epochs: 1 recorded>"
    [row] = rows.to_dict("records")
    assert row == {
        "epoch": 0,
        "layer": "leaky_1",
        "rate": pytest.approx(9 / 18),
        "spikes": 2 * 9,
        "dead": pytest.approx(1 / 3),
        "saturated": pytest.approx(1 / 3),
    }
    assert logger.scalars["spikesam/dead/leaky_1", 0] == pytest.approx(1 / 3)
    assert logger.images["spikesam/maps/leaky_1", 0].shape == (3, 32, 2 * 64 + 2)


def test_nothing_of_the_training_changes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3),
        torch.nn.BatchNorm2d(4),
        torch.nn.Dropout(0.5),
        snn.Leaky(0.9, init_hidden=True),
    )
    model[1].eval()  # some are frozen
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    monitor = spikesam.Monitor(model, 3 * torch.rand(2, 1, 8, 8), run=run, out=tmp_path)
    first, again = monitor(0), monitor(1)
    assert (
        first.drop(columns="epoch").equals(again.drop(columns="epoch"))
        and first["spikes"].item() > 0
    )
    assert [module.training for module in model.modules()] == modes
    for name, value in model.state_dict().items():
        if not name.endswith("mem"):
            assert torch.equal(value, before[name]), name
    with spikesam.open_raster(tmp_path / "epoch-0001" / "raster.h5") as raster:
        np.testing.assert_array_equal(
            monitor.maps[1]["leaky_3"], spikesam.explain(raster)["leaky_3"].sum[:]
        )


def test_energy_by_a_network_of_the_model() -> None:
    """A model that cannot be imported is watched all the same, and a warning says why there is no
    energy.
    """
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3),
        snn.Leaky(0.9, init_hidden=True),
        torch.nn.Flatten(),
        torch.nn.Linear(8, 2),
    )
    images, logger = (3 * torch.rand(2, 1, 4, 4)).round(), Logger()
    about: Any = {
        "run": run,
        "network": lambda model: spikesam.from_torch(model, images, timesteps=STEPS),
    }
    monitor = spikesam.Monitor(model, images, logger, **about)
    rows = monitor(0)
    [row] = rows.to_dict("records")
    assert row["spikes"] > 0 and row["joules"] > 0
    assert logger.scalars["spikesam/joules/leaky_1", 0] == row["joules"]
    about["network"] = lambda model: spikesam.from_torch(model, 0 * images, timesteps=STEPS)
    with pytest.warns(UserWarning, match="^monitor: no energy in this epoch: .*holds zeros alone"):
        silent = spikesam.Monitor(model, images, **about)(0)
    assert silent is not None and "joules" not in silent


def test_the_random_numbers_of_the_training_go_on() -> None:
    model = three_neurons()
    monitor = spikesam.Monitor(
        model, torch.ones(1, 1, 1, 1), run=lambda model, x: run(model, x + torch.rand(1))
    )
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first = torch.rand(1)
    monitor(0)
    assert torch.equal(torch.cat([first, torch.rand(1)]), expected)


def test_a_strip_of_maps_over_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    model = three_neurons()
    monitor = spikesam.Monitor(model, torch.rand(3, 1, 5, 4), run=run)
    with pytest.raises(spikesam.InputError, match="^strip: nothing was recorded yet"):
        monitor.strip("leaky_1")
    for epoch in range(15):
        monitor(epoch)
    drawn: list[Any] = []
    kept = lambda *given: drawn.extend(given[3:]) or draw_maps(*given)  # noqa: E731
    monkeypatch.setattr("spikesam.pipeline.monitor.monitor.draw_maps", kept)
    assert monitor.strip("leaky_1", samples=2).axes[0].images
    headings, rows = drawn
    assert len(headings) == 12 and headings[0] == "epoch 0" and headings[-1] == "epoch 14"
    assert [len(row.cells) for row in rows] == [12, 12]
    assert max(cell.heat.max() for row in rows for cell in row.cells) == 1
    with pytest.raises(
        spikesam.InputError, match="^strip: no maps of layer 'fc1'; there are maps of: leaky_1$"
    ):
        monitor.strip("fc1")


def test_one_scale_of_colour_for_the_maps_of_an_epoch_and_no_impossible_number_of_these() -> None:
    picture = beside(np.array([[[4.0]], [[0.0]]], np.float32))
    assert picture.dtype == np.uint8 and picture.shape == (3, 64, 130)
    bright, gap, dark = picture[:, 0, 0], picture[:, 0, 64], picture[:, 0, 66]
    assert bright.sum() > dark.sum() and gap.tolist() == [255, 255, 255]
    for every in (0, -1, 1.5, True, "2"):
        with pytest.raises(
            spikesam.InputError, match="^Monitor: every is .*, expected a number of epochs ≥ 1$"
        ):
            spikesam.Monitor(three_neurons(), torch.ones(1, 1, 1, 1), every=every)


def test_lightning_writes_to_tensorboard(tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning")
    from lightning.pytorch.loggers import TensorBoardLogger
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = three_neurons()

        def forward(self, x: Any) -> Any:
            return run(self.net, x)

        def training_step(self, batch: Any, number: int) -> Any:
            return self(batch[0]).sum()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 1e-3)

    callback = spikesam.MonitorCallback(torch.ones(2, 1, 4, 4), every=2)
    images = torch.utils.data.TensorDataset(torch.ones(4, 1, 4, 4))
    trainer = lightning.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=TensorBoardLogger(tmp_path, name="", version="run"),
        callbacks=[callback],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Module(), torch.utils.data.DataLoader(images, 2))
    assert callback.monitor.history["epoch"].tolist() == [0, 2]
    written = EventAccumulator(str(tmp_path / "run")).Reload()
    assert [each.step for each in written.Scalars("spikesam/rate/net_1")] == [0, 2]
    assert [each.step for each in written.Images("spikesam/maps/net_1")] == [0, 2]


def test_tokens_are_watched_by_their_axes() -> None:
    """Three tokens of a row, each two features, at each of four steps; the second feature never
    fires.
    """

    class Fire(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return (x > 0).float()

    model = torch.nn.Sequential(torch.nn.Identity(), Fire())
    tokens = torch.tensor([1.0, -1.0]).expand(4, 1, 3, 2)
    monitor = spikesam.Monitor(model, tokens, layers=["1"], axes={"1": "T B N C"}, grid=(1, 3))
    rows = monitor(0)
    assert (rows["rate"].item(), rows["dead"].item()) == (0.5, 0.5)
    assert monitor.maps[0][rows["layer"].item()].shape == (1, 1, 3)
