"""The axes of neurons in spiking transformers that are known: what each of them is really given.

A network is known by the class that holds the neurons, and by a module beside them, which tells
namesakes apart. Read from SpikingJelly 2.0 and the authors' repositories, 2026-11; each table holds
(neurons, axes) in order, the first that fits counts. Maps made by convolutions need no entry.

Two of the authors' shapes are not what they seem. Spikformer on CIFAR-10 reshapes keys and values
from (N, C) to (C, N) without a transposition, so tokens still come first in memory. QKFormer gives
`proj_lif` all steps and samples in one axis, so it runs through them as if they were steps.

References
----------
Zhou et al. 2023, Spikformer (ZK-Zhou/spikformer); Zhou et al. 2024, QKFormer
(zhouchenlin2096/QKFormer); Yao et al. 2023 and 2024, Spike-driven Transformer
(BICLab/Spike-Driven-Transformer and -V2); SpikingJelly's `layer.attention`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn

from spikesam.pipeline.record._layouts import Axes, parse

TOKENS, MAPS, HEADS = "T B C N", "T B C H W", "T B heads d N"
TOKENS_FIRST, IN_MEMORY, HEADS_FIRST = "T B N C", "T B (N C)", "T B heads N d"

Table = Sequence[tuple[str, str]]
CHANNELS_FIRST: Table = (("*", TOKENS), ("*", MAPS))
SPLIT_HEADS: Table = (("attn_lif", HEADS), *CHANNELS_FIRST)

# class of the holder, module beside the neurons -> the axes of its neurons
KNOWN: dict[tuple[str, str], Table] = {
    # SpikingJelly 2.0: Spikformer, QKFormer, Max-Former, Spike-driven Transformer
    ("SpikingSelfAttention", "qkv_conv_bn"): SPLIT_HEADS,
    ("QKAttention", "qk_conv_bn"): SPLIT_HEADS,
    ("SpikeDrivenSelfAttention", "q_conv"): (("attn_lif", HEADS_FIRST),),
    ("SpikformerMLP", "fc1"): CHANNELS_FIRST,
    ("_MLP", "fc1"): CHANNELS_FIRST,
    ("_MaxCifarSSA", "qkv"): CHANNELS_FIRST,
    # Spikformer: CIFAR-10 has linear layers, the others convolutions of 1
    ("SSA", "q_linear"): (("k_lif", IN_MEMORY), ("v_lif", IN_MEMORY), ("*", TOKENS_FIRST)),
    ("MLP", "fc1_linear"): (("*", TOKENS_FIRST),),
    ("SSA", "q_conv"): CHANNELS_FIRST,
    ("MLP", "fc1_conv"): CHANNELS_FIRST,
    # QKFormer
    ("Token_QK_Attention", "q_conv"): SPLIT_HEADS,
    ("Spiking_Self_Attention", "q_conv"): (("proj_lif", "(T B) C N"), *CHANNELS_FIRST),
    # Spike-driven Transformer V1, V2
    ("MS_SSA_Conv", "talking_heads"): (("talking_heads_lif", HEADS_FIRST),),
    ("MS_Attention_RepConv_qkv_id", "q_conv"): CHANNELS_FIRST,
    ("MS_MLP", "fc1_conv"): CHANNELS_FIRST,
}


def known_axes(model: nn.Module, module: str, ndim: int) -> Axes | None:
    """The axes of a module of neurons, of which a call gives a tensor of `ndim` axes; None if
    nothing is known.
    """
    holder, _, neurons = module.rpartition(".")
    held = model.get_submodule(holder)
    kinds = {kind.__name__ for kind in type(held).__mro__}
    for (kind, name), table in KNOWN.items():
        beside = getattr(held, name, None)
        if (
            kind in kinds
            and isinstance(beside, nn.Module)
            and isinstance(beside, nn.Linear) == name.endswith("linear")
        ):
            fitting = (parse(text) for pattern, text in table if fnmatchcase(neurons, pattern))
            return next((axes for axes in fitting if axes.fits(ndim)), None)
    return None
