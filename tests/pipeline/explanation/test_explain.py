"""`explain` of networks and of torch models: what it records, imports and simulates first."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import spikesam
from spikesam.common.errors import InputError

snntorch = pytest.importorskip("snntorch")
STEPS = 6


def leaky(**options: Any) -> nn.Module:
    return snntorch.Leaky(beta=0.9, threshold=0.3, **options)


class Looping(nn.Module):
    """Two layers of neurons, and a loop over steps of its own."""

    def __init__(self, axes: str = "B...") -> None:
        super().__init__()
        self.axes = axes
        self.conv, self.lif1 = nn.Conv2d(1, 4, 3), leaky()
        self.fc, self.lif2 = nn.Linear(144, 3), leaky()

    def forward(self, x: Tensor) -> Tensor:
        by_step = x.expand(STEPS, *x.shape) if self.axes == "B..." else x
        by_step = by_step.transpose(0, 1) if self.axes == "BT..." else by_step
        membrane1, membrane2, spikes = self.lif1.init_leaky(), self.lif2.init_leaky(), []
        for image in by_step:
            fired, membrane1 = self.lif1(self.conv(image), membrane1)
            answer, membrane2 = self.lif2(self.fc(fired.flatten(1)), membrane2)
            spikes.append(answer)
        return torch.stack(spikes)


def looping(axes: str = "B...") -> nn.Module:
    torch.manual_seed(0)
    return Looping(axes).eval()


def by_step() -> nn.Module:
    """The same network, of which a call makes one step."""
    model = looping()
    return nn.Sequential(
        model.conv, leaky(init_hidden=True), nn.Flatten(), model.fc, leaky(init_hidden=True)
    ).eval()


IMAGES = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def test_relevance_of_a_model_is_that_of_its_recording(tmp_path: Path) -> None:
    model = looping()
    with spikesam.record(model, tmp_path, why=2) as recording:
        recording.finish(model(IMAGES))
    with spikesam.explain(tmp_path, method="relevance") as expected:
        maps = spikesam.explain(model, IMAGES, method="relevance", target=2)
        assert np.array_equal(maps["lif1"].sum[:], expected["lif1"].sum[:])
    assert maps["lif1"].sum[:].any() and maps.origin == "the model was recorded"
    assert "the model was recorded" in repr(maps)


def test_a_target_may_be_a_function_of_the_models_output() -> None:
    model = looping()
    of_class = spikesam.explain(model, IMAGES, method="relevance", target=1)
    of_function = spikesam.explain(
        model, IMAGES, method="relevance", target=lambda spikes: spikes[..., 1].sum(0)
    )
    assert np.array_equal(of_class["lif1"].sum[:], of_function["lif1"].sum[:])


@pytest.mark.parametrize("method", ["relevance", "integrated-gradients"])
@pytest.mark.parametrize("source", ["model", "network"])
def test_a_target_for_each_sample(method: str, source: str) -> None:
    """As if each sample had been explained alone."""
    explained: Any = looping()
    if source == "network":
        explained = spikesam.from_torch(explained, IMAGES, timesteps=STEPS)
    classes = [2, 0, 1, 1]
    maps = spikesam.explain(explained, IMAGES, method=method, target=torch.tensor(classes))
    assert maps.header.parameters["targets"] == " ".join(map(str, classes))
    layer = maps.layers[-1].name
    for sample, number in enumerate(classes):
        alone = spikesam.explain(explained, IMAGES, method=method, target=number)
        assert np.array_equal(maps[layer].sum[sample], alone[layer].sum[sample])
    for target, told in (
        (classes[1:], f"got {len(classes) - 1} classes, expected {len(classes)}, one for each"),
        ([1.5] * len(classes), "expected a class by name or number, or a list of them"),
        ([9] * len(classes), "9"),
    ):
        with pytest.raises(InputError, match=told):
            spikesam.explain(explained, IMAGES, method=method, target=target)


@pytest.mark.parametrize("method", ["integrated-gradients", "grad-cam", "occlusion"])
def test_other_methods_explain_the_models_import(method: str) -> None:
    model = looping()
    network = spikesam.from_torch(model, IMAGES, timesteps=STEPS)
    expected = spikesam.explain(network, IMAGES, method=method, target=1)
    maps = spikesam.explain(model, IMAGES, method=method, target=1)
    (layer, *_) = maps.layers
    assert np.array_equal(maps[layer.name].sum[:], expected[layer.name].sum[:])
    assert maps[layer.name].sum[:].any() and maps.origin == "the model was imported"
    assert maps.header.parameters["target"] == 1
    other = spikesam.explain(network, IMAGES, method=method, target=0)
    assert not np.array_equal(maps[layer.name].sum[:], other[layer.name].sum[:])


def test_a_model_that_makes_one_step_a_call_is_called_at_every_step() -> None:
    looped = spikesam.explain(looping(), IMAGES)
    called = spikesam.explain(by_step(), IMAGES, timesteps=STEPS)
    assert called.timesteps == looped.timesteps == STEPS
    for one, other in zip(looped, called, strict=True):
        assert np.array_equal(looped[one].sum[:], called[other].sum[:])


def _count(calls: list[nn.Module], module: nn.Module, inputs: Any) -> None:
    calls.append(module)


def test_a_model_is_recorded_once_and_its_silence_said_once() -> None:
    """Without weights, nothing fires."""
    calls: list[nn.Module] = []
    for model, timesteps, expected in ((looping(), None, 1), (by_step(), STEPS, STEPS)):
        for parameter in model.parameters():
            nn.init.zeros_(parameter)
        model.register_forward_pre_hook(partial(_count, calls))
        with pytest.warns(UserWarning, match="explain: nothing") as said:
            spikesam.explain(model, IMAGES, timesteps=timesteps)
        assert len(calls) == expected
        assert [str(line.message) for line in said] == ["explain: nothing fires in any layer"]
        calls.clear()


def test_calls_of_a_list_and_arrays_are_as_those_of_a_tensor() -> None:
    images = IMAGES.numpy()
    expected = spikesam.explain(by_step(), images, timesteps=STEPS)
    maps = spikesam.explain(by_step(), [images] * STEPS)
    for layer in maps:
        assert np.array_equal(maps[layer].sum[:], expected[layer].sum[:])


def test_the_model_is_afterwards_as_it_was() -> None:
    model = by_step()
    model(IMAGES)
    membrane = model[1].mem.clone()
    spikesam.explain(model, IMAGES, method="relevance", timesteps=STEPS)
    assert torch.equal(model[1].mem, membrane)


def test_a_network_is_simulated_for_maps_of_spikes() -> None:
    network = spikesam.from_torch(looping(), IMAGES, timesteps=STEPS)
    raster = spikesam.simulate(network, IMAGES)
    for method, options in (("sam", {}), ("relevance", {"network": network})):
        expected = spikesam.explain(raster, method=method, **options)
        maps = spikesam.explain(network, IMAGES, method=method)
        assert np.array_equal(maps["lif1"].sum[:], expected["lif1"].sum[:])
        assert maps.origin == "the network was simulated"


@pytest.mark.parametrize("method", ["sam", "grad-cam"])
@pytest.mark.parametrize("prepared", [False, True])
def test_a_conversion_stands_for_its_network(method: str, prepared: bool) -> None:
    torch.manual_seed(0)
    ann = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).eval()
    known = {"preprocessing": spikesam.Preprocessing(8, 8, (0.5,) * 3, (0.5,) * 3)}
    conversion = spikesam.convert(ann, torch.rand(4, 3, 8, 8), **(known if prepared else {}))
    images = np.random.default_rng(0).random((2, 3, 8, 8), np.float32)
    of_conversion, of_network = (
        spikesam.explain(source, images, method=method)
        for source in (conversion, conversion.network)
    )
    assert of_conversion["relu_1"].sum[:].any()
    assert np.array_equal(of_conversion["relu_1"].sum[:], of_network["relu_1"].sum[:])


@pytest.mark.parametrize("axes", ["TB...", "BT..."])
def test_steps_of_the_input_stand_where_the_model_takes_them(axes: str) -> None:
    """The network gets the steps first, wherever the model has them."""
    spikes = (torch.rand(STEPS, 4, 1, 8, 8, generator=torch.Generator().manual_seed(2)) < 0.5) * 1.0
    data = spikes if axes == "TB..." else spikes.transpose(0, 1)
    network = spikesam.from_torch(looping(axes), spikes, takes=axes)
    expected = spikesam.explain(network, spikes, method="gradient-x-input", target=1)
    for takes in (axes, None):
        options = {"method": "gradient-x-input", "target": 1, "takes": takes}
        maps = spikesam.explain(looping(axes), data, **options)
        assert np.array_equal(maps["input"].sum[:], expected["input"].sum[:])


def test_as_many_steps_as_samples_are_told_apart_by_takes() -> None:
    data = (torch.rand(4, 4, 1, 8, 8, generator=torch.Generator().manual_seed(2)) < 0.5) * 1.0
    with pytest.raises(InputError, match="takes: cannot tell the axes of data of shape"):
        spikesam.explain(looping("TB..."), data, method="gradient-x-input")
    maps = spikesam.explain(looping("TB..."), data, method="gradient-x-input", takes="TB...")
    assert len(maps["input"].sum[:]) == 4


REFUSED = {
    "explain: data is missing, expected what the model is called with": lambda: (looping(),),
    "explain: timesteps is missing, as one call of the model makes one step": lambda: (
        by_step(),
        IMAGES,
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_missing_is_named(message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        spikesam.explain(*REFUSED[message]())


def test_arguments_that_do_not_fit_are_refused() -> None:
    network = spikesam.from_torch(looping(), IMAGES, timesteps=STEPS)
    raster = spikesam.simulate(network, IMAGES)
    with pytest.raises(InputError, match="timesteps is 5, but one call of the model makes 6"):
        spikesam.explain(looping(), IMAGES, timesteps=5)
    with pytest.raises(InputError, match="timesteps belongs to a torch model, got a network"):
        spikesam.explain(network, IMAGES, timesteps=5)
    with pytest.raises(InputError, match="data belongs to a network or a torch model"):
        spikesam.explain(raster, IMAGES)
    with pytest.raises(InputError, match="no class 'cat', expected 0 to 2"):
        spikesam.explain(network, IMAGES, method="grad-cam", target="cat")
    with pytest.raises(InputError, match="timesteps belongs to one tensor, got a list"):
        spikesam.explain(by_step(), [IMAGES] * 2, timesteps=2)


def test_a_data_set_alone_in_a_list_is_that_data_set() -> None:
    """The command line gives a list."""
    options = {"method": "gradient-x-input"}
    alone = spikesam.explain("cluttered-digits", "cluttered-digits", **options)
    listed = spikesam.explain("cluttered-digits", ["cluttered-digits"], **options)
    assert len(alone.samples) == len(listed.samples) == 8


def test_steps_and_samples_on_one_axis_are_told_apart() -> None:
    """As sinabs' squeezed layers take them: all steps of a sample one behind the other."""
    layers = pytest.importorskip("sinabs.layers")
    activation = pytest.importorskip("sinabs.activation")
    torch.manual_seed(0)

    def neurons() -> nn.Module:
        options = {"spike_fn": activation.SingleSpike, "norm_input": False, "batch_size": 4}
        fires: nn.Module = layers.LIFSqueeze(tau_mem=5.0, spike_threshold=0.2, **options)
        return fires

    conv, linear = nn.Conv2d(1, 4, 3), nn.Linear(144, 3)
    model = nn.Sequential(conv, neurons(), nn.Flatten(), linear, neurons()).eval()
    spikes = (torch.rand(STEPS, 4, 1, 8, 8, generator=torch.Generator().manual_seed(3)) < 0.5) * 1.0
    network = spikesam.from_torch(model, spikes)
    expected = spikesam.explain(network, spikes, method="gradient-x-input", target=0)
    maps = spikesam.explain(
        model, spikes.transpose(0, 1).flatten(0, 1), method="gradient-x-input", target=0
    )
    assert maps["input"].sum[:].any()
    assert np.array_equal(maps["input"].sum[:], expected["input"].sum[:])
