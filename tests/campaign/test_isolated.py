"""The campaign itself: what is broken on purpose is found, and called by its name."""

import os
import signal
import time
from pathlib import Path

import pytest

from spikesam.common.errors import InputError
from tests.campaign.faults import Boundaries
from tests.campaign.formats.base import compared
from tests.campaign.isolated import LINUX, Refused, attempt
from tests.campaign.process import forked

pytestmark = LINUX


class CarelessError(InputError):
    """One whose message nobody made fit to be shown."""

    def __init__(self, message: str) -> None:
        super().__init__("")
        self.args = (message,)


def hoard() -> None:
    held = [bytearray(b"x" * (1 << 20)) for _ in range(300)]
    time.sleep(len(held) / 1000)


def broken(way: str) -> str:
    """End in this way."""
    if way == "refuses":
        raise InputError("a.h5: got nothing, expected something")
    if way.startswith("refuses in"):
        raise CarelessError("\x1b[31mred" if "colours" in way else "x" * 57000)
    if way == "raises":
        raise KeyError("left alone")
    if way == "crashes":
        os.kill(os.getpid(), signal.SIGSEGV)
    while way == "loops":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if way == "takes memory":
        hoard()
    if way == "its child takes memory":
        os.waitpid(forked(hoard), 0)
    if way == "sleeps":
        forked(lambda: time.sleep(1000))
        time.sleep(1000)
    return "fine"


def test_a_call_that_ends_well() -> None:
    assert attempt(broken, "") == "fine"
    assert attempt(broken, "refuses") == Refused("a.h5: got nothing, expected something")


@pytest.mark.parametrize(
    ("way", "called"),
    {
        "refuses in colours": "not one clean line",
        "refuses in a long line": "not one clean line",
        "raises": r"KeyError: 'left alone' \(test_isolated.py:",
        "crashes": "crash: it ended with exit code -11",
        "loops": "hang: it took more than 1 s of processor time",
        "takes memory": "memory: it took 0.3",
        "its child takes memory": "memory: it took 0.3",
        "sleeps": "hang: it did not end within 3 s",
    }.items(),
)
def test_what_is_broken_is_called_by_its_name(way: str, called: str) -> None:
    with pytest.raises(AssertionError, match=called):
        attempt(broken, way, seconds=1 if way in ("loops", "sleeps") else 10, memory=200 << 20)


def sum_of(path: Path) -> dict[str, str]:
    """A format of ten bytes of which the last ought to be the sum of the others, and is not looked
    at.
    """
    data = path.read_bytes()
    if len(data) != 10:
        raise InputError(f"{path}: {len(data)} bytes, expected 10")
    return {"third": str(data[2]), "sum": str(data[9])}


def test_a_difference_is_wrong_unless_it_was_meant(tmp_path: Path) -> None:
    path, good = tmp_path / "a.sum", {"third": "3", "sum": "45"}

    def ends(data: bytes, valid: bool = False) -> str:
        path.write_bytes(data)
        return attempt(compared, sum_of, True, path, good, valid, [good])

    assert ends(bytes([1, 2, 3, 4, 5, 9, 7, 8, 9, 45])) == "identical"
    assert isinstance(ends(b"short"), Refused)
    with pytest.raises(AssertionError, match="third differ: '9'"):
        ends(bytes([0, 0, 9, 0, 0, 0, 0, 0, 0, 45]))
    assert ends(bytes([1, 2, 9, 4, 5, 6, 7, 8, 9, 51]), valid=True) == "another valid"


@pytest.mark.parametrize(
    ("at", "after", "whole"), [(0, False, 3), (2, False, 0), (2, True, 1), (5, True, 2)]
)
def test_a_process_dies_at_the_call_it_is_told(
    tmp_path: Path, at: int, after: bool, whole: int
) -> None:
    def write() -> None:
        Boundaries(at, after).install()
        for name in ("a", "b", "c"):
            (tmp_path / f"{name}.tmp").write_text(name)  # the calls 1, 3 and 5
            os.replace(tmp_path / f"{name}.tmp", tmp_path / name)  # the calls 2, 4 and 6

    code = os.waitstatus_to_exitcode(os.waitpid(forked(write), 0)[1])
    assert code == (-signal.SIGKILL if at else 0)
    assert len([path for path in tmp_path.iterdir() if path.suffix != ".tmp"]) == whole
