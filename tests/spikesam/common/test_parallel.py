"""Working ahead in threads: the order, how far ahead, and what an error does."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from spikesam.common.parallel import in_order, results_behind

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_order_whichever_is_ready_first(workers: int) -> None:
    def slow_when_even(item: int) -> int:
        time.sleep(0.01 * (item % 2 == 0))
        return item * item

    assert list(in_order(slow_when_even, range(9), workers)) == [item * item for item in range(9)]
    assert list(in_order(slow_when_even, [], workers)) == []


def test_threads_work_at_the_same_time_and_are_used_again() -> None:
    def thread_of(_: int) -> int:
        meeting.wait()
        return threading.get_ident()

    meeting = threading.Barrier(3, timeout=10)  # raises unless three threads wait at it together
    first, again = (set(in_order(thread_of, range(3), 3)) for _ in range(2))
    assert first == again


def test_a_fork_starts_threads_of_its_own() -> None:
    ask = [sys.executable, "-W", "ignore", "-c", FORKED]
    said = subprocess.run(ask, capture_output=True, timeout=60, check=True, cwd=ROOT)
    assert said.stdout.split() == [b"[0,", b"1]"] * 2


FORKED = """
import os
from spikesam.common.parallel import in_order
print(list(in_order(abs, range(2), 2)), flush=True)
if child := os.fork():
    assert os.waitpid(child, 0)[1] == 0
else:
    print(list(in_order(abs, range(2), 2)), flush=True)
"""


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_comes_in_its_turn_and_ends_the_work(workers: int) -> None:
    begun = []

    def fail_at_two(item: int) -> int:
        begun.append(item)
        if item == 2:
            raise ValueError("two")
        return item

    results = in_order(fail_at_two, range(100), workers)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)
    assert len(begun) <= 2 + workers + 1


def test_one_thread_comes_behind_in_order_while_items_are_made() -> None:
    meeting, threads = threading.Barrier(2, timeout=10), set[int]()

    def items() -> Iterator[int]:
        yield 0
        meeting.wait()  # returns only if the first item is worked on meanwhile
        yield from range(1, 20)

    def double(item: int) -> int:
        threads.add(threading.get_ident())
        if item == 0:
            meeting.wait()
        return 2 * item

    assert list(results_behind(double, items(), 3)) == [2 * item for item in range(20)]
    assert len(threads) == 1 and threading.get_ident() not in threads


def test_no_more_than_a_few_are_begun_ahead_or_wait() -> None:
    made: list[int] = []
    behind = results_behind(lambda item: time.sleep(0.001), map(made.append, range(50)), 3)
    ways = [
        (in_order(made.append, range(100), workers), ahead)
        for workers, ahead in ((1, 1), (2, 3), (4, 5))
    ]
    for results, ahead in [*ways, (behind, 4)]:
        made.clear()
        for taken, _ in enumerate(results):
            assert len(made) <= taken + ahead


def test_what_was_made_before_a_failure_is_still_worked_on() -> None:
    done: list[int] = []

    def items() -> Iterator[int]:
        yield from range(3)
        raise ValueError("no fourth item")

    with pytest.raises(ValueError, match="no fourth item"):
        list(results_behind(done.append, items(), 8))
    assert done == [0, 1, 2]


def test_nothing_is_worked_on_behind_an_error() -> None:
    begun: list[int] = []

    def fail_at_two(item: int) -> None:
        begun.append(item)
        if item == 2:
            raise ValueError("two")

    with pytest.raises(ValueError, match="two"):
        list(results_behind(fail_at_two, range(100), 8))
    assert begun == [0, 1, 2]


INTERRUPTED = """
import sys, time
from contextlib import closing
from spikesam.common.parallel import results_behind, in_order
from tests.interrupting import interrupt_at

interrupt_at(int(sys.argv[2]))
compute = {"in_order": in_order, "behind": results_behind}[sys.argv[1]]
results = compute(abs, range(1000), 2)
try:
    with closing(results):
        for _ in results:
            time.sleep(0.001)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("function", ["in_order", "behind"])
@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 6, 12, 13])
def test_ctrl_c_within_a_lock_of_pythons_library_ends_the_work(function: str, at: int) -> None:
    command = [sys.executable, "-c", INTERRUPTED, function, str(at)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=ROOT)
    assert said.stdout == "interrupted\n"
