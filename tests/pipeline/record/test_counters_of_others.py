"""Counts of a recording are those of NeuroBench and of SpikingJelly, on ten models.

NeuroBench (Yik et al. 2025) takes a call in which one number is no spike for multiplications as a
whole, and counts no products of activations, nor transposed convolutions. SpikingJelly's counter
counts additions alone, of calls without other numbers, weights of 0 included; where spikes meet
numbers, those of 0 included.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.data import DataLoader, TensorDataset

import spikesam
from tests.pipeline.imports.models import Jelly
from tests.pipeline.imports.transformers import TRANSFORMERS, calibrated
from tests.pipeline.record.counting import counted

SAMPLES, STEPS = 3, 4
Run = Callable[[nn.Module, Tensor], None]


class Fires(nn.Module):
    """A spike where a number is positive, of one step."""

    def forward(self, x: Tensor) -> Tensor:
        return (x > 0).to(x)


def one_call(model: nn.Module, batch: Tensor) -> None:
    model(batch)


def steps(model: nn.Module, batch: Tensor) -> None:
    for step in batch.unbind(1):
        model(step)


def all_steps(model: nn.Module, batch: Tensor) -> None:
    model(batch.transpose(0, 1))


def spikes(*shape: int) -> Tensor:
    return (torch.rand(SAMPLES, *shape) < 0.3).float()


def layers(*parts: nn.Module) -> nn.Module:
    return nn.Sequential(*parts)


def images_of_numbers() -> tuple[nn.Module, Tensor, Run]:
    convolution = nn.Conv2d(3, 4, 3, stride=2, padding=1)
    model = layers(convolution, Fires(), nn.Flatten(), nn.Linear(4 * 16, 5), Fires())
    return model, torch.rand(SAMPLES, STEPS, 3, 8, 8), steps


def groups_and_gaps() -> tuple[nn.Module, Tensor, Run]:
    first = nn.Conv2d(2, 4, 3, padding="same", dilation=2)
    return layers(first, Fires(), nn.Conv2d(4, 6, 2, groups=2), Fires()), spikes(2, 2, 7, 6), steps


def sounds() -> tuple[nn.Module, Tensor, Run]:
    first, second = nn.Conv1d(2, 4, 5, stride=3), nn.Conv1d(4, 2, 2, padding=1)
    rows = nn.Unflatten(1, (4, 6))
    model = layers(first, nn.Flatten(), Fires(), rows, second, nn.Flatten(), Fires())
    return model, spikes(STEPS, 2, 20), steps


def volumes() -> tuple[nn.Module, Tensor, Run]:
    model = layers(nn.Conv3d(1, 2, 2, padding=1), nn.Flatten(), Fires(), nn.Linear(250, 3), Fires())
    return model, spikes(STEPS, 1, 4, 4, 4), steps


def decoder() -> tuple[nn.Module, Tensor, Run]:
    upward = nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1, output_padding=1)
    return layers(upward, Fires(), nn.Conv2d(3, 1, 3), Fires()), spikes(STEPS, 2, 4, 4), steps


def multi_step() -> tuple[nn.Module, Tensor, Run]:
    layer, neuron = Jelly("layer"), Jelly("neuron")
    model = layers(
        layer.Conv2d(2, 4, 3, step_mode="m"),
        neuron.IFNode(step_mode="m", v_threshold=0.2),
        layer.Flatten(step_mode="m"),
        layer.Linear(4 * 16, 6, step_mode="m"),
        neuron.LIFNode(step_mode="m", v_threshold=0.1),
    )
    return model, spikes(STEPS, 2, 6, 6), all_steps


def transformer(name: str) -> tuple[nn.Module, Tensor, Run]:
    make, side, *_ = TRANSFORMERS[name]
    images = torch.rand(SAMPLES, 3, side, side)
    return calibrated(make(), images), images, one_call


MODELS: dict[str, Callable[[], tuple[nn.Module, Tensor, Run]]] = {
    "images": images_of_numbers,
    "groups and gaps": groups_and_gaps,
    "sounds": sounds,
    "volumes": volumes,
    "decoder": decoder,
    "multi-step": multi_step,
} | {name: lambda name=name: transformer(name) for name in TRANSFORMERS}  # type: ignore[misc]

NAMES = [
    pytest.param(name, marks=pytest.mark.long) if name.startswith("QKFormer") else name
    for name in MODELS
]


def reset(model: nn.Module) -> None:
    Jelly("functional").reset_net(model)


def recorded(model: nn.Module, batch: Tensor, run: Run, folder: Path) -> dict[str, Any]:
    """Module -> additions and multiplications, of all steps and samples."""
    reset(model)
    names = {
        name: f"fires{name}" for name, part in model.named_modules() if isinstance(part, Fires)
    }
    with (
        torch.no_grad(),
        spikesam.record(model, folder, names or None, operations=True) as recording,
    ):
        run(model, batch)
        recording.finish()
    return {name: np.sum(rows, axis=(0, 2)) for name, rows in counted(folder).items()}


class Runs(nn.Module):
    """A model that runs as `run` says, from rest."""

    def __init__(self, model: nn.Module, run: Run) -> None:
        super().__init__()
        self.model, self.run = model, run

    def forward(self, batch: Tensor) -> Tensor:
        reset(self.model)
        self.run(self.model, batch)
        return torch.zeros(len(batch))


def of_neurobench(model: nn.Module, batch: Tensor, run: Run) -> dict[str, float]:
    pytest.importorskip("neurobench", reason="needs neurobench")
    from neurobench.benchmarks import Benchmark
    from neurobench.metrics.workload import SynapticOperations
    from neurobench.models import TorchModel

    data = DataLoader(TensorDataset(batch, torch.zeros(len(batch))), batch_size=len(batch))
    benchmark = Benchmark(TorchModel(Runs(model, run)), data, [], [], [[], [SynapticOperations]])
    with torch.no_grad():
        operations: dict[str, float] = benchmark.run(quiet=True)["SynapticOperations"]
    return {name: number * len(batch) for name, number in operations.items()}


@pytest.mark.parametrize("name", NAMES)
def test_neurobench_counts_the_same(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, batch, run = MODELS[name]()
    model.eval()
    counts = recorded(model, batch, run, tmp_path / "run")
    reset(model)
    theirs = of_neurobench(model, batch, run)
    unknown = [part for part, kind in model.named_modules() if isinstance(kind, nn.ConvTranspose2d)]
    common = {
        part: numbers
        for part, numbers in counts.items()
        if part not in unknown and not part.endswith("product")
    }
    spiking = sum(additions for additions, numbers in common.values() if numbers == 0)
    multiplying = sum(sum(numbers) for numbers in common.values() if numbers[1] > 0)
    assert theirs["Effective_ACs"] == pytest.approx(spiking, abs=0.01)
    assert theirs["Effective_MACs"] == pytest.approx(multiplying, abs=0.01)
    assert spiking > 0


class ZerosThatSpikesMeet(TorchFunctionMode):
    """Counts pairs of a spike and a 0 in products of spikes and other numbers."""

    pairs = 0

    def __torch_function__(
        self, function: Any, types: Any, arguments: Any = (), keywords: Any = None
    ) -> Any:
        if function.__name__ in ("matmul", "__matmul__"):
            left, right = arguments
            left_spikes, right_spikes = (bool(((x == 0) | (x == 1)).all()) for x in (left, right))
            if left_spikes != right_spikes:
                left, right = (left, right == 0) if left_spikes else (left == 0, right)
                self.pairs += int((left.sum(-2).double() * right.sum(-1).double()).sum())
        return function(*arguments, **(keywords or {}))


@pytest.mark.parametrize("name", NAMES)
def test_spikingjelly_counts_the_same(name: str, tmp_path: Path) -> None:
    counters = pytest.importorskip("spikingjelly.activation_based.op_counter")
    torch.manual_seed(0)
    model, batch, run = MODELS[name]()
    model.eval()
    counts = recorded(model, batch, run, tmp_path / "run")
    reset(model)
    counter, zeros = counters.SynOpCounter(), ZerosThatSpikesMeet()
    with torch.no_grad(), counters.DispatchCounterMode([counter]), zeros:
        run(model, batch)
    whole = {
        part: additions
        for part, (additions, numbers) in counts.items()
        if numbers == 0 or part.endswith("product")
    }
    assert counter.get_total() - zeros.pairs == sum(whole.values()) > 0


def test_spikingjelly_counts_weights_of_0_and_no_negative_spikes() -> None:
    """A spike that meets 2 weights, one of them 0; then -1."""
    counters = pytest.importorskip("spikingjelly.activation_based.op_counter")
    model = nn.Linear(1, 2, bias=False)
    counter = counters.SynOpCounter()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.5], [0.0]]))
        with counters.DispatchCounterMode([counter]):
            model(torch.ones(1, 1))
            model(-torch.ones(1, 1))
    assert counter.get_total() == 2
