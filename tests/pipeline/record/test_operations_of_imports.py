"""Counts while a model runs are those that energy makes of the network that is imported from it."""

import warnings
from tempfile import TemporaryDirectory

import snntorch
import snntorch.utils
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import spikesam

Convolution = tuple[int, int, int, int, int, int]  # channels, groups, kernel, stride, padding, pool


@st.composite
def convolutions(draw: st.DrawFn) -> Convolution:
    groups, padding = draw(st.integers(1, 2)), draw(st.integers(0, 1))
    kernel, stride = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    return 2 * draw(st.integers(1, 2)), groups, kernel, stride, padding, draw(st.integers(1, 2))


def network_of(parts: list[Convolution], side: int, beta: float, share: float) -> nn.Sequential:
    """Convolutions, some with a maximum of currents behind them, and a dense layer; that share of
    the weights is not 0.
    """
    modules: list[nn.Module] = []
    shape = torch.zeros(1, 2, side, side)
    for channels, groups, kernel, stride, padding, pool in parts:
        if kernel > min(shape.shape[2:]):
            break
        synapses = nn.Conv2d(
            shape.shape[1], channels, kernel, stride, padding, groups=groups, bias=False
        )
        modules.append(synapses)
        shape = synapses(shape)
        if pool <= min(shape.shape[2:]):
            modules.append(nn.MaxPool2d(pool))
            shape = modules[-1](shape)
        modules.append(snntorch.Leaky(beta, threshold=0.5, init_hidden=True))
    last = snntorch.Leaky(beta, threshold=0.5, init_hidden=True, output=True)
    modules += [nn.Flatten(), nn.Linear(shape[0].numel(), 3, bias=False), last]
    model = nn.Sequential(*modules).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            present = torch.rand(parameter.shape) < share
            parameter.copy_(
                present * torch.tensor([-0.5, 1.0, 2.0])[torch.randint(3, present.shape)]
            )
    return model


def recorded(model: nn.Module, events: Tensor, folder: str) -> None:
    snntorch.utils.reset(model)
    with torch.no_grad(), spikesam.record(model, folder, operations=True) as recording:
        for step in events:
            recording.tap("input", step)
            model(step)
        recording.finish()


@settings(max_examples=8)
@given(
    parts=st.lists(convolutions(), max_size=2),
    side=st.integers(3, 6),
    beta=st.sampled_from([0.5, 0.75, 1.0]),
    sizes=st.tuples(st.integers(2, 4), st.integers(1, 3)),
    share=st.sampled_from([0.5, 1.0]),
    seed=st.integers(0, 9),
)
def test_operations_are_those_of_the_import(
    parts: list[Convolution],
    side: int,
    beta: float,
    sizes: tuple[int, int],
    share: float,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    model = network_of(parts, side, beta, share)
    events = (torch.rand(*sizes, 2, side, side) < 0.6).float()
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            network = spikesam.from_torch(model, events)
        except spikesam.InputError as error:
            if "none of its neurons fires" not in str(error):
                raise
            reject()
        recorded(model, events, folder)
        modules, layers = spikesam.energy(folder), spikesam.energy(folder, network)
    counted = modules.steps.groupby("step")["operations"].sum()
    imported = layers.steps[layers.steps["layer"] != "readout"].groupby("step")["operations"].sum()
    assert counted.tolist() == imported.tolist()
    by_layer = layers.layers.set_index("layer").drop("readout")
    by_module = modules.layers.set_index("layer").drop([*by_layer.index])
    weighed = by_layer.drop("input")
    assert by_module["operations"].tolist() == weighed["operations"].tolist()
    if share == 1:  # without, weights of 0 may be taken for groups of channels by the import
        assert by_module["dense"].tolist() == weighed["dense"].tolist()
        assert by_module["ann_macs"].tolist() == weighed["ann_macs"].tolist()
