"""Methods that map the input of a spiking network for the class that it predicts, over all steps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.base import InputBatch, unpacked
from spikesam.pipeline.maps.image_method import ImageMethod, Maps

if TYPE_CHECKING:
    from torch import Tensor

    from spikesam.pipeline.networks.differentiable import DifferentiableNetwork

Attributed = tuple[NDArray[np.int64], NDArray[np.float32]]  # predictions (B,), maps (B, H, W) ≥ 0


@dataclass(frozen=True)
class InputMethod(ImageMethod):
    """What speaks for the predicted class in the input: one map of an image, see :class:`ImageMethod`."""

    shows = "What speaks for the class"
    target = "prediction"
    parameters: ClassVar[dict[str, type]] = {"seed": int}
    layered = False

    @abstractmethod
    def attributed(self, network: DifferentiableNetwork, inputs: InputBatch) -> Attributed:
        """Predictions and maps of B images.

        Parameters
        ----------
        network : in float32
        inputs : what its encoder makes of the images
        """

    def maps(
        self,
        network: DifferentiableNetwork,
        inputs: InputBatch,
        labels: NDArray[np.integer[Any]],
        layers: Sequence[str],
    ) -> Maps:
        """See :class:`ImageMethod`."""
        predictions, maps = self.attributed(network, inputs)
        return predictions, {"input": maps[None]}


def prepared(network: DifferentiableNetwork, inputs: InputBatch) -> tuple[Tensor, Callable[[Tensor], Tensor], Tensor]:
    """The input with the samples first, logits as a function of it, and the predicted classes."""
    import torch

    x = torch.from_numpy(unpacked(inputs)).to(network.readout.device, torch.float32)

    def logits(x: Tensor) -> Tensor:
        return network.logits(x.movedim(1, 0) if x.ndim == 5 else x)  # a current that is constant has no time

    x = x.movedim(1, 0) if x.ndim == 5 else x
    with torch.no_grad():
        return x, logits, logits(x).argmax(1)


def positive(target: Tensor, values: Tensor) -> Attributed:
    """Predictions, and the positive part of signed values (B, …, C, H, W) summed over all but samples and pixels."""
    import torch

    summed = values.detach().flatten(1, -3).sum(1, dtype=torch.float64).clamp(min=0)
    return target.cpu().numpy(), summed.to(torch.float32).cpu().numpy()
