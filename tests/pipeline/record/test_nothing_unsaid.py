"""What would have been recorded wrongly, or left out, without a word."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import snntorch
import torch
from snntorch import utils
from torch import Tensor, nn

import spikesam
from tests.pipeline.record.hand_written import Net, Neuron, run

T, B = 5, 3

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of torch.jit, which it uses
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")


class Twice(nn.Module):
    """One module of neurons for two layers, brought to rest between them."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.lif = nn.Linear(6, 6), nn.Linear(6, 6), neuron.IFNode(step_mode="m")
        self.eval()

    def forward(self, spikes: Tensor) -> Tensor:
        first = self.lif(self.fc1(spikes))
        self.lif.reset()
        return self.lif(self.fc2(first))


def test_all_steps_twice_in_a_call_of_the_model_are_refused(tmp_path: Path) -> None:
    message = (
        r"layer 'lif': called twice in one call of the model, each time with 5 steps, so these would be two layers; "
        r"give each use a module of its own, or hand the spikes of each over with recording.tap\(\)"
    )
    with pytest.raises(spikesam.InputError, match=message):
        run(Twice(), tmp_path / "new", torch.rand(T, B, 6))
    assert not (tmp_path / "new").exists()


def test_one_call_for_each_batch_is_not_twice(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(6, 6), neuron.IFNode(step_mode="m")).eval()
    with spikesam.record(model, tmp_path) as recording:
        for _ in range(3):
            model[1].reset()
            model(torch.rand(T, B, 6))
            recording.finish()
    assert recording.raster.n_samples == 3 * B


class TiedOverDepth(nn.Module):
    """Neurons that are called several times in one step of a loop inside the model, which returns (B, K).

    Parameters
    ----------
    kind : "weights" of each use its own, or all "tied", or tied "behind a stem" that is called at each step
    """

    def __init__(self, kind: str, uses: int = 2, steps: int = T) -> None:
        super().__init__()
        self.kind, self.uses, self.steps = kind, uses, steps
        self.stem, self.lif = nn.Linear(6, 6), snntorch.Leaky(0.9, threshold=0.2)
        self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(uses))
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        membranes, total = [torch.zeros_like(x)] * self.uses, torch.zeros_like(x)
        for _ in range(self.steps):
            spikes = self.stem(x) if self.kind == "behind a stem" else x
            for use in range(self.uses):
                layer = self.layers[use if self.kind == "weights" else 0]
                spikes, membranes[use] = self.lif(layer(spikes), membranes[use])
            total = total + spikes
        return total


@pytest.mark.parametrize("kind", ["weights", "tied", "behind a stem"])
@pytest.mark.parametrize("uses", [2, 3])
def test_neurons_that_are_tied_over_depth_are_refused(kind: str, uses: int, tmp_path: Path) -> None:
    message = r"layer 'lif': called several times in one call .* several layers, not several steps; give each use a mod"
    with pytest.raises(spikesam.InputError, match=message):
        run(TiedOverDepth(kind, uses), tmp_path, torch.rand(B, 6))


def test_two_layers_in_one_step_are_refused(tmp_path: Path) -> None:
    with pytest.raises(spikesam.InputError, match="several layers"):
        run(TiedOverDepth("weights", steps=1), tmp_path, torch.rand(B, 6))


class Loop(nn.Module):
    """Steps in a loop: an image that is looked at once, recurrence, and an answer at every step."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps, self.stem, self.lif = steps, nn.Linear(6, 6), snntorch.Leaky(0.9, threshold=0.2)
        self.back, self.fc, self.last = nn.Linear(6, 6), nn.Linear(6, 6), snntorch.Leaky(0.9, threshold=0.2)
        self.answer = nn.Linear(6, 3)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        current, spikes = self.stem(x), torch.zeros(len(x), 6)
        one, two, total = torch.zeros_like(spikes), torch.zeros_like(spikes), torch.zeros(len(x), 3)
        for _ in range(self.steps):
            spikes, one = self.lif(current + self.back(spikes), one)
            fired, two = self.last(self.fc(spikes), two)
            total = total + self.answer(fired)
        return total


class Late(nn.Module):
    """Layers that hand on what they gave at the step before, so that zeros reach deep ones for some steps."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.fc = nn.ModuleList(nn.Linear(6, 6) for _ in range(depth))
        self.lif = nn.ModuleList(neuron.IFNode(v_threshold=0.1) for _ in range(depth))

    def forward(self, spikes: Tensor) -> Tensor:
        before = [torch.zeros_like(spikes[0])] * len(self.fc)
        for step in spikes:
            given = [step, *before[:-1]]
            before = [lif(fc(x)) for fc, lif, x in zip(self.fc, self.lif, given, strict=True)]
        return before[-1]


def test_layers_with_a_delay_are_recorded_step_by_step(tmp_path: Path) -> None:
    raster = run(Late(4).eval(), tmp_path, torch.rand(7, B, 6))
    assert [raster.timesteps, *raster] == [7, "lif_0", "lif_1", "lif_2", "lif_3"]


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_steps_in_a_loop_are_steps(steps: int, tmp_path: Path) -> None:
    model = Loop(steps)
    with spikesam.record(model, tmp_path) as recording:
        for _ in range(2):
            recording.finish(model(torch.rand(B, 6)))
    assert (recording.raster.timesteps, recording.raster.n_samples) == (steps, 2 * B)


class Both(nn.Module):
    """A neuron of snnTorch, and one that its user wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.known, self.flatten = nn.Conv2d(2, 4, 3), snntorch.Leaky(0.9, init_hidden=True), nn.Flatten()
        self.fc, self.own = nn.Linear(64, 8), Neuron()
        self.pool = nn.MaxPool1d(2)
        self.eval()
        self.fc.weight.abs_()

    def forward(self, image: Tensor) -> Tensor:
        return self.pool(self.own(self.fc(self.flatten(self.known(self.conv(image) * 5)))))


def steps(model: nn.Module) -> None:
    for _ in range(T):
        model(torch.rand(B, 2, 6, 6))


def test_neurons_beside_those_of_a_library_are_named(tmp_path: Path) -> None:
    model = Both()
    with spikesam.record(model, tmp_path) as recording:
        steps(model)
        with pytest.warns(UserWarning, match="record: module 'own' is not recorded, but seem"):
            recording.finish()
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # once is enough
            utils.reset(model)
            steps(model)
            recording.finish()
    assert list(recording.raster) == ["known"]
    model.own.reset()
    with warnings.catch_warnings(), spikesam.record(model, tmp_path, ["known", "own"], overwrite=True) as recording:
        warnings.simplefilter("error")
        utils.reset(model)
        steps(model)
        recording.finish()
    assert list(recording.raster) == ["known", "own"]
    assert recording.raster["own"].counts.sum() > 0


def test_blocks_that_hold_known_neurons_are_no_others(tmp_path: Path) -> None:
    block = nn.Sequential(nn.Linear(6, 6), snntorch.Leaky(0.9, threshold=0.1, init_hidden=True))
    model = nn.Sequential(block, nn.Linear(6, 4), snntorch.Leaky(0.9, threshold=0.1, init_hidden=True)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(run(model, tmp_path, *torch.rand(T, B, 6) * 3).layers) == 2


class Spare(nn.Module):
    """Holds neurons that it does not use, as some published networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif, self.spare = nn.Linear(6, 4), neuron.IFNode(step_mode="m"), neuron.IFNode(step_mode="m")
        self.eval()

    def forward(self, currents: Tensor) -> Tensor:
        return self.lif(self.fc(currents))


def test_neurons_that_the_model_does_not_call_are_left_out_and_named(tmp_path: Path) -> None:
    model = Spare()
    with spikesam.record(model, tmp_path) as recording:
        model(torch.rand(T, B, 6))
        with pytest.warns(UserWarning, match="record: module 'spare' is not called by the model, and left out"):
            recording.finish()
    assert list(recording.raster) == ["lif"]
    model.lif.reset()
    message = "layer 'spare': module 'spare' was not called; leave it out with layers="
    with spikesam.record(model, tmp_path, ["lif", "spare"], overwrite=True) as recording:
        model(torch.rand(T, B, 6))
        with pytest.raises(spikesam.InputError, match=message):
            recording.finish()
        model.spare(torch.rand(T, B, 6))
        recording.finish()


class Ternary(nn.Module):
    """Fires -1 below -0.5, 1 above 0.5."""

    def forward(self, membrane: Tensor) -> Tensor:
        return (membrane > 0.5).float() - (membrane < -0.5).float()


@pytest.mark.parametrize("layers", [None, ["own"]])
def test_ternary_spikes_are_two_planes(tmp_path: Path, layers: list[str] | None) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.own = nn.Conv2d(1, 3, 3), Ternary()

        def forward(self, image: Tensor) -> Tensor:
            return self.own(self.conv(image))

    model, images = Model().eval(), torch.randn(T, B, 1, 6, 5) * 3
    with spikesam.record(model, tmp_path, layers, counts="ternary") as recording:
        fired = torch.stack([model(image) for image in images])
        recording.finish()
    assert set(fired.unique().tolist()) == {-1, 0, 1}
    recorded = recording.raster["own"][:]
    assert recorded.shape == (T, B, 6, 4, 3)
    assert np.array_equal(recorded[:, :, :3], fired == 1)
    assert np.array_equal(recorded[:, :, 3:], fired == -1)


def test_spikingjellys_ternary_neurons(tmp_path: Path) -> None:
    if not hasattr(neuron, "TernaryLIFNode"):
        pytest.skip("this release has no ternary neurons")
    model = nn.Sequential(nn.Linear(6, 40), neuron.TernaryLIFNode(v_threshold=0.2, step_mode="m")).eval()
    currents = torch.randn(T, B, 6) * 4

    def run(counts: Any) -> tuple[Tensor, spikesam.RasterReader]:
        model[1].reset()
        with spikesam.record(model, tmp_path, counts=counts) as recording:
            fired = model(currents)
            recording.finish()
        return fired, recording.raster

    advice = "; pass counts='ternary' to record -1, 0 and 1 as two planes of channels, positive spikes first"
    with pytest.raises(spikesam.InputError, match=f"got values in -1 … 1 that are neither 0 nor 1, .*{advice}"):
        run(None)
    with pytest.raises(spikesam.InputError, match=f"got values in -1 … 1, expected counts of 0 or more{advice}"):
        run("fired")
    fired, raster = run("ternary")
    assert {-1.0, 1.0} < set(fired.unique().tolist())
    planes = torch.cat([fired == 1, fired == -1], 2).numpy()
    assert np.array_equal(raster["ternarylifnode_1"][:][..., 0, 0], planes)


def test_what_is_not_ternary_is_refused(tmp_path: Path) -> None:
    with spikesam.record(nn.Identity().eval(), tmp_path, [], counts="ternary") as recording:
        recording.tap("a", torch.tensor([[-2.0, 0.0, 1.0]]))
        with pytest.raises(spikesam.InputError, match="layer 'a': got values in -2 … 1, expected -1, 0 and 1"):
            recording.finish()
        recording._watch.begin_batch()
        recording.tap("a", torch.tensor([[-1.0, 0.0, 1.0]]))
        recording.finish()
    assert recording.raster["a"][0][0, :, 0, 0].tolist() == [False, False, True, True, False, False]


def test_what_fires_is_still_found_by_its_values(tmp_path: Path) -> None:
    with run(Net(), tmp_path, torch.rand(B, 2, 6, 6) * 2, counts="ternary") as raster:
        assert [layer.shape for layer in raster.layers] == [(10, 4, 4), (8, 1, 1)]
        assert raster["lif1"][:][:, :, 5:].sum() == 0 < raster["lif1"][:].sum()  # nothing fires -1
