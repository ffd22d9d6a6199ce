"""Hand-written neurons are found by their values, and nothing else is."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import spikesam
from spikesam.pipeline.record.detection import Grid
from tests.pipeline.record.hand_written import AllSteps, Fire, Net, Neuron, run

T, B = 6, 3


def images(scale: float = 2.0) -> Tensor:
    return torch.rand(T, B, 2, 6, 6) * scale


def test_neurons_are_found_in_the_first_batch_and_all_of_it_is_recorded(tmp_path: Path) -> None:
    model, batches = Net(), []
    with spikesam.record(model, tmp_path) as recording:
        for scale in (2.0, 1.5):
            model.reset()
            recording.finish(torch.stack([model(image) for image in images(scale)]))
            batches.append(model.expected())
    with recording.raster as raster:
        raster.verify()
        assert list(raster) == ["lif1", "lif2"]
        for number, name in enumerate(raster):
            expected = torch.cat([batch[number] for batch in batches], dim=1)
            assert np.array_equal(
                raster[name][:].squeeze((-1, -2)) if number else raster[name][:], expected.bool()
            )
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_of_modules_within_each_other_the_innermost_counts(tmp_path: Path) -> None:
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(2, 5, 3), Fire()), nn.Flatten(), nn.Linear(80, 4), Fire()
    ).eval()
    model[2].bias.fill_(0.4)
    assert list(run(model, tmp_path, *images())) == ["fire_0_1", "fire_3"]


class Block(nn.Module):
    """Synapses and neurons in one: what comes in are spikes, too."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.fc = nn.Linear(inputs, outputs)

    def forward(self, spikes: Tensor) -> Tensor:
        return (self.fc(spikes) > 0).float()


def test_a_block_of_synapses_and_neurons_is_found_though_spikes_go_in(tmp_path: Path) -> None:
    model = nn.Sequential(Block(8, 9), Block(9, 4)).eval()
    assert list(run(model, tmp_path, *(torch.rand(T, B, 8) < 0.5).float())) == [
        "block_0",
        "block_1",
    ]


def test_all_steps_at_once_need_a_word_on_the_layout(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(8, 5), AllSteps()).eval()
    currents = torch.rand(T, B, 8) * 3
    with pytest.raises(
        spikesam.InputError,
        match=r"layer '1': got shape \(6, 3, 5\), expected one step, .* say which",
    ):
        run(model, tmp_path / "a", currents)
    raster = run(model, tmp_path / "b", currents, layout="TB...")
    assert np.array_equal(raster["allsteps_1"][:][..., 0, 0], model(currents).bool())


def test_modules_that_return_no_tensor_are_passed_over(tmp_path: Path) -> None:
    class Both(nn.Module):
        def forward(self, currents: Tensor) -> dict[str, Tensor]:
            return {"currents": currents}

    class Model(nn.Sequential):
        def forward(self, currents: Tensor) -> Tensor:
            return self[2](self[1](self[0](currents))["currents"])

    raster = run(Model(nn.Linear(8, 5), Both(), Neuron()).eval(), tmp_path, torch.rand(B, 8) * 9)
    assert list(raster) == ["neuron_2"]


def test_a_model_without_spikes_lists_what_was_looked_at(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 2)).eval()
    message = (
        r"record: found no spiking layer in Sequential, neither of snnTorch, .* nor by the values "
        r"of 0 \(Linear\), "
        r"1 \(ReLU\), 2 \(Linear\); name modules with layers=, or hand spikes over with "
        r"recording.tap\(\)"
    )
    with pytest.raises(spikesam.InputError, match=message):
        run(model, tmp_path, torch.randn(B, 8))
    assert not any(tmp_path.iterdir())


def test_a_layer_that_was_silent_in_detection_is_named(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(8, 5), Neuron(), nn.Linear(5, 2), Neuron()).eval()
    model[2].weight *= 0.01
    model[2].bias += 0.01
    message = (
        "record: '3' put out nothing but zeros in the first batch, .* name the layers to "
        "record with layers="
    )
    with pytest.raises(spikesam.InputError, match=message):
        run(model, tmp_path, torch.rand(B, 8) * 9)
    raster = run(model, tmp_path, torch.rand(B, 8) * 9, layers=["1", "3"])
    assert raster["neuron_3"].counts.sum() == 0 < raster["neuron_1"].counts.sum()


def test_counts_of_hand_written_neurons_are_refused_or_recorded_as_fired(tmp_path: Path) -> None:
    class Count(nn.Module):
        def forward(self, current: Tensor) -> Tensor:
            return current.clamp(0).floor() * 0.25

    model = nn.Sequential(nn.Linear(8, 5), Count()).eval()
    currents = torch.rand(B, 8) * 9
    message = (
        r"'count_1': got values in 0 … [.\d]+ that are neither 0 nor 1, expected spikes; "
        r"pass counts='fired'"
    )
    with pytest.raises(spikesam.InputError, match=message):
        run(model, tmp_path, currents)
    spikes = model(currents)
    assert spikes.unique().numel() > 2
    raster = run(model, tmp_path, currents, counts="fired")
    assert np.array_equal(raster["count_1"][:][0, ..., 0, 0], (spikes > 0).numpy())


@given(st.floats(0.01, 100), st.lists(st.lists(st.integers(0, 200), max_size=9), max_size=4))
def test_multiples_of_one_unit_lie_on_a_grid(unit: float, calls: list[list[int]]) -> None:
    grid = Grid()
    ones = [1, *(value for call in calls for value in call)]
    for call in ([1], *calls):
        grid.see(torch.tensor(call) * unit)
    assert grid.fits
    assert grid.unit == pytest.approx(min(value for value in ones if value) * unit)


def test_other_values_do_not_and_zeros_tell_nothing() -> None:
    in_one_call = [0.3, 0.7], [-1.0, 0.0], [float("nan")], [1.0, float("inf")], [1.0, 300.0]
    in_two = ([0.3], [0.7]), ([0.7], [0.3]), ([1.0], [300.0]), ([300.0], [1.0])
    for calls in (*([each] for each in in_one_call), *in_two):
        grid = Grid()
        for call in calls:
            grid.see(torch.tensor(call))
        assert not grid.fits, calls
    grid = Grid()
    grid.see(torch.zeros(3))
    grid.see(torch.zeros(0))
    assert (grid.fits, grid.unit) == (True, None)
