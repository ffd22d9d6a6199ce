"""Spikes by times in seconds, also as quantities and trains of Neo: the step of each, and refusals
in one line.
"""

import json
import warnings
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikesam.common.errors import InputError
from spikesam.recordings.raster.arrays import write_raster
from spikesam.recordings.raster.events import SpikeEvents
from spikesam.recordings.raster.reader import RasterReader

DT, T = 1e-4, 300
STEPS = np.arange(T)


class Quantity(np.ndarray):
    """Times as `neo.SpikeTrain` holds them: magnitudes in a unit,
    of which `rescale` makes another.
    """

    unit = "s"

    @classmethod
    def of(cls, seconds: Any, unit: str) -> "Quantity":
        found = (np.asarray(seconds, np.float64) * {"s": 1, "ms": 1e3}[unit]).view(cls)
        found.unit = unit
        return found

    @property
    def magnitude(self) -> np.ndarray:
        return self.view(np.ndarray)

    def rescale(self, unit: str) -> "Quantity":
        return Quantity.of(self.magnitude / {"s": 1, "ms": 1e3}[self.unit], unit)


def steps(time: Any, **options: Any) -> list[int]:
    size = np.shape(time)
    given = {"neuron": np.arange(*size), "shape": (1, T, 400), "dt": DT}
    return np.asarray(SpikeEvents.from_times(time, **given | options).step).tolist()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_times_at_which_steps_begin_are_those_steps(dtype: type) -> None:
    """Floor alone would move 16 of these 300 a step back."""
    time = (STEPS * DT).astype(dtype)
    assert (np.floor(STEPS * DT / DT) != STEPS).sum() == 16
    for rounding in ("down", "nearest"):
        assert steps(time, rounding=rounding) == STEPS.tolist()
    assert steps((STEPS + 1) * DT, rounding="up") == STEPS.tolist()
    assert steps(STEPS * DT + 0.5, start=0.5) == STEPS.tolist()


@given(st.lists(st.integers(1, 598), max_size=20), st.sampled_from(["down", "nearest", "up"]))
def test_rounding_is_what_it_is_called(halves: list[int], rounding: Any) -> None:
    """Of times in halves of a step: 2k is where step k begins, 2k + 1 is its middle."""
    expected = {
        "down": lambda at: at // 2,
        "nearest": lambda at: (at + 1) // 2,
        "up": lambda at: (at + 1) // 2 - 1,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = steps(np.array(halves) * DT / 2, rounding=rounding)
    assert found == [expected[rounding](at) for at in halves]


def test_two_spikes_of_a_neuron_in_a_step_are_counted_and_said(tmp_path: Path) -> None:
    time, neuron, sample = (
        [0.0101, 0.0105, 0.0109, 0.0101, 0.0101],
        [1, 1, 1, 2, 1],
        [1, 1, 1, 1, 0],
    )
    with pytest.warns(
        UserWarning, match="2 of 5 spikes are in a step in which their neuron fired already"
    ):
        events = SpikeEvents.from_times(time, neuron, sample=sample, shape=(2, 20, 3), dt=1e-3)
    assert (events.merged, events.dt) == (2, 1e-3)
    with RasterReader(write_raster(tmp_path / "a.h5", {"fc1": events})) as raster:
        assert np.argwhere(raster["fc1"][:][..., 0, 0]).tolist() == [
            [10, 0, 1],
            [10, 1, 1],
            [10, 1, 2],
        ]
        assert raster.header.dt == 1e-3
        assert json.loads(raster.header.config) == {"merged": {"fc1": 2}}


@pytest.mark.parametrize("as_dictionary", [False, True])
def test_trains_of_neurons_are_their_spikes(as_dictionary: bool) -> None:
    """As segments of Neo and PyNN (in ms), and `spike_trains()` of Brian2."""
    rng = np.random.default_rng(0)
    bits = rng.random((3, T, 5)) < 0.1
    trains: list[Any] = [
        [Quantity.of(np.flatnonzero(bits[n, :, k]) * DT, "ms") for k in range(5)] for n in range(3)
    ]
    if as_dictionary:
        trains = [
            {k: each[k].rescale("s").magnitude for k in reversed(range(5))} for each in trains
        ]
    events = SpikeEvents.from_trains(trains, shape=(3, T, 5), dt=DT)
    assert events.merged == 0
    packed = events.packed(slice(0, 3), str, fired=False)
    assert np.array_equal(packed, np.packbits(bits, axis=-1))
    assert (
        not SpikeEvents.from_trains([[], {}], shape=(2, T, 1), dt=DT)
        .packed(slice(0, 2), str, fired=False)
        .any()
    )


def test_a_raster_has_the_seconds_of_its_spikes(tmp_path: Path) -> None:
    one, other = (SpikeEvents.from_times([0.0], [0], shape=(1, 3, 2), dt=dt) for dt in (0.1, 0.2))
    with pytest.raises(InputError, match=r"layer 'b': has steps of 0\.2 s, expected 0\.1 s"):
        write_raster(tmp_path / "a.h5", {"a": one, "b": other})
    for dt, spikes in product(("1", True), (np.zeros((1, 2, 3)), one)):
        with pytest.raises(InputError, match=f"write_raster: dt is {dt!r}, expected seconds"):
            write_raster(tmp_path / "a.h5", {"a": spikes}, dt=dt)  # type: ignore[arg-type]
    with RasterReader(
        write_raster(tmp_path / "b.h5", {"a": np.zeros((1, 2, 3))}, dt=np.float32(0.5))
    ) as raster:  # type: ignore[arg-type]
        assert raster.header.dt == 0.5
    with RasterReader(
        write_raster(tmp_path / "a.h5", {"a": one, "b": np.zeros((1, 3, 2))}, dt=0.1)
    ) as raster:
        assert raster.header.dt == 0.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"time": [-1e-4]},
            r"time: got -0\.0001 s for spike 0, expected one in steps 0 to 299 of 0\.0001 s, "
            r"rounded",
        ),
        (
            {"time": [0.03]},
            r"time: got 0\.03 s for spike 0, expected .* rounded down: from 0 s to 0\.03 s",
        ),
        (
            {"time": [0.0], "rounding": "up"},
            "time: got 0 s for spike 0, expected one in steps 0 to 299",
        ),
        ({"time": [0.02999], "rounding": "nearest"}, r"time: got 0\.02999 s for spike 0"),
        ({"time": [0.4], "start": 0.5}, r"from 0\.5 s to 0\.53 s"),
        ({"time": [np.nan]}, "time: got nan for spike 0, expected seconds"),
        ({"time": ["1"]}, r"time: got shape \(1,\) of <U1, expected \(E,\) seconds"),
        (
            {"time": [0, 0]},
            "got 2 of sample, 2 of step, 1 of neuron, expected one of each for every spike",
        ),
        ({"dt": 0}, "dt: got 0, expected seconds in a step, above 0"),
        ({"dt": True}, "dt is True, expected seconds in a step, above 0"),
        ({"start": "now"}, "start is 'now', expected seconds"),
        ({"rounding": "even"}, "rounding is 'even', expected one of down, nearest, up"),
        (
            {"time": np.float32([100]), "start": 100},
            r"time: got numbers that hold times to 7\.6e-06 s alone",
        ),
        ({"shape": (3,)}, r"shape: got \(3,\), expected \(N, T, C, H, W\)"),
    ],
)
def test_times_that_do_not_fit_are_one_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^SpikeEvents.*: .*{message}"):
        SpikeEvents.from_times(
            **{"time": [0.01], "neuron": [0], "shape": (1, T, 1), "dt": DT} | change
        )


@pytest.mark.parametrize(
    ("trains", "message"),
    [
        (
            {0: [0.1]},
            "trains is of type dict, expected for each sample the trains of its neurons",
        ),
        ([[], []], "got 2 samples, expected for each sample"),
        ([0.1], "got float for sample 0, expected for each sample"),
        ([[[], []]], "got 2 trains for sample 0, expected at most 1, one a neuron"),
        ([[0.1]], r"time: got shape \(\) of float64, expected \(E,\) seconds"),
        ([{0.5: [0.01]}], r"neuron: got shape \(1,\) of float64, expected \(E,\) whole numbers"),
    ],
)
def test_trains_that_do_not_fit_are_one_line(trains: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"^SpikeEvents.*: .*{message}"):
        SpikeEvents.from_trains(trains, shape=(1, T, 1), dt=DT)
