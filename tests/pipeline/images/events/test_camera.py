"""The simulated event camera: its law, on films worked by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikesam.common.errors import InputError
from spikesam.pipeline.images.events.camera import EventCamera

RANDOM = np.random.default_rng(0)  # for noise, of which most of these cameras have none


def film(*rows: list[float]) -> np.ndarray:
    """Frames of one row of pixels."""
    return np.array(rows)[:, None, :]


def moving_edge(steps: int, bright: float, dark: float) -> np.ndarray:
    """A bar of four bright pixels that moves right by a pixel a frame: (F, 2, steps + 6)."""
    frames = np.full((steps, 2, steps + 6), dark)
    for step, frame in enumerate(frames):
        frame[:, step + 1 : step + 5] = bright
    return frames


def test_every_crossing_has_an_event_at_its_own_time() -> None:
    # From 1 to e, a change of 1 in 100 µs: it passes 0.5 after 50 µs and 1 at the end.
    events = EventCamera(threshold=0.5).record(
        film([1, np.e], [np.e, 1]), np.array([0, 100]), RANDOM
    )
    assert events.t.tolist() == [50, 50, 100, 100]
    assert events.x.tolist() == [0, 1, 0, 1]
    assert events.polarity.tolist() == [True, False, True, False]
    assert events.sensor == (1, 2)


def test_what_is_left_of_a_change_counts_in_the_next() -> None:
    # 0.6 of 1 is left below a threshold of 1: the second change of 0.6 passes it after two thirds
    # of the frame.
    frames = film(*[[np.exp(0.6 * step)] for step in range(3)])
    assert EventCamera(threshold=1.0).record(frames, np.array([0, 30, 60]), RANDOM).t.tolist() == [
        50
    ]
    # There and back: the level stays where the last event left it.
    back = film([1.0], [np.exp(1.5)], [1.0])
    events = EventCamera(threshold=1.0).record(back, np.array([0, 30, 60]), RANDOM)
    assert events.t.tolist() == [20, 60]
    assert events.polarity.tolist() == [True, False]


def test_a_static_scene_makes_no_events() -> None:
    still = np.repeat(np.random.default_rng(0).uniform(0.1, 1, (1, 5, 6)), 8, axis=0)
    with pytest.raises(InputError, match="events: got none"):
        EventCamera(threshold=0.01).record(still, np.arange(8) * 1000, RANDOM)


def test_a_moving_bar_is_on_in_front_and_off_behind() -> None:
    frames = moving_edge(6, bright=1.0, dark=0.3)
    events = EventCamera(threshold=0.3).record(frames, np.arange(6) * 100, RANDOM)
    middle = events.t // 100 + 3  # of the bar, in the frame before
    assert set(events.polarity[events.x > middle]) == {True}
    assert set(events.polarity[events.x < middle]) == {False}
    assert events.polarity.sum() == (~events.polarity).sum()


@given(st.floats(0.1, 3.0), st.floats(0.05, 1.0))
def test_events_per_passing_edge_are_the_log_contrast_over_the_threshold(
    contrast: float, threshold: float
) -> None:
    frames = moving_edge(4, bright=0.2 * np.exp(contrast), dark=0.2)
    expected = int(contrast / threshold)
    if abs(contrast / threshold - round(contrast / threshold)) < 1e-4 or not expected:
        return
    events = EventCamera(threshold).record(frames, np.arange(4) * 100, RANDOM)
    assert len(events) == 2 * 2 * 3 * expected  # two rows, two edges, three moves


def test_brighter_light_changes_nothing() -> None:
    frames = moving_edge(5, bright=1.0, dark=0.2)
    one, other = (
        EventCamera(0.3).record(light * frames, np.arange(5) * 100, RANDOM) for light in (1.0, 64.0)
    )
    for field in ("t", "x", "y", "polarity"):
        assert np.array_equal(getattr(one, field), getattr(other, field))


def test_noise_is_as_frequent_as_asked_for_and_random() -> None:
    still, times = np.ones((2, 50, 40)), np.array([1000, 501_000])
    events = EventCamera(0.3, noise=10).record(still, times, np.random.default_rng(0))
    assert abs(len(events) - 10 * 0.5 * 50 * 40) <= 1
    assert events.t.min() >= 1000
    assert events.t.max() < 501_000
    assert 0.48 < events.polarity.mean() < 0.52
    again = EventCamera(0.3, noise=10).record(still, times, np.random.default_rng(0))
    assert np.array_equal(events.t, again.t)
