"""Attention as spiking transformers write it: what its neurons fired, and where the code after them
takes it to be.

The classes have the names, the modules and the shapes of their originals; weights are random. Each
keeps in `expected`, by the name of its neurons, the spikes as (T, B, C, tokens).
"""

from typing import Any

import torch
from torch import Tensor, nn

HEADS = 2


def fires(threshold: float = 0.3) -> Any:
    """Neurons of SpikingJelly over all steps."""
    from spikingjelly.activation_based import neuron

    return neuron.LIFNode(v_threshold=threshold, step_mode="m")


class Attention(nn.Module):
    """What all have in common: synapses for queries, keys, values and what follows, and neurons
    behind them.
    """

    def __init__(self, channels: int, kind: str) -> None:
        super().__init__()
        self.expected: dict[str, Tensor] = {}
        for name in ("q", "k", "v", "proj"):
            synapse = (
                nn.Linear(channels, channels)
                if kind == "linear"
                else nn.Conv1d(channels, channels, 1)
            )
            self.add_module(f"{name}_{kind}", synapse)
            self.add_module(f"{name}_lif", fires())
        self.attn_lif = fires(1.2)

    def split(self, spikes: Tensor) -> Tensor:
        """(T, B, N, C) -> (T, B, heads, N, d)."""
        return spikes.unflatten(-1, (HEADS, -1)).transpose(2, 3)

    def joined(self, heads: Tensor) -> Tensor:
        """(T, B, heads, N, d) -> (T, B, C, N)."""
        return heads.transpose(-1, -2).flatten(2, 3)


class SSA(Attention):
    """Spikformer on CIFAR-10, (T, B, N, C): keys and values are reshaped to (C, N) and back, and
    never transposed.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, "linear")

    def forward(self, x: Tensor) -> Tensor:
        steps, samples, tokens, channels = x.shape
        keys = (steps, samples, channels, tokens)
        q = self.split(self.q_lif(self.q_linear(x)))
        k, v = (
            self.split(neurons(linear(x).reshape(keys)).reshape(x.shape))
            for linear, neurons in ((self.k_linear, self.k_lif), (self.v_linear, self.v_lif))
        )
        mixed = (q @ k.transpose(-1, -2) @ v).transpose(2, 3).reshape(x.shape)
        attended = self.attn_lif(mixed)
        projected = self.proj_lif(self.proj_linear(attended))
        self.expected = {"q_lif": self.joined(q), "k_lif": self.joined(k), "v_lif": self.joined(v)}
        self.expected |= {
            "attn_lif": attended.transpose(2, 3),
            "proj_lif": projected.transpose(2, 3),
        }
        return projected


class Spiking_Self_Attention(Attention):  # noqa: N801 — the original's name
    """QKFormer, (T, B, C, N): the last neurons are given steps and samples in one axis."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, "conv")

    def forward(self, x: Tensor) -> Tensor:
        pairs = (self.q_conv, self.q_lif), (self.k_conv, self.k_lif), (self.v_conv, self.v_lif)
        q, k, v = (neurons(conv(x.flatten(0, 1)).reshape(x.shape)) for conv, neurons in pairs)
        heads = [self.split(each.transpose(2, 3)) for each in (q, k, v)]
        mixed = heads[0] @ (heads[1].transpose(-1, -2) @ heads[2])
        attended = self.attn_lif(self.joined(mixed))
        projected = self.proj_lif(self.proj_conv(attended.flatten(0, 1))).reshape(x.shape)
        self.expected = {
            "q_lif": q,
            "k_lif": k,
            "v_lif": v,
            "attn_lif": attended,
            "proj_lif": projected,
        }
        return projected


class Token_QK_Attention(Attention):  # noqa: N801 — the original's name
    """QKFormer's other attention, (T, B, C, N): each head asks which tokens count."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, "conv")
        del self.v_conv, self.v_lif

    def forward(self, x: Tensor) -> Tensor:
        q = self.q_lif(self.q_conv(x.flatten(0, 1)).reshape(x.shape)).unflatten(2, (HEADS, -1))
        k = self.k_lif(self.k_conv(x.flatten(0, 1)).reshape(x.shape)).unflatten(2, (HEADS, -1))
        tokens = self.attn_lif(q.sum(3, keepdim=True))  # (T, B, heads, 1, N)
        projected = self.proj_lif(
            self.proj_conv((tokens * k).flatten(2, 3).flatten(0, 1)).reshape(x.shape)
        )
        self.expected = {
            "q_lif": q.flatten(2, 3),
            "k_lif": k.flatten(2, 3),
            "attn_lif": tokens.flatten(2, 3),
        }
        self.expected["proj_lif"] = projected
        return projected


class MS_SSA_Conv(nn.Module):  # noqa: N801 — the original's name
    """Spike-driven Transformer, (T, B, C, N) here: what a channel has in common over all tokens."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.talking_heads, self.talking_heads_lif = nn.Conv1d(HEADS, HEADS, 1), fires()
        self.expected: dict[str, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        channels = x.unflatten(2, (HEADS, -1)).transpose(-1, -2)  # (T, B, heads, N, d)
        common = self.talking_heads_lif(channels.sum(3, keepdim=True))
        self.expected = {"talking_heads_lif": common.flatten(2, 4)[..., None]}
        return (channels * common).transpose(-1, -2).reshape(x.shape)


class Model(nn.Module):
    """A convolution to a map of 2 × 3, its tokens, attention; (T, B, 1, 4, 6) -> (B, 8)."""

    def __init__(self, attention: type[nn.Module]) -> None:
        super().__init__()
        self.patch, self.lif, self.attn = nn.Conv2d(1, 8, 2, stride=2), fires(), attention(8)
        self.eval().requires_grad_(False)
        for parameter in self.parameters():
            parameter.copy_(torch.randn_like(parameter))

    def forward(self, images: Tensor) -> Tensor:
        spikes = self.lif(self.patch(images.flatten(0, 1)).unflatten(0, images.shape[:2])).flatten(
            3
        )
        first = isinstance(self.attn, SSA)
        return self.attn(spikes.transpose(2, 3) if first else spikes).sum((0, 2 if first else 3))
