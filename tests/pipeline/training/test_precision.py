"""The type of convolutions that "auto" stands for, by seconds that are given, and what measuring
leaves alone.
"""

from typing import Any

import pytest
import torch

from spikesam.pipeline.config import NetworkSection
from spikesam.pipeline.training.precision import choose_precision, native_type, seconds_of_a_step
from spikesam.pipeline.training.trainable import SpikingNetwork


@pytest.mark.parametrize(
    ("gpu", "native", "capability", "known", "expected"),
    [
        (False, False, "AVX2", {"avx512_bf16": True}, torch.float32),  # ATEN_CPU_CAPABILITY says so
        (False, False, "DEFAULT", {}, torch.float32),
        (False, False, "AVX512", {"avx512_bf16": True}, torch.bfloat16),
        (False, False, "AVX512", {"avx512_bf16": False}, torch.float32),
        (False, False, "AVX512", {}, torch.bfloat16),  # older releases of torch cannot tell
        (True, True, "AVX2", {}, torch.bfloat16),
        (True, False, "AVX2", {}, torch.float32),  # it emulates bfloat16
    ],
)
def test_the_type_that_the_processor_has_instructions_for(
    monkeypatch: pytest.MonkeyPatch,
    gpu: bool,
    native: bool,
    capability: str,
    known: dict[str, bool],
    expected: torch.dtype,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
    assert native_type() == expected


def given_processor(monkeypatch: pytest.MonkeyPatch, native: torch.dtype, gpu: bool) -> None:
    module = "spikesam.pipeline.training.precision"
    monkeypatch.setattr(f"{module}.native_type", lambda: native)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)


@pytest.mark.parametrize(
    ("bfloat16", "float32", "expected", "reason"),
    [
        (0.231, 0.169, "float32", "a step takes 231 ms in bfloat16, 169 ms in float32"),
        (0.169, 0.231, "bfloat16", "a step takes 169 ms in bfloat16, 231 ms in float32"),
        (0.1, 0.1, "bfloat16", "a step takes 100 ms in bfloat16, 100 ms in float32"),
        (0.1, 0.095, "bfloat16", "float32 needs more memory and is not clearly faster"),
        (0.1, 0.089, "float32", "a step takes 100 ms in bfloat16, 89 ms in float32"),
    ],
)
def test_float32_is_taken_where_it_is_clearly_faster(
    monkeypatch: pytest.MonkeyPatch, bfloat16: float, float32: float, expected: str, reason: str
) -> None:
    given_processor(monkeypatch, torch.bfloat16, gpu=False)
    found, told = choose_precision(lambda: {"bfloat16": bfloat16, "float32": float32})
    assert found == expected
    assert told.endswith(reason)


@pytest.mark.parametrize(
    ("native", "gpu", "expected"),
    [
        (torch.float32, False, "float32"),
        (torch.float32, True, "float32"),
        (torch.bfloat16, True, "bfloat16"),
    ],
)
def test_nothing_is_measured_where_one_type_is_known_to_be_faster(
    monkeypatch: pytest.MonkeyPatch, native: torch.dtype, gpu: bool, expected: str
) -> None:
    def measure() -> Any:
        pytest.fail("measured")

    given_processor(monkeypatch, native, gpu)
    found, told = choose_precision(measure)
    assert found == expected
    assert "instructions" in told


def test_measuring_changes_neither_the_model_nor_random_numbers() -> None:
    section = NetworkSection(layers=(4, "P4", "D8"), timesteps=4)
    model = SpikingNetwork(section, (3, 8, 8), 2, dropout=0.5, fused=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    seconds = seconds_of_a_step(
        model, lambda: ((torch.rand(4, 6, 3, 8, 8) < 0.3).float(), torch.zeros(6).long())
    )
    assert set(seconds) == {"bfloat16", "float32"}
    assert min(seconds.values()) > 0
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    assert all(parameter.grad is None for parameter in model.parameters())
