"""The weights of a model, before it runs."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from spikesam.common.errors import InputError


def refuse_missing_numbers(model: nn.Module, where: str) -> None:
    """Refuse weights that are no finite numbers: what they reach never fires, or always.

    Buffers may hold infinity: the mask of an attention, a threshold that nothing reaches.
    """
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    for name, weights in model.state_dict().items():
        if not isinstance(weights, torch.Tensor) or is_lazy(weights):
            continue
        if not weights.is_floating_point():
            continue
        if weights.isnan().any():
            wrong = "NaN"
        elif name in parameters and weights.isinf().any():
            wrong = "infinity"
        else:
            continue
        raise InputError(
            f"{where}: {name!r} holds {wrong}, expected finite numbers; load weights of before "
            "the training lost them"
        )
