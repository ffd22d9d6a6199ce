"""Odd arguments of every public name are refused in one line, or taken: see `odd_arguments`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import spikesam
from spikesam.common.arguments import unreadable
from spikesam.common.constraints import constraint_of
from tests.spikesam.odd_arguments import Call, odd_calls, outcome, right_calls

FEW = 19  # one call of so many


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Call]]:
    folder = tmp_path_factory.mktemp("odd")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield [*right_calls(folder)]


@pytest.mark.parametrize(
    "first", [pytest.param(0, marks=pytest.mark.long), pytest.param(5, marks=pytest.mark.long)]
)
def test_odd_arguments_of_every_name(calls: list[Call], first: int) -> None:
    wrong = [
        f"{call.name}({names}): {text}"
        for call, names in itertools.islice(odd_calls(calls), first, None, FEW)
        if (text := outcome(call, names))
    ]
    assert wrong == []


@pytest.mark.long
def test_right_calls_are_right(calls: list[Call]) -> None:
    for call in calls:
        try:
            call()
        except spikesam.InputError as error:
            assert "missing" in str(error), call.name  # noqa: PT017 - the images of a training


@pytest.mark.long
def test_every_public_function_has_a_right_call(calls: list[Call]) -> None:
    names = {call.name.split(".")[0].split()[0].removesuffix("()") for call in calls}
    results = {"BackendError", "InputError", "NetworkError", "RasterError", "Check", "Finding"}
    results |= {"Comparison", "Conversion", "Diff", "Edit", "Energy", "Recording"}
    results |= {"Chip", "Fit"}
    assert {*spikesam.__all__} - results <= names


@pytest.mark.parametrize(
    ("hint", "value", "allowed"),
    [
        (int, 3, True),
        (int, np.int64(3), True),
        (int, True, False),
        (int, 3.0, False),
        (int, 1 << 64, False),
        (float, 3, True),
        (float, float("nan"), False),
        (float, np.float32(0.5), True),
        (str | None, None, True),
        (str | None, 1.0, False),
        (tuple[int, int], (1, 2), True),
        (tuple[int, int], (1, 2, 3), False),
        (tuple[str, ...], ["a"], True),
        (tuple[str, ...], "a", False),
        (tuple[str, ...], np.array(3), False),
    ],
)
def test_constraints_of_annotations(hint: object, value: object, allowed: bool) -> None:
    assert constraint_of(hint).allows(value) == allowed


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a\0b", "null character"),
        ([["a\0b"]], "null character"),
        (np.ma.masked_array([1], [True]), "mask"),
        ([np.ma.masked_array([1], [True])], "mask"),
        (torch.empty(1, device="meta"), "without numbers"),
        (torch.eye(2).to_sparse(), "sparse"),
        (range(10**12), "members"),
        (torch.ones(2), None),
        ([1, "a", None], None),
    ],
)
def test_what_no_function_can_read(value: object, words: str | None) -> None:
    text = unreadable(value)
    assert text is None if words is None else words in str(text)


@pytest.mark.parametrize("kind", [spikesam.Conv, spikesam.Identity])
@pytest.mark.parametrize("rows", [torch.eye(2).to_sparse(), np.broadcast_to(0, (10**9, 10**3))])
def test_rows_that_are_no_list_are_refused(kind: type[Any], rows: object) -> None:
    weight = {"weight": np.ones((1, 1, 2, 2))} if kind is spikesam.Conv else {}
    layer_input = spikesam.Input(kind(**weight, rows=rows), "input")
    with pytest.raises(spikesam.InputError, match="rows (is|has)"):
        spikesam.Network(
            (1, 4, 4), 2, (spikesam.Layer("a", layer_input, spikesam.LIF(0.5)),),
            spikesam.Readout(np.ones((1, 9))), "spikes",
        )  # fmt: skip


def test_a_range_of_a_million_million_weights_ends_at_once() -> None:
    with pytest.raises(spikesam.InputError, match="weight has 1,000,000,000,000 members"):
        spikesam.Layer("a", range(10**12), spikesam.LIF(0.5))


def test_a_range_of_a_million_million_samples_ends_at_once() -> None:
    net = spikesam.Network(
        (1, 1, 1), 2, (spikesam.Layer("a", np.eye(1), spikesam.LIF(0.5)),),
        spikesam.Readout(np.eye(1)), "spikes",
    )  # fmt: skip
    with pytest.raises(spikesam.InputError, match="samples"):
        spikesam.simulate(net, np.zeros((2, 1, 1, 1, 1)), samples=range(10**12))  # type: ignore[arg-type]
