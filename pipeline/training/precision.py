"""The type that convolutions compute in while a network is trained."""

from __future__ import annotations

import torch

from spikesam.pipeline.config import TrainingPrecision


def convolution_type(precision: TrainingPrecision) -> torch.dtype:
    """The type that is asked for; of "auto" bfloat16, or float32 on processors without instructions for it."""
    if precision != "auto":
        return torch.bfloat16 if precision == "bfloat16" else torch.float32
    if torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = "AVX512" in torch.backends.cpu.get_cpu_capability()
    return torch.bfloat16 if native else torch.float32
