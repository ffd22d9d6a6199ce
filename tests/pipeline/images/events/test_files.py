"""Files of events: real recordings, small ones written here, and broken ones."""

import sys
from pathlib import Path

import numpy as np
import pytest

from spikesam.common.errors import InputError
from spikesam.pipeline.images.events.binning import EventBinning
from spikesam.pipeline.images.events.files import read_events

EVENTS = [(0, 1, 2, 1), (300_000, 33, 0, 0), (8_388_607, 0, 33, 1)]  # t, x, y, polarity


def nmnist(events: list[tuple[int, int, int, int]]) -> bytes:
    return b"".join(
        bytes([x, y]) + (polarity << 23 | t).to_bytes(3, "big") for t, x, y, polarity in events
    )


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_nmnist(tmp_path: Path) -> None:
    events = read_events(write(tmp_path / "a.bin", nmnist(EVENTS)))
    assert (
        list(zip(events.t, events.x, events.y, events.polarity.astype(int), strict=True)) == EVENTS
    )
    assert events.sensor == (34, 34)


def test_nmnist_events_in_row_240_only_make_later_times_later(tmp_path: Path) -> None:
    data = nmnist([(5, 0, 0, 1), (6, 0, 240, 0), (7, 1, 1, 0)])
    events = read_events(write(tmp_path / "a.bin", data), sensor=(180, 240))
    assert events.t.tolist() == [5, 7 + 8192]
    assert events.sensor == (180, 240)


def test_a_real_recording_of_nmnist(shared: Path) -> None:
    events = read_events(shared / "data" / "events" / "nmnist.bin")
    assert len(events) == 4325
    assert events.t[-1] // 1000 == 311
    assert events.x.max() == events.y.max() == 33
    binned = EventBinning(34, 34, bins=104, window_us=3000).binned(events)
    assert binned.left_out == 0
    assert binned.bits.sum() == 4325 - binned.merged == 4202


@pytest.mark.parametrize(
    ("name", "count", "sensor", "span"),
    [("davis.aedat4", 111_954, (240, 320), 589_917), ("evt3.raw", 219_596, (720, 1280), 8811)],
)
def test_real_recordings_that_faery_reads(
    shared: Path, name: str, count: int, sensor: tuple[int, int], span: int
) -> None:
    pytest.importorskip("faery")
    events = read_events(shared / "data" / "events" / name)
    assert len(events) == count
    assert events.sensor == sensor
    assert (events.t[0], events.t[-1]) == (0, span)
    for by in ("time", "count"):
        binned = EventBinning(48, 64, bins=10, by=by).binned(events)
        assert binned.bits.any(axis=(1, 2, 3)).all()
        assert binned.count == count


@pytest.mark.parametrize("suffix", [".aedat4", ".raw", ".dat", ".es"])
def test_every_format_that_faery_reads(tmp_path: Path, suffix: str) -> None:
    faery = pytest.importorskip("faery")
    table = np.zeros(3, faery.EVENTS_DTYPE)
    table["t"], table["x"], table["y"], table["on"] = (
        [1000, 1000, 1400],
        [5, 0, 2],
        [3, 1, 0],
        [1, 0, 1],
    )
    faery.events_stream_from_array(table, (6, 4)).to_file(tmp_path / f"a{suffix}")
    events = read_events(tmp_path / f"a{suffix}")
    assert events.t.tolist() == [0, 0, 400]
    assert (events.x.tolist(), events.y.tolist()) == ([5, 0, 2], [3, 1, 0])
    assert events.polarity.tolist() == [True, False, True]
    assert events.sensor == (4, 6)


def test_without_faery_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faery", None)
    path = write(tmp_path / "a.aedat4", b"#!AER-DAT4.0\r\n")
    with pytest.raises(
        InputError, match=r"a.aedat4: AEDAT 4 is read by .*pip install 'spikesam\[events\]'"
    ):
        read_events(path)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.bin", b"", "the file is empty"),
        (
            "a.bin",
            nmnist(EVENTS)[:-1],
            "14 bytes are no whole number of events of 5 bytes; the file is truncated, or",
        ),
        ("a.bin", nmnist(EVENTS[::-1]), "time goes back from 8388607 to 300000 µs at event 1"),
        (
            "a.bin",
            nmnist([(0, 34, 0, 1)]),
            "event 0 is at x = 34, y = 0, outside the sensor of 34×34",
        ),
        ("a.bin", nmnist([(0, 0, 240, 1)]), "events: got none, expected at least one event"),
        (
            "a.aedat4",
            b"hello\nworld, this is text",
            "not in the format AEDAT 4, or truncated (bad magic number",
        ),
        (
            "a.raw",
            b"hello\nworld",
            "not in the format Prophesee EVT, which begins with a header (%)",
        ),
        ("a.raw", b"% evt 3.0\n\x01\x02\x03", "truncated, its last event is not whole"),
        ("a.raw", b"% evt 3.0\n", "events: got none"),
        (
            "a.dat",
            b"hello\nworld",
            "not in the format Prophesee DAT, which begins with a header (%)",
        ),
        ("a.es", b"hello\nworld, this is text", "not in the format Event Stream, or truncated"),
    ],
)
def test_broken_files(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    if name != "a.bin":
        pytest.importorskip("faery")
    path = write(tmp_path / name, data)
    with pytest.raises(InputError) as error:
        read_events(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "options"),
    [("a.es", {}), ("a.dat", {}), ("a.raw", {"version": "evt2"}), ("a.raw", {"version": "evt3"})],
)
def test_a_file_cut_anywhere_within_an_event_is_refused(
    tmp_path: Path, name: str, options: dict[str, str]
) -> None:
    faery = pytest.importorskip("faery")
    table = np.zeros(8, faery.EVENTS_DTYPE)
    table["t"], table["x"], table["on"] = (
        [0, 0, 5, 126, 127, 900, 9000, 9001],
        [0, 0, 255, 256, 299, 0, 1, 2],
        1,
    )
    files = []  # with the first events alone, then with one more, …
    for count in range(1, len(table) + 1):
        faery.events_stream_from_array(table[:count], (300, 200)).to_file(
            tmp_path / name, **options
        )
        files.append((tmp_path / name).read_bytes())
    for end in range(len(files[0]), len(files[-1]) + 1):
        path = write(tmp_path / f"cut{name[1:]}", files[-1][:end])
        try:
            found = read_events(path)
        except InputError:
            assert end < len(files[-1])
            continue
        rest = files[-1][len(files[len(found) - 1]) : end]  # behind the events that were found
        word = {"evt2": 4, "evt3": 2}.get(options.get("version", ""), 8)
        assert set(rest) <= {255} if name == "a.es" else len(rest) % word == 0
        assert len(rest) < 8 or name != "a.dat"


@pytest.mark.parametrize("pause", [b"", b"\xff", b"\xfe", b"\xfe\xff\xff"])
@pytest.mark.parametrize("kind", [1, 2])  # DVS, ATIS
def test_an_event_stream_may_end_with_pauses(tmp_path: Path, pause: bytes, kind: int) -> None:
    pytest.importorskip("faery")
    event = b"\x06\x07\x00\x05\x00"
    data = b"Event Stream\x02\x00\x00" + bytes([kind]) + b"\x80\x02\xe0\x01"
    whole = {}  # bytes up to here -> events
    for part in (*pause, event, *pause, event, *pause):
        data += bytes([part]) if isinstance(part, int) else part
        whole[len(data)] = data.count(event)
    for end in range(21, len(data) + 1):
        path = write(tmp_path / "a.es", data[:end])
        if whole.get(end):
            assert len(read_events(path)) == whole[end]
        else:
            with pytest.raises(
                InputError, match=r"truncated, its last event is not whole|got none"
            ):
                read_events(path)


def test_a_recording_of_a_real_camera_that_was_cut(shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("faery")
    data = bytearray((shared / "data" / "events" / "davis.aedat4").read_bytes())
    table, *packets = 945_243, 2334, 10_291, 10_682  # where it begins, and the first packets
    # A table that is not reached: in front of packets, and within them.
    for end in (
        100,
        packets[0] + 1,
        packets[1],
        packets[2],
        len(data) // 2,
        table - 1,
        len(data) - 7,
    ):
        with pytest.raises(InputError, match="AEDAT 4, or truncated"):
            read_events(write(tmp_path / "cut.aedat4", data[:end]))
    place = data.index(table.to_bytes(8, "little"))
    data[place : place + 8] = (-1).to_bytes(8, "little", signed=True)  # cut before it had one
    assert len(read_events(write(tmp_path / "cut.aedat4", data[:table]))) == 111_954
    assert len(read_events(write(tmp_path / "cut.aedat4", data[: packets[2]]))) == 918
    for end in (packets[2] + 1, packets[2] + 7, packets[2] + 9, table - 1):
        with pytest.raises(InputError, match="truncated"):
            read_events(write(tmp_path / "cut.aedat4", data[:end]))


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(
        InputError,
        match=r"got the extension '.txt', expected events in .aedat4, .bin, .dat, .es, .raw",
    ):
        read_events(tmp_path / "a.txt")
    with pytest.raises(InputError, match="no such file; give a recording of events"):
        read_events(tmp_path / "a.bin")
    (tmp_path / "b.bin").mkdir()
    with pytest.raises(InputError, match="a folder, expected a file"):
        read_events(tmp_path / "b.bin")
    with pytest.raises(InputError, match="says its sensor's size itself; leave sensor out"):
        read_events(write(tmp_path / "a.raw", b"% x"), sensor=(3, 4))
