"""The number type of a training's convolutions: as asked for, or the faster of both, measured.

bfloat16 halves what is read and written, and some processors multiply it several times as fast;
float32 adds rows of weights for spikes. Which is faster depends on the processor, the network and
the batch, so "auto" times steps of these.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from spikesam.pipeline.config import TrainingPrecision

TYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}
REPEATS = 3  # of the step that is timed, beyond the first
CLEARLY = 0.9  # float32 is taken where a step takes less than this share of its time in bfloat16


def native_type() -> torch.dtype:
    """bfloat16 where the processor has instructions for it, or else float32."""
    if torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        capabilities: Any = getattr(
            torch.cpu, "get_capabilities", dict
        )()  # older releases cannot tell
        native = "AVX512" in torch.backends.cpu.get_cpu_capability() and capabilities.get(
            "avx512_bf16", True
        )
    return torch.bfloat16 if native else torch.float32


def choose_precision(measure: Callable[[], Mapping[str, float]]) -> tuple[TrainingPrecision, str]:
    """The type that "auto" stands for on this machine, and the reason.

    Parameters
    ----------
    measure : gives seconds of a step by type; called where a CPU has instructions for bfloat16
    """
    if native_type() == torch.float32:
        return "float32", "the processor has no instructions for bfloat16"
    if torch.cuda.is_available():
        return "bfloat16", "the GPU has instructions for it"
    seconds = measure()
    float32_faster = seconds["float32"] < CLEARLY * seconds["bfloat16"]
    times = ", ".join(f"{seconds[name] * 1000:.3g} ms in {name}" for name in TYPES)
    reason = f"a step takes {times}"
    if float32_faster:
        return "float32", reason
    if seconds["float32"] < seconds["bfloat16"]:
        reason += "; float32 needs more memory and is not clearly faster"
    return "bfloat16", reason


def seconds_of_a_step(
    model: nn.Module, batch: Callable[[], tuple[Tensor, Tensor]]
) -> dict[str, float]:
    """Seconds by type that a forward and backward pass takes on the CPU: the least of several, in
    turns.

    The model and the state of random numbers stay as they are.

    Parameters
    ----------
    batch : gives the model's input and labels; may draw random numbers
    """
    trial = deepcopy(model).train()
    seconds: dict[str, list[float]] = {name: [] for name in TYPES}
    with torch.random.fork_rng(devices=[]):
        spikes, labels = batch()
        for _ in range(1 + REPEATS):
            for name, dtype in TYPES.items():
                trial.zero_grad()
                begun = time.perf_counter()
                with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
                    scores = trial(spikes)
                functional.cross_entropy(scores.float(), labels).backward()
                seconds[name].append(time.perf_counter() - begun)
    return {name: min(times) for name, times in seconds.items()}
