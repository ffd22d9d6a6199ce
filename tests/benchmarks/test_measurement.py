"""Timing, rows, and what they look like: numbers by hand."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from benchmarks.common.measurement import Row, race
from benchmarks.common.report import as_json, as_tables, draw_sweeps, number, target


def test_ways_take_turns_and_the_first_turn_does_not_count():
    calls: list[str] = []
    now = 0.0

    def way(name: str, seconds: list[float]):
        durations = iter(seconds)

        def call() -> int:
            nonlocal now
            calls.append(name)
            now += next(durations)
            return len(calls)

        return call

    timed = race({"a": way("a", [100, 1, 2]), "b": way("b", [200, 3, 5])}, 2, clock=lambda: now)
    assert calls == ["a", "b", "a", "b", "a", "b"]
    assert (timed["a"].seconds.tolist(), timed["b"].seconds.tolist()) == ([1, 2], [3, 5])
    assert (timed["a"].result, timed["b"].result) == (5, 6)  # what the last turn returned

    calls.clear()
    less = {"less": way("less", [100])}
    timed = race({"a": way("a", [1, 2])}, 2, clock=lambda: now, first=less)
    assert (calls, timed["a"].seconds.tolist()) == (["less", "a", "a"], [1, 2])


def test_what_is_short_settles_before_each_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.common.measurement.SETTLING", 3.0)
    now, calls = 0.0, []

    def way(name: str, seconds: float):
        def call() -> None:
            nonlocal now
            calls.append(name)
            now += seconds

        return call

    timed = race({"short": way("short", 1.0), "long": way("long", 5.0)}, 2, clock=lambda: now)
    assert calls == ["short", "long", *2 * ["short", "short", "short", "short", "long"]]
    assert (timed["short"].seconds.tolist(), timed["long"].seconds.tolist()) == ([1.0, 1.0], [5.0, 5.0])


@pytest.mark.parametrize(
    ("limits", "reached", "text"),
    [
        ({}, None, ""),
        ({"at_least": 2.0}, True, "≥ 2 met"),
        ({"at_least": 2.5}, False, "≥ 2.5 missed"),
        ({"at_most": 2.0}, True, "≤ 2 met"),
        ({"at_most": 1.9}, False, "≤ 1.9 missed"),
    ],
)
def test_targets_are_for_the_median(limits, reached, text):
    row = Row("case", "way", "×", (1.0, 2.0, 50.0), **limits)
    assert (row.median, row.reached, target(row)) == (2.0, reached, text)


@pytest.mark.parametrize(("value", "text"), [(0.012345, "0.0123"), (7.0, "7"), (123.45, "123"), (7668.4, "7,668")])
def test_numbers_have_three_digits(value, text):
    assert number(value) == text


CURVE = [
    Row(f"T {x}", way, "ms", (cost * x, cost * x), sweep="T", x=x)
    for x in (10, 20)
    for way, cost in (("a", 1.0), ("b", 2.5))
]


def test_tables_show_figures_then_curves_with_ways_across():
    console = Console(width=80, file=io.StringIO())
    rows = [Row("10 %", "a", "images/s", (3.0, 1.0, 2.0), at_least=5, note="a bound"), *CURVE]
    for table in as_tables("title", rows):
        console.print(table)
    lines = [line.split() for line in console.file.getvalue().splitlines()]
    assert ["a", "2", "images/s", "1–3", "≥", "5", "missed"] in lines
    assert ["a", "bound"] in lines
    assert ["T", "a", "b"] in lines
    assert ["20", "20", "50"] in lines


def test_json_holds_every_value():
    row = as_json(Row("10 %", "a", "images/s", (3.0, 1.0, 2.0), at_least=5))
    assert row["values"] == (3.0, 1.0, 2.0)
    assert (row["median"], row["repeats"], row["spread"], row["reached"]) == (2.0, 3, [1.0, 3.0], False)


def test_only_what_was_varied_is_drawn(tmp_path):
    assert not draw_sweeps(tmp_path / "none.png", "title", "", [Row("10 %", "a", "s", (1.0,))])
    assert not list(tmp_path.iterdir())
    assert draw_sweeps(tmp_path / "some.png", "title", "", CURVE)
    assert (tmp_path / "some.png").read_bytes().startswith(b"\x89PNG")
