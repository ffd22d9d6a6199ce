"""The campaign itself: what is broken on purpose is found, and called by its name."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from random import Random

import pytest

from recordings.errors import InputError

from .campaign import Plan, campaign
from .faults import Boundaries
from .outcomes import Outcome, Result
from .process import Ended, aside
from .report import failures, markdown
from .runner import Order, Runner
from .subject import Content, FileSubject, Finding, Subject

pytestmark = pytest.mark.alone

LINUX = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="watches processes as Linux shows them")


class CarelessError(InputError):
    """One whose message nobody made fit to be shown."""

    def __init__(self, message: str) -> None:
        super().__init__("")
        self.args = (message,)


class Broken(Subject):
    """Ends in another way at each number."""

    name = "broken"
    seconds = 3.0  # a busy machine must not take a slow way to fail for another one
    memory = 100 << 20
    batch = 20

    def build(self, base: Path) -> None:
        (base / "made").touch()

    def make(self, base: Path, case: Path, random: Random, number: int) -> str:
        assert (base / "made").exists()
        (case / "case.json").write_text(json.dumps(number))
        if number == 10:
            raise OSError("no such material")
        return WAYS[number]

    def attempt(self, base: Path, case: Path) -> Finding:
        way = WAYS[json.loads((case / "case.json").read_text())]
        if way == "refuses":
            raise InputError("a.h5: got nothing, expected something")
        if way == "refuses in colours":
            raise CarelessError("\x1b[31mred")
        if way == "refuses in a long line":
            raise CarelessError("x" * 57000)
        if way == "raises":
            raise KeyError("left alone")
        if way == "crashes":
            os.kill(os.getpid(), signal.SIGSEGV)
        if way == "loops":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                pass
        if way == "takes memory":
            hoard = [bytearray(b"x" * (1 << 20)) for _ in range(200)]
            time.sleep(len(hoard))
        if way == "its child takes memory":
            if os.fork() == 0:
                hoard = [bytearray(b"x" * (1 << 20)) for _ in range(200)]
                time.sleep(len(hoard))
            os.wait()
        if way == "sleeps":
            time.sleep(1000)
        return Outcome.IDENTICAL, ""


WAYS = {
    0: "is fine",
    1: "refuses",
    2: "refuses in colours",
    3: "refuses in a long line",
    4: "raises",
    5: "crashes",
    6: "loops",
    7: "takes memory",
    8: "its child takes memory",
    9: "sleeps",
    10: "cannot be made",
    11: "is fine",
}
EXPECTED = {
    0: Outcome.IDENTICAL,
    1: Outcome.REFUSED,
    2: Outcome.EXCEPTION,
    3: Outcome.EXCEPTION,
    4: Outcome.EXCEPTION,
    5: Outcome.CRASH,
    6: Outcome.HANG,
    7: Outcome.MEMORY,
    8: Outcome.MEMORY,
    9: Outcome.HANG,
    10: Outcome.EXCEPTION,
    11: Outcome.IDENTICAL,
}


@LINUX
def test_each_way_to_fail_is_found_and_the_trials_after_it_go_on(tmp_path: Path) -> None:
    subject, kept, others = Broken(), list[Result](), children()
    runner = Runner(tmp_path, 0, 2, lambda result, case: kept.append(result) if case.is_dir() else None)
    runner.build([subject])
    results = list(runner.run(iter([Order(subject, list(range(6))), Order(subject, list(range(6, 12)))])))
    assert {result.number: result.outcome for result in results} == EXPECTED
    assert len(results) == 12
    assert {result.number for result in kept} == {n for n, outcome in EXPECTED.items() if outcome.failed}
    assert "KeyError: 'left alone' (test_detection.py:" in next(each.message for each in results if each.number == 4)
    assert next(each.memory for each in results if each.number == 7) > 100 << 20
    assert next(each.seconds for each in results if each.number == 6) < 60
    assert children() <= others  # no child is left, nor one that has ended and was not waited for


def children() -> set[int]:
    """Child processes of this one, those that have ended among them; other tests may have left some."""
    return {int(pid) for task in Path("/proc/self/task").glob("*/children") for pid in task.read_text().split()}


class Sums(FileSubject):
    """A format of ten bytes of which the last ought to be the sum of the others, and is not looked at."""

    name = "sums"

    def originals(self, base: Path) -> list[Path]:
        (base / "a.sum").write_bytes(bytes([1, 2, 3, 4, 5, 6, 7, 8, 9, 45]))
        return [base / "a.sum"]

    def read(self, path: Path) -> Content:
        data = path.read_bytes()
        if len(data) != 10:
            raise InputError(f"{path}: {len(data)} bytes, expected 10")
        return {"third": str(data[2]), "sum": str(data[9])}

    def mutate(self, path: Path, random: Random, number: int, other: bytes) -> tuple[str, bool]:
        damaged = {0: bytes([1, 2, 3, 4, 5, 9, 7, 8, 9, 45]), 1: bytes([0, 0, 9, 0, 0, 0, 0, 0, 0, 45]), 2: b"short"}
        path.write_bytes(damaged.get(number, bytes([1, 2, 9, 4, 5, 6, 7, 8, 9, 51])))
        return "damaged", number == 3


@LINUX
def test_a_difference_is_wrong_unless_it_was_meant(tmp_path: Path) -> None:
    plan = Plan([Sums()], seed=0, seconds=None, trials=4, jobs=1, out=tmp_path / "out")
    results = campaign(plan, lambda: None, lambda result: None)
    assert [result.outcome.value for result in results] == ["identical", "wrong", "refused", "another valid"]
    assert "third differ: '9'" in results[1].message
    kept = tmp_path / "out" / "failures" / "wrong-sums-1"
    assert sorted(path.name for path in kept.iterdir()) == ["case.json", "failure.json", "input.sum"]
    assert len((tmp_path / "out" / "trials.jsonl").read_text().splitlines()) == 4
    assert "| sums | 4 | 1 | 1 | 1 | 1 | 0 | 0 | 0 | 0 |" in markdown(results, ["sums"])
    assert failures(results) == [
        "wrong sums × 1, first trial 1 (a.sum: damaged): read without complaint, but third differ: '9'"
    ]


def test_trials_depend_on_seed_and_number_alone() -> None:
    from .damage import damage

    data = bytes(range(256)) * 8
    cases = [damage(Random(f"1 rasters {number}"), data, data) for number in range(50)]
    assert cases == [damage(Random(f"1 rasters {number}"), data, data) for number in range(50)]
    assert len({content for content, _ in cases}) > 45


@LINUX
@pytest.mark.parametrize(("at", "after", "whole"), [(0, False, 3), (2, False, 0), (2, True, 1), (5, True, 2)])
def test_a_process_dies_at_the_call_it_is_told(tmp_path: Path, at: int, after: bool, whole: int) -> None:
    if (pid := os.fork()) == 0:
        Boundaries(at, after).install()
        for name in ("a", "b", "c"):
            (tmp_path / f"{name}.tmp").write_text(name)  # the calls 1, 3 and 5
            os.replace(tmp_path / f"{name}.tmp", tmp_path / name)  # the calls 2, 4 and 6
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code == (-signal.SIGKILL if at else 0)
    assert len([path for path in tmp_path.iterdir() if path.suffix != ".tmp"]) == whole


@pytest.mark.parametrize(
    ("ended", "outcome"),
    [
        (Ended(0, "", 1), None),
        (Ended(2, "error: a.h5: no such file\n", 1), None),
        (Ended(2, "warning\nerror: a.h5: no such file\n", 1), Outcome.EXCEPTION),
        (Ended(2, "error: \x1b[2J\n", 1), Outcome.EXCEPTION),
        (Ended(1, "internal failure: ValueError: x\n", 1), Outcome.EXCEPTION),
        (Ended(-11, "", 1), Outcome.CRASH),
    ],
)
def test_how_a_command_may_end(ended: Ended, outcome: Outcome | None) -> None:
    found = ended.finding()
    assert (found and found[0]) == outcome


def test_a_call_aside_gives_its_result_or_its_error() -> None:
    assert aside(max, 3, 5) == 5
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        aside(lambda: 1 // 0)
