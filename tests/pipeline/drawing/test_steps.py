"""Which steps are shown, by hand."""

from __future__ import annotations

import numpy as np

from spikesam.pipeline.drawing.steps import active_steps, best_step, common_steps, stretches, thinned


def test_thinned() -> None:
    assert thinned(5) == [0, 1, 2, 3, 4]
    assert thinned(30, first=5) == [5, 8, 12, 15, 19, 22, 26, 29]
    assert thinned(30, 3) == [0, 14, 29]
    assert thinned(4, first=9) == [3]


def test_active_steps_span_what_happens() -> None:
    maps = {"a": np.zeros((30, 2, 2), np.float32), "b": np.zeros((30, 1, 1), np.float32)}
    assert active_steps(maps) == [29]
    maps["a"][5, 0, 0] = maps["b"][7] = 1
    assert active_steps(maps) == [5, 6, 7]
    maps["b"][26] = 1
    assert active_steps(maps) == [5, 8, 11, 14, 17, 20, 23, 26]


def test_common_steps_are_those_of_every_layer() -> None:
    maps = {"a": np.ones((9, 2, 2), np.float32), "b": np.ones((12, 1, 1), np.float32)}
    maps["b"][:3] = 0
    assert common_steps(maps) == [3, 4, 5, 6, 7, 8]
    assert common_steps({"a": np.zeros((2, 1, 1), np.float32)}) == [0, 1]
    maps["b"][:10] = 0  # it begins when the other has ended
    assert common_steps(maps) == [8]


def test_stretches_fill_a_long_time() -> None:
    maps = {"a": np.ones((63, 1, 1), np.float32)}
    assert stretches(maps) == [range(step, step + 1) for step in active_steps(maps)]
    maps = {"a": np.zeros((500, 1, 1), np.float32), "b": np.zeros((498, 1, 1), np.float32)}
    maps["a"][20:] = 1
    assert stretches(maps) == [range(start, start + 60) for start in range(20, 500, 60)]


def test_best_step_varies_most() -> None:
    maps = np.zeros((3, 2, 2), np.float32)
    maps[0] = 9
    maps[1, 0, 0] = 2
    assert best_step(maps) == 1
    assert best_step(np.array([1, 3, 2], np.float32).reshape(3, 1, 1)) == 1
