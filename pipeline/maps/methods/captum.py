"""captum's own attributions of images, over the module that :func:`spikesam.to_torch` makes.

A map is what `captum.attr.NAME(to_torch(network, seed)).attribute(image, target)` gives for one
image, its positive part, summed over channels; the class is the one that the module predicts.
Methods that perturb get squares as features, and integrated gradients the same Poisson noise at
each point. captum's other methods want a layer or another method, or change how modules such as
ReLU pass gradients on; a spiking network has none, so they would give plain gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from spikesam.backends.base import InputBatch, unpacked
from spikesam.backends.network import Network
from spikesam.common.arguments import Option
from spikesam.common.errors import InputError
from spikesam.pipeline.images.samples import DatasetSamples, PreparedImages, Samples
from spikesam.pipeline.maps.image_method import (
    Attributed,
    Classes,
    InputMethod,
    positive,
    predicted_and_explained,
)
from spikesam.pipeline.maps.methods.perturbation import SIDES

if TYPE_CHECKING:
    from spikesam.pipeline.networks.differentiable import DifferentiableNetwork


@dataclass(frozen=True)
class CaptumMaps(InputMethod):
    """Evidence for the class by a method of captum: captum:Saliency, captum:ShapleyValueSampling
    and others.
    """

    name = "captum"
    title = "captum"
    parameters: ClassVar[dict[str, type]] = {"seed": int, "attribution": str}

    attribution: Annotated[
        Literal[
            "FeatureAblation",
            "InputXGradient",
            "IntegratedGradients",
            "Saliency",
            "ShapleyValueSampling",
        ],
        Option("captum's name of a method; --method captum:NAME is short for it"),
    ] = "Saliency"

    def inputs(self, images: Samples, sample: int, network: Network) -> InputBatch:
        """The image itself, which the module encodes."""
        if isinstance(images, DatasetSamples):
            return images.images([sample])
        if isinstance(images, PreparedImages):
            return images.images[[sample]]
        raise InputError(
            "explain: method captum explains images, which the network encodes; got its input at "
            "every step"
        )

    def attributed(
        self, network: DifferentiableNetwork, inputs: InputBatch, classes: Classes = None
    ) -> Attributed:
        """See :class:`InputMethod`."""
        import captum.attr
        import torch

        from spikesam.pipeline.networks.differentiable import to_torch

        model, x = to_torch(network.network, self.seed), torch.from_numpy(unpacked(inputs))
        with torch.no_grad():
            predictions, target = predicted_and_explained(model(x), classes)
        rows, columns = (
            torch.arange(size) // max(1, min(x.shape[-2:]) // SIDES) for size in x.shape[-2:]
        )
        squares = (rows[:, None] * (columns[-1] + 1) + columns)[None, None]
        options = {
            "IntegratedGradients": {"internal_batch_size": 1},
            "InputXGradient": {},
            "Saliency": {},
        }
        explainer = getattr(captum.attr, self.attribution)(model)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            chosen = options.get(self.attribution, {"feature_mask": squares})
            return positive(
                predictions, explainer.attribute(x.requires_grad_(), target=target, **chosen)
            )
