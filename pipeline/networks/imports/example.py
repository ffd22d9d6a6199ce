"""The model and the example of :func:`from_torch`, checked; the example as the imported network can be given it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from backends.network import PIXEL_LIMIT, Encoder, NetworkError
from pipeline.images.encoding import constant_current

FORMS = (
    "one batch as the model takes it at every step, (B, C, H, W) or (B, N), or a sequence of them, (T, B, …); of a "
    "model with Conv1d alone, a sequence (T, B, C, L)"
)
PIXEL = 2 / PIXEL_LIMIT  # what one unit of a constant current stands for


@dataclass(frozen=True, eq=False)
class Example:
    """Input of a model.

    Parameters
    ----------
    sequence : (T, B, C, H, W), (T, B, C, L) or (T, B, N) float32
    constant : whether every step is the same
    encoder : "spikes" if all is 0 and 1, otherwise "constant-current"
    """

    sequence: Tensor
    constant: bool
    encoder: Encoder

    @property
    def timesteps(self) -> int:
        """T."""
        return len(self.sequence)

    @property
    def samples(self) -> int:
        """B."""
        return self.sequence.shape[1]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of a sample; (C, 1, L) of rows, (N, 1, 1) of one that is no map."""
        channels, *sides = self.sequence.shape[2:]
        height, width = (1, 1, *sides)[-2:]
        return channels, height, width

    def parts(self, samples: int) -> Iterator[Example]:
        """This example, so many samples at a time."""
        for start in range(0, self.samples, samples):
            yield replace(self, sequence=self.sequence[:, start : start + samples])

    def encoded(self, timesteps: int) -> NDArray[Any]:
        """What a network of so many steps is given: the spikes, then silence; or the image as a constant current."""
        samples = (self.samples, *self.shape)
        if self.encoder == "constant-current":
            return constant_current(self.sequence[0].reshape(samples).cpu().numpy())
        spikes = np.zeros((timesteps, *samples), np.bool_)
        spikes[: self.timesteps] = (self.sequence.reshape(self.timesteps, *samples) != 0).cpu().numpy()[:timesteps]
        return spikes


def check_model(model: Any) -> None:
    """Refuse a model that would not be what it seems."""
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


def read_example(given: Any, timesteps: int | None, model: nn.Module, encoder: Encoder | None = None) -> Example:
    """An example as a sequence; images are rounded to the grid of constant currents.

    Parameters
    ----------
    given : tensor or array, see :data:`FORMS`
    timesteps : T; needed where `given` is one batch
    encoder : what the network takes; if not given, spikes where all is 0 and 1
    """
    tensor = _tensor(given, model)
    sequence = is_sequence(tensor.ndim, model)
    if tensor.ndim not in (2, 3, 4, 5) or 0 in tensor.shape:
        raise NetworkError(f"example: got shape {tuple(tensor.shape)}, expected {FORMS}")
    if timesteps is None and not sequence:
        raise NetworkError(
            f"timesteps: got none for one batch, {tuple(tensor.shape)}; say how many steps it is shown for"
        )
    steps = len(tensor) if timesteps is None else timesteps
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1 or (sequence and steps != len(tensor)):
        expected = f"{len(tensor)}, as the example has" if sequence else "a whole number, at least 1"
        raise NetworkError(f"timesteps: got {timesteps!r}, expected {expected}")
    if sequence and (tensor == tensor[0]).all():
        tensor, sequence = tensor[0], False
    bits = bool(((tensor == 0) | (tensor == 1)).all())
    encoder = encoder or ("spikes" if bits else "constant-current")
    if encoder == "spikes" and not bits:
        raise NetworkError("example: holds other numbers than 0 and 1, but the network takes spikes")
    if encoder == "constant-current":
        tensor = _on_grid(tensor, sequence)
    return Example(tensor if sequence else tensor.expand(steps, *tensor.shape), not sequence, encoder)


def is_sequence(ndim: int, model: nn.Module) -> bool:
    """Whether an example of so many axes holds all steps; of a model of rows alone, (T, B, C, L) does, too."""
    on_rows, on_maps = (any(isinstance(each, kind) for each in model.modules()) for kind in (nn.Conv1d, nn.Conv2d))
    return ndim in (3, 5) or (ndim == 4 and on_rows and not on_maps)


def _tensor(given: Any, model: nn.Module) -> Tensor:
    """A tensor of finite float32, where the model is."""
    try:
        tensor = torch.as_tensor(given).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise NetworkError(f"example: got {type(given).__name__}, expected {FORMS}: {error}") from None
    if tensor.is_complex() or tensor.dtype in (torch.float16, torch.bfloat16):
        raise NetworkError(f"example: has dtype {tensor.dtype}, expected float32; give example.float()")
    devices = {str(weight.device) for weight in (*model.parameters(), *model.buffers())}
    if devices - {str(tensor.device)}:
        found = ", ".join(sorted(devices))
        raise NetworkError(f"example: is on {tensor.device}, the model on {found}; move one with .to(…)")
    tensor = tensor.float()
    if not torch.isfinite(tensor).all():
        raise NetworkError("example: holds NaN or infinite numbers, expected finite ones")
    return tensor


def _on_grid(images: Tensor, sequence: bool) -> Tensor:
    """Images as an int8 constant current can say them."""
    if sequence:
        raise NetworkError(
            "example: holds other numbers than 0 and 1 that change from step to step; expected spikes, or numbers that "
            "stay, which become a constant current"
        )
    if images.abs().max() > 2:
        raise NetworkError(
            f"example: holds {images.abs().max():g}, expected numbers in -2 … 2, which a constant current covers; "
            "divide the example by its largest value, and multiply the weights of the first layer by it"
        )
    pixels: NDArray[np.int8] = constant_current(images.cpu().numpy())
    return torch.from_numpy(pixels.astype(np.float32) * np.float32(PIXEL)).to(images.device)
