"""A recording with the network that its model became: the raster of a simulation, whatever the
model is called with.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import spikesam
from spikesam.backends.network import Network
from spikesam.pipeline import explain, report
from spikesam.pipeline.networks.checkpoint import named_network
from spikesam.pipeline.networks.recorded import BESIDE

snn = pytest.importorskip("snntorch")
NAMES = ["cat", "dog", "owl"]


class Steps(nn.Module):
    """Called with all steps, (T, B, …) or, `batch_first`, (B, T, …); or with one, at every step."""

    def __init__(self, axes: str) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.axes, self.conv, self.fc = axes, nn.Conv2d(1, 8, 3), nn.Linear(72, 3)
        self.lif1, self.lif2 = (
            snn.Leaky(beta=0.9, threshold=0.3, init_hidden=True) for _ in range(2)
        )
        self.conv.weight.data *= 2
        self.fc.weight.data *= 4

    def forward(self, x: Tensor) -> Tensor:
        if self.axes == "B":
            return self.step(x)
        steps = x if self.axes == "TB" else x.transpose(0, 1)
        return torch.stack([self.step(each) for each in steps], self.axes.index("T"))

    def step(self, x: Tensor) -> Tensor:
        pooled = nn.functional.max_pool2d(self.lif1(self.conv(x)), 2)
        return self.lif2(self.fc(pooled.flatten(1)))

    def reset(self) -> None:
        self.lif1.reset_mem(), self.lif2.reset_mem()


def spikes(samples: int = 4, steps: int = 7) -> Tensor:
    return (
        torch.rand(steps, samples, 1, 8, 8, generator=torch.Generator().manual_seed(0)) < 0.5
    ).float()


@pytest.fixture(scope="module")
def network() -> Network:
    return spikesam.from_torch(Steps("B").eval(), spikes())


def recorded(
    out: Path,
    axes: str = "B",
    change: Callable[[Steps], object] = lambda model: None,
    **options: Any,
) -> Any:
    """The raster of two batches; `change` is done to the model before."""
    model = Steps(axes).eval()
    change(model)
    with torch.no_grad(), spikesam.record(model, out, **options) as recording:
        for batch in spikes().split(2, dim=1):
            model.reset()
            if axes == "B":
                for step in batch:
                    recording.tap("input", step) if options.get("network") is None else None
                    last = model(step)
                recording.finish(last if options.get("network") is None else None, labels=[0, 1])
            else:
                recording.finish(
                    model(batch if axes == "TB" else batch.transpose(0, 1)), labels=[0, 1]
                )
    return recording.raster


@pytest.mark.parametrize("axes", ["B", "TB", "BT"])
def test_it_is_the_raster_of_a_simulation(axes: str, network: Network, tmp_path: Path) -> None:
    raster = recorded(tmp_path, axes, network=network, class_names=NAMES)
    simulated = spikesam.simulate(
        network, spikes().numpy() > 0, backend="event", precision="float32"
    )
    assert raster.raster_digest == simulated.raster_digest
    assert raster.readout.tolist() == simulated.readout.tolist() and raster.header.window == 7
    assert spikesam.load(tmp_path / "network.safetensors").class_names == tuple(NAMES)
    maps = spikesam.explain(tmp_path, method="relevance", target="owl")
    assert (maps.header.parameters["target"], maps.header.parameters["target_name"]) == (2, "owl")
    edited = spikesam.edit(tmp_path, layer="lif1", steps=[])  # the network lies beside it
    assert edited.raster.raster_digest == raster.raster_digest and "sample 0: " in str(edited)
    assert not np.isnan(spikesam.energy(tmp_path).operations)
    assert re.search(
        r'"classes":\[\d', spikesam.report(tmp_path).read_text()
    )  # of which the page shows relevance


def test_a_recording_is_lined_up_later(network: Network, tmp_path: Path) -> None:
    """Maps, edits and the page are those of a recording with the network; names and pictures are
    found, too.
    """
    recorded(tmp_path / "with", network=network)
    recorded(tmp_path / "later", class_names=NAMES)
    first = spikesam.explain(tmp_path / "with", method="relevance")["lif1"].sum
    later = spikesam.explain(tmp_path / "later", method="relevance", network=network)["lif1"].sum
    assert first.any() and np.array_equal(first, later)
    edits = [
        spikesam.edit(tmp_path / name, network, "lif1", channels=[0]) for name in ("with", "later")
    ]
    assert edits[0].raster.raster_digest == edits[1].raster.raster_digest and "cat" in str(edits[1])
    page = spikesam.report(tmp_path / "later", network=network, overwrite=True).read_text()
    assert (
        '"classes":[1,' in page and '"real":true' in page
    )  # relevance of dog first; it can be simulated there


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda model: setattr(model.lif2, "threshold", torch.tensor(0.4)),
            r"'lif2', sample \d, step \d, neuron",
        ),
        (
            lambda model: model.conv.weight.data.mul_(0.9),
            r"'lif1', sample 0, step \d, neuron \(\d, \d, \d\): ",
        ),
    ],
    ids=["last", "first"],
)
def test_another_model_is_refused_by_its_first_spike(
    change: Callable[[Steps], object], message: str, network: Network, tmp_path: Path
) -> None:
    said = (
        f"{message}.* but the network's membrane is .*% of the threshold there; expected a "
        "recording of the model"
    )
    with pytest.raises(spikesam.InputError, match=f"record: network: layer {said}"):
        recorded(tmp_path / "a", change=change, network=network)
    recorded(tmp_path / "b", change=change)
    with pytest.raises(spikesam.InputError, match=rf"raster\.h5: layer {said}"):
        spikesam.explain(tmp_path / "b", method="relevance", network=network)


def test_what_does_not_fit_is_refused(network: Network, tmp_path: Path) -> None:
    path = spikesam.write_raster(
        tmp_path / "a.h5", {"lif1": np.zeros((1, 7, 8, 6, 6)), "lif2": np.zeros((1, 7, 3))}
    )
    given: Any
    for given, message in (
        (
            network,
            r"a\.h5: does not hold the spikes of its input; record it again with "
            r"spikesam\.record\(…, network=…\)",
        ),
        (
            spikesam.quantise(network),
            r"the network is in fixed point, expected float32, as the model that was record",
        ),
        (3, "network: got int, expected a Network, a checkpoint, its name or its file"),
        (
            None,
            r"a\.h5: does not say which network fired it; give network, what the recorded model "
            r"became",
        ),
    ):
        with pytest.raises(spikesam.InputError, match=message):
            spikesam.explain(path, method="relevance", network=given)
    spikesam.write_raster(path, {"lif1": np.zeros((1, 6, 8, 6, 6))}, overwrite=True)
    with pytest.raises(
        spikesam.InputError, match=r"a\.h5: has 6 steps, expected 7, as the network takes"
    ):
        spikesam.edit(path, network, "lif1")
    recorded(tmp_path / "run", network=named_network(network, NAMES))
    with pytest.raises(
        spikesam.InputError,
        match="target: no class 'dig', expected one of cat, dog, owl, or 0 to 2",
    ):
        spikesam.explain(tmp_path / "run", method="relevance", target="dig")


def test_an_answer_that_is_not_the_networks_is_refused(network: Network, tmp_path: Path) -> None:
    model = Steps("TB").eval()
    said = "sample 0: all spikes are the same, but the model's answer is class"
    with (
        pytest.raises(spikesam.InputError, match=said),
        spikesam.record(model, tmp_path, network=network) as recording,
    ):
        recording.finish(-model(spikes()).detach())


def test_another_network_that_lies_there_is_not_replaced(network: Network, tmp_path: Path) -> None:
    mine = tmp_path / BESIDE
    spikesam.save(spikesam.quantise(network), mine)
    before = mine.read_bytes()
    with (
        pytest.raises(spikesam.InputError, match=f"{BESIDE}: already exists"),
        spikesam.record(Steps("TB").eval(), tmp_path, network=network),
    ):
        raise AssertionError("began")
    assert mine.read_bytes() == before


def test_a_network_that_a_current_drives_needs_no_input(tmp_path: Path) -> None:
    """What fires of numbers is taken as it is: the model has them as they are, the network in 8
    bits.
    """
    model = Steps("TB").eval()
    images = torch.rand(1, 3, 1, 8, 8, generator=torch.Generator().manual_seed(0)).expand(
        7, 3, 1, 8, 8
    )
    network = spikesam.from_torch(model, images)
    model.reset()
    with torch.no_grad(), spikesam.record(model, tmp_path, network=network) as recording:
        recording.finish(model(images))
    assert list(recording.raster) == ["lif1", "lif2"]
    assert spikesam.explain(tmp_path, method="relevance")["lif1"].sum.any()


def test_names_and_preparation_reach_files_and_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Images of ±2 are in the range of the preparation, whatever the example holds; the network's
    hash is as ever.
    """
    prepare = spikesam.Preprocessing(8, 8, (0.5,), (0.2,))
    images = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2.5 - 1
    model = Steps("B").eval()
    checkpoint = spikesam.from_torch(
        model, images, timesteps=7, class_names=NAMES, preprocessing=prepare
    )
    assert (checkpoint.network.input_range, checkpoint.class_names) == (2.5, tuple(NAMES))
    assert spikesam.compare(model, checkpoint, images).runs["differ"][0] == 0
    spikesam.save(checkpoint, tmp_path / "mine.safetensors")
    spikesam.save(checkpoint.network, tmp_path / "plain.safetensors")
    plain = spikesam.load(tmp_path / "plain.safetensors")
    assert (
        plain.class_names == ("0", "1", "2") and plain.network.sha256 == checkpoint.network.sha256
    )
    with spikesam.simulate(
        tmp_path / "plain.safetensors", images.numpy(), precision="float32"
    ) as raster:
        assert raster.n_samples == 3
    with pytest.raises(
        spikesam.InputError,
        match=r"give an array \(N, C, H, W\) of floating point; for images, imp",
    ):
        spikesam.simulate(tmp_path / "plain.safetensors")
    model.reset()
    with torch.no_grad(), spikesam.record(model, tmp_path / "run") as recording:
        recording.finish(torch.stack([model(images) for _ in range(7)]))
    options = f"--method relevance --target owl --network {tmp_path}/mine.safetensors"
    explain.main([f"{tmp_path}/run", *options.split()])
    assert "relevance-of-owl.h5  " in capsys.readouterr().out
    with spikesam.open_maps(tmp_path / "run" / "relevance-of-owl.h5") as maps:
        assert maps.header.parameters["target_name"] == "owl"


def test_names_and_pictures_reach_what_is_made_of_a_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    model = Steps("B").eval()
    checkpoint = spikesam.from_torch(model, images, timesteps=7, class_names=NAMES)
    model.reset()
    with torch.no_grad(), spikesam.record(model, tmp_path / "run", class_names=NAMES) as recording:
        recording.finish(
            torch.stack([model(images) for _ in range(7)]), labels=[0, 1, 2], images=images
        )
    assert "owl: " in str(spikesam.energy(tmp_path / "run", checkpoint))
    drawn: list[Any] = []
    monkeypatch.setattr(
        "spikesam.pipeline.maps.plot.draw_overview",
        lambda *given, **options: drawn.append(given[3]) or 1 / 0,
    )
    with pytest.raises(ZeroDivisionError):
        spikesam.explain(tmp_path / "run", method="relevance", network=checkpoint).plot()
    simulated = spikesam.simulate(checkpoint, images.numpy(), labels=[0, 1, 2])
    assert "owl: " in str(spikesam.energy(simulated, checkpoint.network))
    for method, given in (("sam", {}), ("relevance", {"network": checkpoint.network})):
        with pytest.raises(ZeroDivisionError):
            spikesam.explain(simulated, method=method, **given).plot()
    assert [each.true for subjects in drawn for each in subjects] == NAMES * 3
    assert [each.image is not None for each in drawn[0]] == [True] * 3


def test_silence_is_told_once_by_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = Steps("TB").eval()
    model.fc.weight.data.zero_(), model.fc.bias.data.zero_()
    with (
        torch.no_grad(),
        pytest.warns(UserWarning, match="record: nothing fires in lif2"),
        spikesam.record(model, tmp_path) as recording,
    ):
        recording.finish(model(spikes()), labels=4 * [0])
    assert recording.raster.predictions.tolist() == 4 * [-1]
    with pytest.warns(UserWarning, match="explain: nothing fires in lif2"):
        spikesam.explain(tmp_path)
    with pytest.warns(UserWarning, match="report: .*: nothing fires in lif2"):
        page = spikesam.report(tmp_path)
    assert '"right":false' in page.read_text() and "nothing fires in lif2" in page.read_text()
    for command in (explain, report):
        command.main([str(tmp_path)])
        assert capsys.readouterr().out.count("nothing fires in lif2") == 1
