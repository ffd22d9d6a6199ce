"""Findings of modules that behave another way in training."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from spikesam.pipeline.check._trace import Trace
from spikesam.pipeline.check.findings import Finding


def modes(model: nn.Module, base: Trace) -> Iterator[Finding]:
    """Findings of modules that ran and are in training mode."""
    for name, module in model.named_modules():
        if name not in base.counts:
            continue
        kind = type(module).__name__
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            if module.training or module.running_mean is None:
                why = (
                    "is in training mode"
                    if module.training
                    else "keeps no running mean (track_running_stats=False)"
                )
                yield Finding(
                    "batch statistics",
                    name,
                    f"{kind} {why}, so it takes mean and variance of the batch at hand",
                    "call model.eval(), and let it keep running statistics",
                )
        elif isinstance(module, nn.modules.dropout._DropoutNd) and module.training and module.p > 0:
            yield Finding(
                "train mode",
                name,
                f"{kind} is in training mode, and drops {module.p:.0%} of its values by chance",
                "call model.eval()",
            )
