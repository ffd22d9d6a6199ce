"""What a network returns becomes one prediction a sample, or is asked about; never a wrong prediction."""

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import spikesam
from spikesam.pipeline.record.layouts import batch_first, one_step, time_last
from spikesam.pipeline.record.outputs import OutputLayout

SCORES = torch.tensor([[1.0, 2.0, 0.0, 3.0], [5.0, 0.0, 1.0, 2.0]])  # (B, K)


@dataclass
class Answer:
    """As libraries return it."""

    loss: None
    logits: Tensor


@pytest.mark.parametrize(
    "output",
    [SCORES, (SCORES, None), {"loss": None, "logits": SCORES}, OrderedDict(logits=SCORES), Answer(None, SCORES)],
)
def test_logits_are_found(output: Any) -> None:
    assert OutputLayout().scores(output, 4, 2, one_step).tolist() == SCORES.tolist()


def test_outputs_without_logits_are_one_line() -> None:
    with pytest.raises(
        spikesam.InputError, match=r"^output: got dict of 'a', 'b', expected 'logits' in it, or a tensor"
    ):
        OutputLayout().scores({"a": SCORES, "b": 1}, 4, 2, one_step)
    with pytest.raises(spikesam.InputError, match="^output: got Answer, expected a tensor, or a tuple"):
        OutputLayout().scores(Answer(None, Answer(None, SCORES)), 4, 2, one_step)  # type: ignore[arg-type]


STEPS = torch.stack([SCORES, SCORES * 2, torch.zeros(2, 4)])  # (T, B, K)


@pytest.mark.parametrize(
    ("output", "layout"),
    [(STEPS, "TB..."), (STEPS.transpose(0, 1), "BT..."), (STEPS.movedim(0, -1), "B...T"), (STEPS.sum(0), "B...")],
)
@pytest.mark.parametrize("said", [False, True])
def test_steps_are_summed_in_any_layout(output: Tensor, layout: str, said: bool) -> None:
    layer = time_last if layout == "B...T" else one_step
    scores = OutputLayout().scores(output, 3, 2, layer, layout if said else None)
    assert scores.tolist() == (SCORES * 3).tolist()


@pytest.mark.parametrize("layer", [one_step, batch_first])
def test_as_many_steps_as_samples_are_asked_about(layer: Any) -> None:
    steps = torch.arange(12.0).reshape(2, 2, 3)
    message = r"^output: got shape \(2, 2, 3\) of 2 steps and 2 samples, which may be \(T, B, K\), .* layout='TB...', "
    with pytest.raises(spikesam.InputError, match=message):
        OutputLayout().scores(steps, 2, 2, layer)
    assert OutputLayout().scores(steps, 2, 2, layer, "TB...").tolist() == [[6, 8, 10], [12, 14, 16]]
    assert OutputLayout().scores(steps, 2, 2, layer, "BT...").tolist() == [[3, 5, 7], [15, 17, 19]]
    assert OutputLayout().scores(torch.ones(2, 2, 3), 2, 2, layer).tolist() == [[2, 2, 2]] * 2  # no matter which
    earlier = OutputLayout()
    earlier.scores(torch.zeros(5, 2, 3), 2, 5, layer)  # 2 steps of 5 samples: (B, T, K)
    assert earlier.scores(steps, 2, 2, layer).tolist() == [[3, 5, 7], [15, 17, 19]]


@given(st.integers(1, 4), st.integers(1, 4), st.sampled_from(["TB...", "BT..."]), st.integers(0, 99))
def test_a_layout_that_is_said_is_obeyed(steps: int, samples: int, layout: str, seed: int) -> None:
    spikes = torch.rand(steps, samples, 2, generator=torch.Generator().manual_seed(seed)).round()
    given_as = spikes if layout == "TB..." else spikes.transpose(0, 1)
    assert np.array_equal(OutputLayout().scores(given_as, steps, samples, one_step, layout), spikes.sum(0))


def test_finish_takes_the_layout(tmp_path: Path) -> None:
    steps = torch.arange(12.0).reshape(2, 2, 3).flip(2)
    for layout, expected in (("TB...", [[10, 8, 6], [16, 14, 12]]), ("BT...", [[7, 5, 3], [19, 17, 15]])):
        with spikesam.record(nn.Identity().eval(), tmp_path, layers=[], overwrite=True) as recording:
            recording.tap("fc", torch.ones(2, 2, 3), layout="TB...")
            recording.finish(steps, layout=layout)
        assert recording.raster.readout.tolist() == expected


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("TBK", "layout: got 'TBK', expected one of B"),
        ("BT...", r"output: got shape \(3, 2, 4\), expected 3 steps and 2 samples, laid out as layout='BT...' says"),
        ("B...", "output: got shape .*, expected 3 steps and 2 samples, laid out as layout='B...' says"),
    ],
)
def test_a_layout_that_does_not_fit_is_refused(layout: str, message: str) -> None:
    with pytest.raises(spikesam.InputError, match=f"^{message}"):
        OutputLayout().scores(STEPS, 3, 2, one_step, layout)
