"""Seven networks as users bring them: small, untrained, of snnTorch and SpikingJelly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from snntorch import Leaky, RLeaky, utils
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, nn

STEPS, SAMPLES, CLASSES = 4, 3, 5
THRESHOLD = 0.3  # low, so that networks without training fire


@dataclass(frozen=True)
class OwnNetwork:
    """A network, its input, and the statements that its user makes of its outputs.

    Parameters
    ----------
    model : called once with all steps, (T, B, …)
    answers : as of `recording.finish`: None where there are no classes
    target : as `why` of `record`
    refusal : the line of `from_torch`, if the model cannot be imported
    """

    model: nn.Module
    spikes: Tensor
    answers: str | None = "output"
    target: Any = "answer"
    refusal: str | None = None


class StepByStep(nn.Module):
    """Modules of snnTorch in a loop over steps: (T, B, …) -> (T, B, K)."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, spikes: Tensor) -> Tensor:
        utils.reset(self.layers)
        return torch.stack([self.layers(step) for step in spikes])


class PopulationCode(StepByStep):
    """Four neurons for each class, whose spikes are added up: (T, B, …) -> (B, K)."""

    def forward(self, spikes: Tensor) -> Tensor:
        return super().forward(spikes).sum(0).unflatten(1, (CLASSES, 4)).sum(2)


class MeanOverSteps(nn.Module):
    """Layers of SpikingJelly on all steps at once: (T, B, …) -> (B, …)."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, spikes: Tensor) -> Tensor:
        functional.reset_net(self.layers)
        return self.layers(spikes).mean(0)


class UNetLayers(nn.Module):
    """Fine maps joined with coarse ones, which are enlarged."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(conv(1, 4), lif())
        self.coarse = nn.Sequential(conv(4, 6, stride=2), lif())
        self.joined = nn.Sequential(conv(10, 6), lif(), conv(6, 3, side=1))

    def forward(self, spikes: Tensor) -> Tensor:
        fine = self.fine(spikes)
        coarse = self.coarse(fine).repeat_interleave(2, -1).repeat_interleave(2, -2)
        return self.joined(torch.cat([fine, coarse], 2))


def conv(channels: int, filters: int, side: int = 3, stride: int = 1) -> nn.Module:
    """A convolution of all steps."""
    return layer.Conv2d(channels, filters, side, stride, side // 2, bias=False, step_mode="m")


def lif() -> nn.Module:
    """Leaky neurons of all steps."""
    return neuron.LIFNode(
        tau=1.5, decay_input=False, v_threshold=THRESHOLD, v_reset=None, step_mode="m"
    )


def leaky() -> nn.Module:
    """Leaky neurons of one step."""
    return Leaky(beta=0.9, threshold=THRESHOLD, init_hidden=True)


def one_layer(*behind: nn.Module) -> list[nn.Module]:
    """A convolution of 8 × 8 places, then modules that read 144 neurons."""
    return [nn.Conv2d(1, 4, 3), leaky(), nn.Flatten(), *behind]


def random_spikes(*shape: int) -> Tensor:
    """(T, B, …)"""
    random = torch.Generator().manual_seed(0)
    return (torch.rand(STEPS, SAMPLES, *shape, generator=random) < 0.4).float()


def cnn() -> OwnNetwork:
    """Spikes of five classes."""
    return OwnNetwork(
        StepByStep(*one_layer(nn.Linear(144, CLASSES), leaky())), random_spikes(1, 8, 8)
    )


def sew_resnet() -> OwnNetwork:
    """One block in each of the four stages of a SEW-ResNet."""
    # Here, because it imports torchvision, which takes as long as torch.
    from spikingjelly.activation_based.model.sew_resnet import BasicBlock, SEWResNet

    options = {"v_threshold": THRESHOLD, "surrogate_function": surrogate.ATan()}
    layers = SEWResNet(
        BasicBlock,
        [1, 1, 1, 1],
        num_classes=CLASSES,
        cnf="ADD",
        spiking_neuron=neuron.IFNode,
        **options,
    )
    functional.set_step_mode(layers, "m")
    return OwnNetwork(MeanOverSteps(layers), random_spikes(3, 32, 32))


def recurrent() -> OwnNetwork:
    """Neurons without places that read each other."""
    hidden = RLeaky(beta=0.9, threshold=THRESHOLD, linear_features=12, init_hidden=True)
    layers = nn.Linear(8, 12), hidden, nn.Linear(12, CLASSES), leaky()
    return OwnNetwork(StepByStep(*layers), random_spikes(8))


def regression() -> OwnNetwork:
    """One number."""
    return OwnNetwork(StepByStep(*one_layer(nn.Linear(144, 1))), random_spikes(1, 8, 8))


def u_net() -> OwnNetwork:
    """Scores of three classes for each pixel."""

    def middle_pixel(output: Tensor) -> Tensor:
        return output[:, 1, 4, 4]

    return OwnNetwork(
        MeanOverSteps(UNetLayers()),
        random_spikes(1, 8, 8),
        answers=None,
        target=middle_pixel,
        refusal="comes from torch.cat, behind",
    )


def population_code() -> OwnNetwork:
    """Twenty neurons, four for each class."""
    layers = one_layer(nn.Linear(144, 4 * CLASSES), leaky())
    return OwnNetwork(PopulationCode(*layers), random_spikes(1, 8, 8))


def boxes() -> OwnNetwork:
    """A score and a box, five numbers, for each of 4 × 4 cells."""

    def best_score(output: Tensor) -> Tensor:
        return output[:, 0].amax((1, 2))

    layers = nn.Sequential(conv(1, 4, 5, 2), lif(), conv(4, 6, 3, 2), lif(), conv(6, 5, 1))
    return OwnNetwork(
        MeanOverSteps(layers), random_spikes(1, 16, 16), answers=None, target=best_score
    )


NETWORKS: dict[str, Callable[[], OwnNetwork]] = {
    make.__name__: make
    for make in (cnn, sew_resnet, recurrent, regression, u_net, population_code, boxes)
}
