"""Events: what they hold, and what they refuse."""

import numpy as np
import pytest

from spikesam.pipeline.images.events.events import Events
from spikesam.recordings.errors import InputError

GOOD = {"t": [0, 5, 5], "x": [1, 0, 3], "y": [2, 0, 1], "polarity": [1, 0, 1], "sensor": (3, 4)}


def test_lists_become_arrays() -> None:
    events = Events(**GOOD)
    assert len(events) == 3
    assert events.t.dtype == np.int64
    assert events.polarity.tolist() == [True, False, True]
    assert events.size == (4, 3)


def test_a_recording_of_tonic() -> None:
    fields = [("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", bool)]  # as tonic's N-MNIST has them
    given = np.array([(1, 2, 0, True), (0, 0, 5, False), (3, 1, 5, True)], fields)
    found, expected = Events.from_tonic(given, (4, 3, 2)), Events(**GOOD)
    for name in ("t", "x", "y", "polarity"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert found.sensor == (3, 4)
    with pytest.raises(InputError, match="from_tonic: got no field 'p', expected a structured array"):
        Events.from_tonic(given[["x", "y", "t"]], (4, 3, 2))
    with pytest.raises(InputError, match="from_tonic: got no field 't'"):
        Events.from_tonic([(1, 2, 0, True)], (4, 3, 2))
    for odd in ((4, 3), None, (None, 3, 2), "abc", (0, 3, 2)):  # None: recordings of the set differ in size
        with pytest.raises(InputError, match=r"from_tonic: sensor_size is .*, expected \(width, height, polarities\)"):
            Events.from_tonic(given, odd)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"t": [5, 0, 0]}, "time goes back from 5 to 0 µs at event 1; sort them by t"),
        ({"t": [-1, 0, 0]}, "the first is at -1 µs, expected 0 or more"),
        ({"t": [0.0, 0.1, 0.2]}, r"got t of type float64, expected integers \(t in µs, x and y in pixels\)"),
        ({"x": [1, 0, 4]}, r"event 2 is at x = 4, y = 1, outside the sensor of 3×4 \(height × width\) pixels"),
        ({"y": [2, -1, 1]}, "event 1 is at x = 0, y = -1, outside"),
        ({"x": [1, 0]}, "got shapes .*expected one number of each for every event"),
        ({"polarity": [1, -1, 1]}, "polarity holds other values than 0 and 1"),
        ({"sensor": (0, 4)}, r"got a sensor of \(0, 4\)"),
        ({"t": [], "x": [], "y": [], "polarity": []}, "events: got none, expected at least one event"),
    ],
)
def test_what_cannot_be(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Events(**(GOOD | wrong))
