"""Models that are right: those on which imports and records are tested have no faults."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import spikesam
from spikesam.backends.network import NetworkError
from spikesam.pipeline.check.findings import Finding
from spikesam.pipeline.imports.torch.calling import (
    _arranged,
    _run,
    _ways,
    read_example,
)
from spikesam.pipeline.imports.torch.follower import NotTakenError
from spikesam.pipeline.imports.torch.modules import NeuronModules
from tests.pipeline.imports.models import MODELS, make
from tests.pipeline.imports.random_models import LIBRARIES, model_of
from tests.pipeline.imports.transformers import TRANSFORMERS, calibrated
from tests.pipeline.record.transformers import (
    SSA,
    Model,
    MS_SSA_Conv,
    Token_QK_Attention,
)

STEPS = 8


def is_alarm(finding: Finding) -> bool:
    """True of faults and warnings, and of a module or parameter that is said to be ignored."""
    return finding.severity != "note" or (finding.name == "ignored" and bool(finding.module))


def alarms(model: nn.Module, example: Tensor) -> list[tuple[str, str, str]] | None:
    """Alarms of a model that is called as the import calls it; None of no import."""
    steps = None if example.ndim in (3, 5) else STEPS
    read, neurons = read_example(example, steps, model, rounded=False), NeuronModules()
    try:
        ways = _ways(model, read, neurons)
    except NetworkError:
        return None
    for way in ways:
        try:
            _run(model, read, neurons, way)
        except NotTakenError:
            continue
        except NetworkError:
            return None
        inputs: Any = (
            read.sequence[0] if way.takes == "B..." else _arranged(read.sequence, way.takes)
        )
        if way.every_step:
            inputs = list(read.sequence)
        findings = spikesam.check(model, inputs).findings
        return [
            (finding.name, finding.module, finding.sentence)
            for finding in findings
            if is_alarm(finding)
        ]
    return None


@pytest.mark.parametrize("name", MODELS)
def test_models_of_the_libraries(name: str) -> None:
    assert alarms(*make(name)) == []


@pytest.mark.long
@pytest.mark.parametrize("library", LIBRARIES)
def test_many_random_models(library: str) -> None:
    checked, seed = 0, 0
    while checked < 20:
        model, given = model_of(library, seed)
        found = alarms(model, given(0.5, seed))
        assert not found, (seed, found)
        checked, seed = checked + (found is not None), seed + 1


@pytest.mark.long
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformers(name: str) -> None:
    torch.manual_seed(0)
    make_model, side, *_ = TRANSFORMERS[name]
    images = 3 * torch.rand(2, 3, side, side)
    findings = spikesam.check(calibrated(make_model(), images), images, takes="B...").findings
    assert not list(filter(is_alarm, findings))


@pytest.mark.parametrize("attention", [SSA, Token_QK_Attention, MS_SSA_Conv])
def test_attention_as_published(attention: type[nn.Module]) -> None:
    torch.manual_seed(0)
    findings = spikesam.check(Model(attention), torch.rand(4, 2, 1, 4, 6)).findings
    ignored = ["attn.talking_heads"] if attention is MS_SSA_Conv else []  # which its forward skips
    assert [finding.module for finding in findings if is_alarm(finding)] == ignored
