"""Files of SHD and SSC: what is read, and hostile ones, each refused in a line."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from spikesam.common.errors import InputError
from spikesam.pipeline.images.datasets import open_dataset
from spikesam.pipeline.images.events.events import Events
from tests.pipeline.small_events import spoken_words


def test_spikes_become_events_of_a_column_in_order_of_time(tmp_path: Path) -> None:
    dataset = open_dataset(str(spoken_words(tmp_path / "shd_test.h5")), "val")
    assert (dataset.labels, dataset.class_names, dataset.names[0]) == (
        (1, 0),
        ("zero", "eins"),
        "eins (recording 0)",
    )
    assert dataset.name.startswith("shd_test#")
    events = dataset[0].image
    assert isinstance(events, Events)
    assert (events.t.tolist(), events.y.tolist(), events.sensor) == (
        [250_000, 500_000, 1_000_000],
        [3, 699, 0],
        (700, 1),
    )
    assert events.polarity.all()
    assert not events.x.any()


def test_classes_without_names_have_numbers(tmp_path: Path) -> None:
    assert open_dataset(
        str(spoken_words(tmp_path / "a.h5", **{"extra/keys": None})), "val"
    ).class_names == (
        "word-0",
        "word-1",
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": None}, "/labels: missing, expected recordings of SHD or SSC"),
        ({"spikes/units": None}, "/spikes/units: missing"),
        ({"spikes/times": None, "spikes/units": None}, "/spikes: missing"),
        (
            {"spikes/times": np.zeros(2)},
            "/spikes/times: dtype float64, expected a list of numbers for each",
        ),
        ({"labels": np.array([1, 0, 0])}, "/labels: 3 of int64, expected 2 whole numbers"),
        ({"labels": np.array([1, -1])}, "/labels: -1 to 1, expected 0 to"),
        ({"labels": np.array([1, 1 << 40])}, "/labels: 1 to 1099511627776, expected"),
        ({"spikes/units": [[699, 3], [7]]}, r"/spikes/times\[0\]: 3 times of 2 units"),
        ({"spikes/units": [[700, 3, 0], [7]]}, "outside the sensor of 700×1"),
        ({"spikes/times": [[0.5, -1, 1.0], [0.125]]}, "a time before 0, or not finite"),
        ({"spikes/times": [[0.5, np.nan, 1.0], [0.125]]}, "a time before 0, or not finite"),
        ({"spikes/times": [[0.5, 1e30, 1.0], [0.125]]}, "a time before 0, or not finite"),
        (
            {"spikes/times": [[0.5, 1e9, 1.0], [0.125]]},
            "the last is at 1,000,000,000,000,000 µs, expected less than",
        ),
        (
            {"spikes/times": h5py.ExternalLink("/etc/passwd", "/")},
            "an external link, expected a hard link",
        ),
        ({"extra/keys": np.arange(2)}, "/extra/keys: 2 of int64, expected names of classes"),
    ],
)
def test_what_is_no_such_file_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message) as refused:
        open_dataset(str(spoken_words(tmp_path / "words.h5", **changes)), "val")
    assert "\n" not in str(refused.value)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = spoken_words(tmp_path / "words.h5")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"words\.h5: "):
        open_dataset(str(path), "val")
