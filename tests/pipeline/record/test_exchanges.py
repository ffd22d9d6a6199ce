"""Steps and samples that are exchanged between layers: counted rightly, or refused by name."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import spikesam
from tests.pipeline.record.counting import Counts, counted
from tests.pipeline.record.moves import WAYS, Move, Moves

LAYOUTS = {"TB...": "T B N C", "BT...": "B T N C"}
ONE_STEP = "B N C"
REFUSED = "operations: module 'fc'"


def numbered(steps: int, samples: int, tokens: int) -> Tensor:
    """(T, B, N, 32): so many ones as no other row has."""
    rows = torch.arange(1, steps * samples * tokens + 1).reshape(steps, samples, tokens, 1)
    return (torch.arange(32) < rows).float()


def by_hand(inputs: Tensor) -> Counts:
    """Each one meets one weight; no number is something else."""
    additions = inputs.sum((2, 3)).T.long().tolist()
    return {"fc": [[by_step, [0] * len(by_step)] for by_step in additions]}


def recorded(model: Moves, inputs: Tensor, layout: str, folder: Path) -> Counts:
    """Of inputs (T, B, N, C), which the model gets as a layout says."""
    x = inputs if layout == "TB..." else inputs.transpose(0, 1).contiguous()
    axes = dict.fromkeys(model.layers, LAYOUTS[layout] if model.loop == "nothing" else ONE_STEP)
    options: dict[str, Any] = {"axes": axes, "grid": (1, inputs.shape[2]), "operations": True}
    with spikesam.record(model.eval(), folder, model.layers, **options) as recording:
        model(x)
        recording.finish(answers=None)
    return counted(folder)


@st.composite
def models(draw: st.DrawFn) -> tuple[Moves, str]:
    """A model, and the layout of what it takes."""
    loop = draw(st.sampled_from(["nothing", "neurons", "all"]))
    layout = draw(st.sampled_from(sorted(LAYOUTS)))
    last = 1 if loop == "all" else 2  # axes of samples and tokens, or of steps, too
    axes, ways = st.integers(0, last), st.sampled_from(sorted(WAYS))
    moves = draw(st.lists(st.builds(Move, axes, axes, ways, ways), max_size=4))
    steps = LAYOUTS[layout].split().index("T")
    merged, first, aside = draw(st.integers(1, last + 1)), draw(st.booleans()), draw(st.booleans())
    return Moves(moves, merged, first=first, aside=aside, loop=loop, steps=steps), layout


@given(models(), st.tuples(*[st.integers(1, 3)] * 3))
def test_counts_are_right_or_refused(drawn: tuple[Moves, str], sizes: Any) -> None:
    """Whatever axes a model moves on the way, no count is put to another step or sample."""
    model, layout = drawn
    inputs = numbered(*sizes)
    with TemporaryDirectory() as folder, torch.no_grad():
        counts = refused = None
        try:
            counts = recorded(model, inputs, layout, Path(folder))
        except spikesam.InputError as error:
            refused = str(error)
    assert counts == by_hand(inputs) if refused is None else refused.startswith(REFUSED)


@pytest.mark.parametrize("way", sorted(WAYS))
@pytest.mark.parametrize("sizes", [(2, 2, 1), (3, 2, 1)])
def test_steps_exchanged_for_samples_are_refused(way: str, sizes: Any, tmp_path: Path) -> None:
    """Neurons that fire aside, on what nobody moved, say nothing of the axes."""
    model = Moves([Move(0, 1, way, way)], 2, aside=True)
    with pytest.raises(spikesam.InputError, match="module 'fc'.*exchanged"):
        recorded(model, numbered(*sizes), "TB...", tmp_path)


@pytest.mark.parametrize("way", sorted(WAYS))
def test_exchanges_that_are_undone_in_front_of_neurons(way: str, tmp_path: Path) -> None:
    """Behind the exchange, steps and samples lie as the next neurons have them."""

    class InFront(Moves):
        def forward(self, x: Tensor) -> Any:
            return self.fires(self.fc(self.moves[0].do(x)))

    inputs = numbered(3, 2, 4)
    model = InFront([Move(0, 1, way, way)], 1, first=False)
    model.layers = ["fires"]
    options: dict[str, Any] = {"axes": {"fires": "T B N C"}, "grid": (2, 2), "operations": True}
    with spikesam.record(model.eval(), tmp_path, ["fires"], **options) as recording:
        model(inputs.transpose(0, 1))
        recording.finish(answers=None)
    assert counted(tmp_path) == by_hand(inputs)
