"""What a model must be before it can be imported: in evaluation, in float32, with finite weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from backends.network import NetworkError


def check_model(model: Any) -> None:
    """Refuse a model that would not be what it seems.

    Raises
    ------
    NetworkError : naming the module or the weight
    """
    if not isinstance(model, nn.Module):
        raise NetworkError(f"model: got {type(model).__name__}, expected a torch.nn.Module")
    for name, module in model.named_modules():
        if module.training and not any(True for _ in module.children()):
            raise NetworkError(f"model: module {name!r} is in training mode, expected evaluation; call model.eval()")
    for name, weight in (*model.named_parameters(), *model.named_buffers()):
        if weight.is_floating_point() and weight.dtype != torch.float32:
            raise NetworkError(f"model: {name!r} has dtype {weight.dtype}, expected float32; call model.float()")
        if weight.is_floating_point() and not torch.isfinite(weight).all():
            raise NetworkError(f"model: {name!r} holds NaN or infinite numbers, expected finite ones")
