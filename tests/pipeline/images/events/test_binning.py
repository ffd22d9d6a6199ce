"""Events, what they refuse, and events in bins: worked by hand,
and what holds of all recordings.
"""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from spikesam.common.errors import InputError
from spikesam.pipeline.images.events.binning import DARK, OFF, ON, EventBinning, picture_of
from spikesam.pipeline.images.events.events import Events

# Six events of a sensor of 2×3: the first two share pixel and polarity, the third is their pixel's
# other polarity.
EVENTS = Events(
    t=[0, 9, 9, 10, 25, 39],
    x=[0, 0, 0, 2, 2, 1],
    y=[0, 0, 0, 1, 1, 1],
    polarity=[1, 1, 0, 1, 0, 0],
    sensor=(2, 3),
)


def places(bits: np.ndarray) -> list[tuple[int, ...]]:
    return [tuple(place) for place in np.argwhere(bits).tolist()]


@pytest.mark.parametrize(
    ("binning", "bits", "left_out"),  # bits: (bin, polarity, row, column)
    [
        # The last event is in the fourth window, of which there is none.
        ({"bins": 3, "window_us": 10}, [(0, 0, 0, 0), (0, 1, 0, 0), (1, 1, 1, 2), (2, 0, 1, 2)], 1),
        # 0 … 39 is 40 µs: 0 … 19 and 20 … 39
        ({"bins": 2}, [(0, 0, 0, 0), (0, 1, 0, 0), (0, 1, 1, 2), (1, 0, 1, 1), (1, 0, 1, 2)], 0),
        # Two events in each bin.
        (
            {"bins": 3, "by": "count"},
            [(0, 1, 0, 0), (1, 0, 0, 0), (1, 1, 1, 2), (2, 0, 1, 1), (2, 0, 1, 2)],
            0,
        ),
    ],
)
def test_by_windows_equal_parts_and_count(
    binning: dict[str, Any], bits: list[tuple[int, ...]], left_out: int
) -> None:
    binned = EventBinning(2, 3, **binning).binned(EVENTS)
    assert places(binned.bits) == bits
    assert (binned.merged, binned.left_out, binned.count) == (1, left_out, 6)


def test_a_large_sensor_is_cut_to_its_middle_and_made_smaller_by_or() -> None:
    # 5×9 pixels for 2×2: the middle 4×4 in blocks of 2×2, from row 0 and column 2.
    events = Events(
        t=[0, 0, 0, 0, 0],
        x=[2, 3, 5, 1, 6],
        y=[0, 1, 3, 0, 0],
        polarity=[1, 1, 1, 1, 1],
        sensor=(5, 9),
    )
    binning = EventBinning(2, 2, bins=1)
    binned = binning.binned(events)
    assert places(binned.bits) == [(0, 1, 0, 0), (0, 1, 1, 1)]
    assert (binned.merged, binned.left_out) == (1, 2)
    mask = np.zeros((5, 9), np.bool_)
    mask[0:2, 2] = True  # half of the first block
    mask[2, 5] = True  # a quarter of the last
    assert places(binning.mask(mask)) == [(0, 0)]
    assert binning.box((2, 0, 4, 2), (9, 5)) == (0, 0, 1, 1)
    assert binning.box((0, 0, 9, 5), (9, 5)) == (0, 0, 2, 2)
    assert binning.box((6, 0, 8, 2), (9, 5)) is None


def test_only_what_is_seen_is_counted() -> None:
    # Columns 1 … 3 of 5 are seen: four of six events, so two in each bin.
    events = Events(
        t=[0, 1, 2, 3, 4, 5], x=[0, 0, 1, 2, 3, 1], y=[0] * 6, polarity=[0] * 6, sensor=(1, 5)
    )
    binned = EventBinning(1, 3, bins=2, by="count").binned(events)
    assert places(binned.bits) == [(0, 0, 0, 0), (0, 0, 0, 1), (1, 0, 0, 0), (1, 0, 0, 2)]
    assert (binned.merged, binned.left_out) == (0, 2)


def test_a_small_sensor_is_laid_in_the_middle() -> None:
    events = Events(t=[3], x=[0], y=[1], polarity=[0], sensor=(2, 2))
    binning = EventBinning(4, 6, bins=1)
    assert places(binning.binned(events).bits) == [(0, 0, 2, 2)]
    assert places(binning.mask(np.eye(2, dtype=np.bool_))) == [(1, 2), (2, 3)]
    assert binning.box((0, 0, 2, 2), (2, 2)) == (2, 1, 4, 3)


@given(
    st.lists(st.tuples(*(st.integers(0, top) for top in (300, 12, 8, 1))), min_size=1, max_size=60),
    st.integers(1, 7),
    st.sampled_from(["time", "count"]),
)
def test_no_event_is_lost_or_counted_twice(rows: list[tuple[int, ...]], bins: int, by: str) -> None:
    t, x, y, polarity = np.array(sorted(rows)).T
    binned = EventBinning(9, 13, bins, by=by).binned(Events(t, x, y, polarity, (9, 13)))
    assert binned.left_out == 0
    assert binned.bits.sum() + binned.merged == len(rows) == binned.count
    seen = {(p, row, column) for _, column, row, p in rows}
    assert {tuple(place[1:]) for place in places(binned.bits)} == seen


def test_the_picture_sums_time() -> None:
    bits = np.zeros((3, 2, 1, 3), np.bool_)
    bits[:2, 1, 0, 0] = True  # two ON events
    bits[0, 0, 0, 1] = True  # an OFF event
    dark = np.full(3, DARK)
    half = np.rint(DARK + (OFF - DARK) * np.sqrt(1 / 2))
    assert picture_of(bits).tolist() == [[ON.tolist(), half.tolist(), dark.tolist()]]
    assert picture_of(np.zeros((3, 2, 1, 2), np.bool_)).tolist() == [2 * [dark.tolist()]]


def test_the_picture_of_a_single_column_is_a_spectrogram() -> None:
    bits = np.zeros((3, 2, 2, 1), np.bool_)
    bits[1, 1, 0] = True  # an ON event of the upper channel at step 1
    picture = picture_of(bits)
    assert picture.shape == (2, 3, 3)
    assert picture[0].tolist() == [3 * [DARK], ON.tolist(), 3 * [DARK]]
    assert (picture[1] == DARK).all()
    prepare = EventBinning(64, 1, bins=50)
    assert (prepare.picture_size, prepare.box((0.0, 8.0, 1.0, 16.0), (1, 64))) == (
        (64, 50),
        (0.0, 8.0, 50.0, 16.0),
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bins": 0}, "event binning: bins is 0, expected a whole number, at least 1"),
        ({"height": 2.0}, "EventBinning: height is 2.0, expected a whole number"),
        ({"window_us": 0}, "event binning: window_us is 0"),
        ({"by": "polarity"}, "by is 'polarity', expected one of time, count"),
        ({"by": "count", "window_us": 10}, "got window_us beside by='count'"),
    ],
)
def test_what_cannot_be(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        EventBinning(**({"height": 2, "width": 3, "bins": 4} | arguments))


def test_nothing_left_and_no_events() -> None:
    late = Events(t=[1000], x=[0], y=[0], polarity=[0], sensor=(2, 3))
    with pytest.raises(
        InputError, match="none of 1 is in the first 4 bins and in the part of the sensor .* in µs"
    ):
        EventBinning(2, 3, 4, window_us=10).binned(late)
    with pytest.raises(
        InputError,
        match="events: come from 700×1 channels, expected 64×1, as the network hears them",
    ):
        EventBinning(64, 1, 50).binned(Events(t=[0], x=[0], y=[350], polarity=[1], sensor=(700, 1)))
    with pytest.raises(InputError, match="got an image, but the network takes events"):
        EventBinning(2, 3, 4).binned(Image.new("RGB", (3, 2)))


GOOD = {"t": [0, 5, 5], "x": [1, 0, 3], "y": [2, 0, 1], "polarity": [1, 0, 1], "sensor": (3, 4)}


def test_lists_become_arrays() -> None:
    events = Events(**GOOD)
    assert len(events) == 3
    assert events.t.dtype == np.int64
    assert events.polarity.tolist() == [True, False, True]
    assert events.size == (4, 3)


def test_a_recording_of_tonic() -> None:
    fields = [
        ("x", np.int16),
        ("y", np.int16),
        ("t", np.int64),
        ("p", bool),
    ]  # as tonic's N-MNIST has them
    given = np.array([(1, 2, 0, True), (0, 0, 5, False), (3, 1, 5, True)], fields)
    found, expected = Events.from_tonic(given, (4, 3, 2)), Events(**GOOD)
    for name in ("t", "x", "y", "polarity"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert found.sensor == (3, 4)
    with pytest.raises(
        InputError, match="from_tonic: got no field 'p', expected a structured array"
    ):
        Events.from_tonic(given[["x", "y", "t"]], (4, 3, 2))
    with pytest.raises(InputError, match="from_tonic: got no field 't'"):
        Events.from_tonic([(1, 2, 0, True)], (4, 3, 2))
    for odd in (
        (4, 3),
        None,
        (None, 3, 2),
        "abc",
        (0, 3, 2),
    ):  # None: recordings of the set differ in size
        with pytest.raises(
            InputError,
            match=r"from_tonic: sensor_size is .*, expected \(width, height, polarities\)",
        ):
            Events.from_tonic(given, odd)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"t": [5, 0, 0]}, "time goes back from 5 to 0 µs at event 1; sort them by t"),
        ({"t": [-1, 0, 0]}, "the first is at -1 µs, expected 0 or more"),
        (
            {"t": [0.0, 0.1, 0.2]},
            r"got t of type float64, expected integers \(t in µs, x and y in pixels\)",
        ),
        (
            {"x": [1, 0, 4]},
            r"event 2 is at x = 4, y = 1, outside the sensor of 3×4 \(height × width\) pixels",
        ),
        ({"y": [2, -1, 1]}, "event 1 is at x = 0, y = -1, outside"),
        ({"x": [1, 0]}, "got shapes .*expected one number of each for every event"),
        ({"polarity": [1, -1, 1]}, "polarity holds other values than 0 and 1"),
        ({"sensor": (0, 4)}, r"got a sensor of \(0, 4\)"),
        (
            {"t": [], "x": [], "y": [], "polarity": []},
            "events: got none, expected at least one event",
        ),
    ],
)
def test_events_that_cannot_be(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Events(**(GOOD | wrong))
