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
from spikesam.common.errors import InputError
from spikesam.pipeline.record.weights import refuse_missing_numbers
from tests.pipeline.imports.models import Written, fires
from tests.pipeline.record.hand_written import Net, Neuron, run

T, B = 5, 3

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of torch.jit, which it uses
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")


def twice(m: Any, spikes: Tensor) -> Tensor:
    """One module of neurons for two layers, brought to rest between them."""
    first = m.lif(m.fc1(spikes))
    m.lif.reset()
    return m.lif(m.fc2(first))


def test_all_steps_twice_in_a_call_of_the_model_are_refused(tmp_path: Path) -> None:
    message = (
        r"layer 'lif': called twice in one call of the model, each time with 5 steps, so these "
        r"would be two layers; "
        r"give each use a module of its own, or hand the spikes of each over with recording.tap\(\)"
    )
    model = Written(
        twice, fc1=nn.Linear(6, 6), fc2=nn.Linear(6, 6), lif=neuron.IFNode(step_mode="m")
    ).eval()
    with pytest.raises(spikesam.InputError, match=message):
        run(model, tmp_path / "new", torch.rand(T, B, 6))
    assert not (tmp_path / "new").exists()


def tied(kind: str, uses: int, steps: int) -> nn.Module:
    """Neurons that are called several times in one step of a loop inside the model, which returns
    (B, K).

    Each use has "weights" of its own, or all are "tied", or tied "behind a stem" that is called at
    each step.
    """

    def forward(m: Any, x: Tensor) -> Tensor:
        membranes, total = [torch.zeros_like(x)] * uses, torch.zeros_like(x)
        for _ in range(steps):
            spikes = m.stem(x) if kind == "behind a stem" else x
            for use in range(uses):
                spikes, membranes[use] = m.lif(
                    m.layers[use if kind == "weights" else 0](spikes), membranes[use]
                )
            total = total + spikes
        return total

    layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(uses))
    return Written(
        forward, stem=nn.Linear(6, 6), lif=snntorch.Leaky(0.9, threshold=0.2), layers=layers
    ).eval()


@pytest.mark.parametrize("kind", ["weights", "tied", "behind a stem"])
@pytest.mark.parametrize("uses", [2, 3])
def test_neurons_that_are_tied_over_depth_are_refused(kind: str, uses: int, tmp_path: Path) -> None:
    message = (
        r"layer 'lif': called several times in one call .* several layers, not several "
        r"steps; give each use a mod"
    )
    for steps in (T, 1) if kind == "weights" else (T,):  # tied ones in one step are steps
        with pytest.raises(spikesam.InputError, match=message):
            run(tied(kind, uses, steps), tmp_path, torch.rand(B, 6))


def loop(m: Any, x: Tensor) -> Tensor:
    """Steps in a loop: an image that is looked at once, recurrence, and an answer at every step."""
    current, spikes = m.stem(x), torch.zeros(len(x), 6)
    one, two, total = torch.zeros_like(spikes), torch.zeros_like(spikes), torch.zeros(len(x), 3)
    for _ in range(m.steps):
        spikes, one = m.lif(current + m.back(spikes), one)
        fired, two = m.last(m.fc(spikes), two)
        total = total + m.answer(fired)
    return total


def late(m: Any, spikes: Tensor) -> Tensor:
    """Layers that hand on what they gave at the step before, so that zeros reach deep ones for some
    steps.
    """
    before = [torch.zeros_like(spikes[0])] * len(m.fc)
    for step in spikes:
        given = [step, *before[:-1]]
        before = [lif(fc(x)) for fc, lif, x in zip(m.fc, m.lif, given, strict=True)]
    return before[-1]


def test_layers_with_a_delay_are_recorded_step_by_step(tmp_path: Path) -> None:
    fc, lif = (
        (nn.Linear(6, 6) for _ in range(4)),
        (neuron.IFNode(v_threshold=0.1) for _ in range(4)),
    )
    raster = run(
        Written(late, fc=nn.ModuleList(fc), lif=nn.ModuleList(lif)).eval(),
        tmp_path,
        torch.rand(7, B, 6),
    )
    assert [raster.timesteps, *raster] == [7, "lif_0", "lif_1", "lif_2", "lif_3"]


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_steps_in_a_loop_are_steps(steps: int, tmp_path: Path) -> None:
    neurons = {name: snntorch.Leaky(0.9, threshold=0.2) for name in ("lif", "last")}
    linear = {name: nn.Linear(6, 6) for name in ("stem", "back", "fc")}
    model = Written(loop, **neurons, **linear, answer=nn.Linear(6, 3)).eval()
    model.steps = steps
    with spikesam.record(model, tmp_path) as recording:
        for _ in range(2):
            recording.finish(model(torch.rand(B, 6)))
    assert (recording.raster.timesteps, recording.raster.n_samples) == (steps, 2 * B)


def both() -> Any:
    """A neuron of snnTorch, and one that its user wrote."""
    known = {"conv": nn.Conv2d(2, 4, 3), "known": fires(1.0, 0.9)}
    own = {
        "flatten": nn.Flatten(),
        "fc": nn.Linear(64, 8),
        "own": Neuron(),
        "pool": nn.MaxPool1d(2),
    }
    model = Written(
        lambda m, x: m.pool(m.own(m.fc(m.flatten(m.known(m.conv(x) * 5))))), **known, **own
    ).eval()
    model.fc.weight.abs_()
    return model


def steps(model: nn.Module) -> None:
    for _ in range(T):
        model(torch.rand(B, 2, 6, 6))


def test_neurons_beside_those_of_a_library_are_named(tmp_path: Path) -> None:
    model = both()
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
    with (
        warnings.catch_warnings(),
        spikesam.record(model, tmp_path, ["known", "own"], overwrite=True) as recording,
    ):
        warnings.simplefilter("error")
        utils.reset(model)
        steps(model)
        recording.finish()
    assert list(recording.raster) == ["known", "own"]
    assert recording.raster["own"].counts.sum() > 0


def test_neurons_that_the_model_does_not_call_are_left_out_and_named(tmp_path: Path) -> None:
    """As some published networks hold some."""
    neurons = {name: neuron.IFNode(step_mode="m") for name in ("lif", "spare")}
    model: Any = Written(lambda m, x: m.lif(m.fc(x)), fc=nn.Linear(6, 4), **neurons).eval()
    with spikesam.record(model, tmp_path) as recording:
        model(torch.rand(T, B, 6))
        with pytest.warns(
            UserWarning, match="record: module 'spare' is not called by the model, and left out"
        ):
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
    model = Written(
        lambda m, image: m.own(m.conv(image)), conv=nn.Conv2d(1, 3, 3), own=Ternary()
    ).eval()
    images = torch.randn(T, B, 1, 6, 5) * 3
    with spikesam.record(model, tmp_path, layers, counts="ternary") as recording:
        fired = torch.stack([model(image) for image in images])
        recording.finish()
    assert set(fired.unique().tolist()) == {-1, 0, 1}
    recorded = recording.raster["own"][:]
    assert recorded.shape == (T, B, 6, 4, 3)
    assert np.array_equal(recorded[:, :, :3], fired == 1)
    assert np.array_equal(recorded[:, :, 3:], fired == -1)


def test_what_is_not_ternary_is_refused(tmp_path: Path) -> None:
    with spikesam.record(nn.Identity().eval(), tmp_path, [], counts="ternary") as recording:
        recording.tap("a", torch.tensor([[-2.0, 0.0, 1.0]]))
        with pytest.raises(
            spikesam.InputError, match="layer 'a': got values in -2 … 1, expected -1, 0 and 1"
        ):
            recording.finish()
        recording._watch.begin_batch()
        recording.tap("a", torch.tensor([[-1.0, 0.0, 1.0]]))
        recording.finish()
    assert recording.raster["a"][0][0, :, 0, 0].tolist() == [False, False, True, True, False, False]


def test_what_fires_is_still_found_by_its_values(tmp_path: Path) -> None:
    with run(Net(), tmp_path, torch.rand(B, 2, 6, 6) * 2, counts="ternary") as raster:
        assert [layer.shape for layer in raster.layers] == [(10, 4, 4), (8, 1, 1)]
        assert raster["lif1"][:][:, :, 5:].sum() == 0 < raster["lif1"][:].sum()  # nothing fires -1


def test_samples_that_are_mixed_are_the_cause_that_is_told(tmp_path: Path) -> None:
    """The last neurons are given (T·B, N) in place of (T, B, N)."""
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")

    def forward(m: Any, x: Tensor) -> Tensor:
        first = m.lif(x)
        return m.proj_lif(m.proj(first.flatten(0, 1))[:, None].expand(-1, 5, -1))

    layers = {name: neuron.IFNode(step_mode="m", v_threshold=0.2) for name in ("lif", "proj_lif")}
    model = Written(forward, proj=nn.Linear(6, 4), **layers).eval()
    message = (
        "layer 'proj_lif': samples are mixed in 'proj_lif': it runs over 12 steps, which are the 4 "
        "steps and 3 samples of layer 'lif' in one axis"
    )

    def recorded() -> None:
        with torch.no_grad(), spikesam.record(model, tmp_path) as recording:
            model(torch.rand(4, 3, 6))
            recording.finish()

    with pytest.raises(InputError, match=message):
        recorded()


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    model = Net()
    model.conv.weight.data[1] = torch.nan
    with pytest.raises(InputError, match="record: 'conv.weight' holds NaN, expected finite"):
        run(model.eval(), tmp_path / "new", torch.rand(B, 2, 6, 6))
    assert not (tmp_path / "new").exists()


def test_infinity_is_refused_in_weights_and_taken_in_buffers() -> None:
    """A buffer may be the mask of an attention, or a threshold that nothing reaches."""
    model = Net()
    model.register_buffer("mask", torch.tensor([0, -torch.inf]))
    refuse_missing_numbers(model, "record")
    model.conv.weight.data[1, 0, 0, :2] = torch.tensor([torch.inf, -torch.inf])
    with pytest.raises(InputError, match=r"record: 'conv\.weight' holds infinity"):
        refuse_missing_numbers(model, "record")


class Masked(nn.Module):
    """Adds a mask behind its first input, where infinity means "not this one"."""

    def __init__(self) -> None:
        super().__init__()
        self.lif = snntorch.Leaky(0.9, init_hidden=True)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        self.lif.reset_mem()
        return torch.stack([self.lif((step + mask).clamp(min=0)) for step in x])


def test_infinity_is_refused_in_the_first_input_and_nan_in_all(tmp_path: Path) -> None:
    model, inputs = Masked().eval(), 3 * torch.rand(4, 2, 6)
    mask = torch.tensor([0, 0, 0, -torch.inf, 0, 0])

    def recorded(out: str, *args: Tensor, **named: Tensor) -> None:
        with torch.no_grad(), spikesam.record(model, tmp_path / out) as recording:
            recording.finish(model(*args, **named))

    recorded("masked", inputs, mask)
    recorded("named", x=inputs, mask=mask)
    for wrong, what in ((torch.inf, "infinity"), (-torch.inf, "infinity"), (torch.nan, "NaN")):
        broken = inputs.clone()
        broken[2, 1, 3] = wrong
        refusal = f"finish: the model's input holds {what}, expected finite numbers"
        with pytest.raises(InputError, match=refusal):
            recorded("new", broken, mask)
        with pytest.raises(InputError, match=refusal):
            recorded("new", x=broken, mask=mask)
    with pytest.raises(InputError, match="the model's input holds NaN"):
        recorded("new", inputs, mask * torch.nan)


def test_weights_of_eight_bits_are_looked_at() -> None:
    model = Net()
    model.register_buffer("small", torch.ones(2).to(torch.float8_e5m2))
    model.narrow = nn.Parameter(torch.ones(2).to(torch.float8_e5m2), requires_grad=False)
    refuse_missing_numbers(model, "record")
    model.small = torch.full((2,), torch.nan).to(torch.float8_e5m2)
    with pytest.raises(InputError, match="record: 'small' holds NaN"):
        refuse_missing_numbers(model, "record")


READINGS = {
    "last": lambda membranes: membranes[-1],
    "sum": lambda membranes: membranes,
    "mean": lambda membranes: membranes.mean(0),
    "highest": lambda membranes: membranes.amax(0),
}


class MembraneReadout(nn.Module):
    """A regression as snnTorch's tutorials have it; `behind` puts a dense layer behind it."""

    def __init__(self, reading: str, threshold: float = 1e9, behind: bool = False) -> None:
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(6, 20), snntorch.Leaky(0.9)
        self.fc2 = nn.Linear(20, 2)
        self.lif2 = snntorch.Leaky(0.9, threshold=threshold, reset_mechanism="none")
        self.fc3, self.reading, self.behind = nn.Linear(2, 2), READINGS[reading], behind

    def forward(self, steps: Tensor) -> Tensor:
        first, second = self.lif1.init_leaky(), self.lif2.init_leaky()
        membranes, spikes = [], []
        for step in steps:
            hidden, first = self.lif1(self.fc1(step), first)
            fired, second = self.lif2(self.fc2(hidden), second)
            membranes.append(second)
            spikes.append(self.fc3(fired))
        return self.reading(torch.stack(spikes if self.behind else membranes))


def recorded_layers(model: nn.Module, folder: Path, **options: Any) -> list[str]:
    with spikesam.record(model.eval(), folder, **options) as recording:
        for _ in range(2):
            recording.finish(model((torch.rand(T, B, 6) < 0.5).float()))
    return [*recording.raster]


@pytest.mark.parametrize("reading", READINGS)
def test_neurons_whose_membrane_is_the_output_are_no_layer(tmp_path: Path, reading: str) -> None:
    with pytest.warns(UserWarning, match="'lif2' never fires, and its membrane is the output"):
        assert recorded_layers(MembraneReadout(reading), tmp_path / "new") == ["lif1"]


@pytest.mark.filterwarnings("ignore:record. nothing fires in lif2")
def test_other_silent_neurons_stay_layers(tmp_path: Path) -> None:
    firing = MembraneReadout("last", threshold=-1e9)
    assert recorded_layers(firing, tmp_path / "firing") == ["lif1", "lif2"]
    behind = MembraneReadout("last", behind=True)
    assert recorded_layers(behind, tmp_path / "behind") == ["lif1", "lif2"]
    named = recorded_layers(MembraneReadout("last"), tmp_path / "named", layers=["lif1", "lif2"])
    assert named == ["lif1", "lif2"]
