"""SpikingJelly's transformers, small, with weights with which about a fifth of all neurons fire."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.pipeline.imports.models import Jelly


def calibrated(model: nn.Module, example: Tensor, seed: int = 0) -> nn.Module:
    """With normalisation after the example, and gains with which about a fifth of all neurons
    fire.
    """
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 1.5, 3)
            nn.init.uniform_(module.bias, -0.2, 0.7)
            module.momentum = None
    reset = Jelly("functional").reset_net
    with torch.no_grad():
        model.train()(example)
    reset(model)
    return model.eval()


def qkformer(kind: str) -> nn.Module:
    made: nn.Module = Jelly("model.qkformer").QKFormer(
        4, 3, 10, 64, (2, 2, 4), (1, 1, 2), 2.0, qka_type=kind
    )
    return made


def spike_driven() -> nn.Module:
    kind = Jelly("model.spike_driven_transformer").SpikeDrivenTransformer
    made: nn.Module = kind(4, 3, 10, 32, 4, 1, 2.0, pooling_stat="0011")
    return made


# A model, the side of its images, how many blocks it has, in how many heads, and how they repeat
# spikes.
TRANSFORMERS: dict[str, tuple[Callable[[], nn.Module], int, int, int, list[tuple[int, ...]]]] = {
    "Spikformer": (
        lambda: Jelly("model.spikformer").Spikformer(4, 3, 32, 32, 4, 10, 32, 4, 2.0, 2),
        32,
        2,
        4,
        [],
    ),
    "Spike-driven Transformer": (spike_driven, 32, 2, 0, [(1, 8, 8)]),
    "QKFormer, tokens": (lambda: qkformer("token"), 64, 4, 4, [(8, 1, 1), (16, 1, 1)]),
    "QKFormer, channels": (lambda: qkformer("channel"), 64, 4, 4, [(1, 16, 16), (1, 8, 8)]),
}
