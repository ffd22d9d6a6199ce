"""The model and the example of :func:`from_torch`, checked; the example as the imported network can be given it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spikesam.backends.network import DEFAULT_RANGE, PIXEL_LIMIT, Encoder, Network, NetworkError
from spikesam.pipeline.images.encoding import in_eight_bits, mean_spikes

FORMS = (
    "one batch as the model takes it at every step, (B, C, H, W) or (B, N), or a sequence of them, (T, B, …); of a "
    "model with Conv1d alone, a sequence (T, B, C, L)"
)


@dataclass(frozen=True, eq=False)
class Example:
    """Input of a model: "spikes" of 0 and 1, else "constant-current" or "changing-current"; "image" of an ANN."""

    sequence: Tensor  # (T, B, C, H, W), (T, B, C, L) or (T, B, N) float32
    constant: bool  # whether every step is the same
    encoder: Encoder
    input_range: float = DEFAULT_RANGE  # of a current, see :class:`spikesam.backends.network.Network`

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

    def varied(self) -> Example:
        """Another input like this one: other places of each channel, fewer spikes, brighter or darker currents."""
        random = torch.Generator("cpu").manual_seed(0)
        steps = self.sequence[:1] if self.constant else self.sequence
        maps = steps.flatten(3) if steps.ndim > 3 else steps[..., None]
        places = torch.rand(maps.shape[1:], generator=random, device="cpu").argsort(-1).to(maps.device)
        moved = maps.gather(-1, places.expand(maps.shape)).view(steps.shape)
        if self.encoder == "spikes":
            moved = moved * (torch.rand(steps.shape, generator=random, device="cpu") < 0.75).to(moved.device)
        else:
            brighter = self.input_range / max(float(moved.abs().max()), self.input_range / 1.5)
            moved = moved * (brighter if brighter > 1.1 else 0.75)
            moved = moved if self.encoder == "image" else _on_grid(moved, self.input_range)
        return replace(self, sequence=moved.expand(self.sequence.shape))

    def encoded(self, timesteps: int) -> NDArray[Any]:
        """The input of a network of so many steps: spikes or numbers, then silence; or the image, int8 as a current."""
        samples = (self.samples, *self.shape)
        if self.encoder == "image":
            return mean_spikes(self.sequence[0].reshape(samples).cpu().numpy(), self.input_range)
        if self.encoder == "constant-current":
            return in_eight_bits(self.sequence[0].reshape(samples).cpu().numpy(), self.input_range)
        given = self.sequence.reshape(self.timesteps, *samples).cpu().numpy()[:timesteps]
        steps = given != 0 if self.encoder == "spikes" else in_eight_bits(given, self.input_range)
        return np.concatenate([steps, np.zeros((timesteps - len(steps), *samples), steps.dtype)])


def check_model(model: Any) -> None:
    """Refuse a model that would not be what it seems."""
    if not isinstance(model, nn.Module):
        raise NetworkError(f"model: got {type(model).__name__}, expected a torch.nn.Module")
    for name, module in model.named_modules():
        which = f"module {name!r}" if name else "it"
        if isinstance(module, torch.jit.ScriptModule):
            raise NetworkError(f"model: {which} is scripted or traced, expected the module that it was made from")
        if module.training and not any(True for _ in module.children()):
            raise NetworkError(f"model: {which} is in training mode, expected evaluation; call model.eval()")
    for name, weight in (*model.named_parameters(), *model.named_buffers()):
        if weight.is_floating_point() and weight.dtype != torch.float32:
            raise NetworkError(f"model: {name!r} has dtype {weight.dtype}, expected float32; call model.float()")
        if weight.is_floating_point() and not torch.isfinite(weight).all():
            raise NetworkError(f"model: {name!r} holds NaN or infinite numbers, expected finite ones")


def read_example(
    given: Any,
    timesteps: int | None,
    model: nn.Module,
    network: Network | None = None,
    *,
    rounded: bool = True,
    at_least: float = 0.0,
) -> Example:
    """An example, see :data:`FORMS`, as a sequence, of currents in int8 if `rounded`; for `network`, if it is given."""
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
    current: Encoder = "changing-current" if sequence else "constant-current"
    encoder: Encoder = network.encoder if network else "spikes" if bits else current
    if encoder == "spikes" and not bits:
        raise NetworkError("example: holds other numbers than 0 and 1, but the network takes spikes")
    if encoder == "constant-current" and sequence:
        raise NetworkError("example: changes from step to step, but the network takes a constant current")
    largest = float(tensor.abs().max())
    if not largest and network is None:
        raise NetworkError(
            "example: holds zeros alone, which shows nothing of the input; give some of the model's own data"
        )
    input_range = DEFAULT_RANGE
    if encoder != "spikes":
        of_example = largest if encoder == "changing-current" else _range_of(max(largest, at_least))
        input_range = network.input_range if network else of_example
        if largest > input_range:
            raise NetworkError(
                f"example: holds {largest:g}, expected numbers in ±{input_range:g}, which the network's input covers; "
                "import it with an example that holds its largest number"
            )
        tensor = _on_grid(tensor, input_range) if rounded else tensor
    return Example(tensor if sequence else tensor.expand(steps, *tensor.shape), not sequence, encoder, input_range)


def _range_of(largest: float) -> float:
    """The range of constant currents as large as these: 1 of pixels in 0 … 1, which then use all of int8."""
    return 1.0 if largest <= 1 else max(DEFAULT_RANGE, largest)


def is_sequence(ndim: int, model: nn.Module) -> bool:
    """True if an example of so many axes holds all steps; of a model of rows alone, (T, B, C, L) does, too."""
    on_rows, on_maps = (any(isinstance(each, kind) for each in model.modules()) for kind in (nn.Conv1d, nn.Conv2d))
    return ndim in (3, 5) or (ndim == 4 and on_rows and not on_maps)


def _tensor(given: Any, model: nn.Module) -> Tensor:
    """A tensor of finite float32, where the model is."""
    try:
        tensor = given.detach() if isinstance(given, Tensor) else torch.as_tensor(given)  # which would move it
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


def _on_grid(numbers: Tensor, input_range: float) -> Tensor:
    """Numbers as a current can say them in int8."""
    rounded = in_eight_bits(numbers.cpu().numpy(), input_range).astype(np.float32)
    return torch.from_numpy(rounded * np.float32(input_range / PIXEL_LIMIT)).to(numbers.device)
