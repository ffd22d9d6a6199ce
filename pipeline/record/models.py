"""What cannot be recorded as it stands."""

from __future__ import annotations

import torch
from torch import nn

from recordings.errors import InputError


def check_model(model: object) -> nn.Module:
    """The model, if hooks see everything that happens in it, and nothing in it is random.

    Raises
    ------
    InputError : if it is no module, in training mode, compiled, scripted, or spread over devices
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"record: got {type(model).__name__}, expected a torch.nn.Module")
    if isinstance(model, nn.DataParallel):
        raise InputError("record: got DataParallel, which hides its copies from hooks; record model.module instead")
    for name, module in model.named_modules():
        where = f"record: module {name!r}" if name else "record: the model"
        if _is_compiled(module):
            raise InputError(f"{where} is compiled, so hooks may not see it; record the model that it was made from")
        if module.training:
            raise InputError(
                f"{where} is in training mode, in which dropout and batch normalisation change what fires; "
                "call model.eval() before"
            )
    return model


def _is_compiled(module: nn.Module) -> bool:
    """By torch.compile, or by torch.jit."""
    by_compile = type(module).__name__ == "OptimizedModule" or getattr(module, "_compiled_call_impl", None)
    return bool(by_compile) or isinstance(module, torch.jit.ScriptModule)
