"""The type that convolutions compute in while a network is trained."""

import pytest
import torch

from spikesam.pipeline.training.precision import convolution_type


@pytest.mark.parametrize(
    ("capability", "expected"), [("AVX2", torch.float32), ("DEFAULT", torch.float32), ("AVX512", torch.bfloat16)]
)
def test_without_avx512_a_cpu_trains_in_float32(monkeypatch: pytest.MonkeyPatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert convolution_type("auto") == expected


@pytest.mark.parametrize(("native", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_gpu_that_emulates_bfloat16_trains_in_float32(monkeypatch: pytest.MonkeyPatch, native, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    assert convolution_type("auto") == expected


def test_what_is_asked_for_is_taken_anywhere(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert convolution_type("bfloat16") == torch.bfloat16
    assert convolution_type("float32") == torch.float32
