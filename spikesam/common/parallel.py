"""Threads for work that lets go of Python's lock: decompression, digests, compiled kernels."""

from __future__ import annotations

import os
import signal
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

MEMORY = 1 << 30  # bytes that the items worked on at once, and their results, may take

_idle: defaultdict[tuple[int, int], list[ThreadPoolExecutor]] = defaultdict(
    list
)  # by process and number of threads

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def workers_within_memory(item_bytes: int, max_workers: int) -> int:
    """Number of threads, at least one, at most `max_workers` and one a core, whose items and
    results fit into memory.
    """
    return max(
        1, min(max_workers, cores(), MEMORY // item_bytes - 2)
    )  # two more results than workers exist at a time


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Generator[Result, None, None]:
    """Results of `function` in the order of `items`, the next few of which are worked on meanwhile.

    The caller is one of the workers: while a result that it asks for is not there, it works on what
    nobody has begun. At most `workers` + 1 results exist that were not asked for, so memory does
    not grow with the number of items. An error of `function` is raised in its turn; what has not
    begun by then never does.
    """
    if workers == 1:
        yield from map(function, items)
        return
    waiting: deque[tuple[Future[Result], Item]] = deque()
    with thread_pool(workers - 1) as pool:
        try:
            for item in items:
                waiting.append((submitted(pool, function, item), item))
                if len(waiting) > workers:
                    yield _first_result(function, waiting)
            while waiting:
                yield _first_result(function, waiting)
        finally:
            for future, _ in waiting:
                future.cancel()


def _first_result(
    function: Callable[[Item], Result], waiting: deque[tuple[Future[Result], Item]]
) -> Result:
    """Wait for the first of them, and take it off; meanwhile, work on those that have not begun."""
    for place in range(len(waiting)):
        if _now(waiting[0][0].done):
            break
        future, item = waiting[place]
        if _now(future.cancel):
            waiting[place] = (_worked_on(function, item), item)
    return result_of(waiting.popleft()[0])


def _worked_on(function: Callable[[Item], Result], item: Item) -> Future[Result]:
    done: Future[Result] = Future()
    try:
        done.set_result(function(item))
    except Exception as error:
        done.set_exception(error)
    return done


def results_behind(
    function: Callable[[Item], Result], items: Iterable[Item], max_waiting: int
) -> Generator[Result, None, None]:
    """Results of `function` in the order of `items`, by one other thread, while the next items are
    made.

    At most `max_waiting` items wait for it. If making items fails, those that wait are still worked
    on; if `function` fails, its error is raised in its turn, and no later item is.
    """
    waiting: deque[Future[Result]] = deque()
    failed = threading.Event()

    def call(item: Item) -> Result:
        if failed.is_set():
            raise CancelledError
        try:
            return function(item)
        except BaseException:
            failed.set()
            raise

    with thread_pool(1) as pool:
        for item in items:
            waiting.append(submitted(pool, call, item))
            while len(waiting) > max_waiting or (waiting and _now(waiting[0].done)):
                yield result_of(waiting.popleft())
        while waiting:
            yield result_of(waiting.popleft())


@contextmanager
def thread_pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads for the block, which waits for all that it submits, or fails; later blocks get the
    same ones again.

    Linux often starts all new threads on one core, and moves them only after some milliseconds.
    """
    idle = _idle[os.getpid(), workers]  # a fork has none of these threads
    pool = idle.pop() if idle else ThreadPoolExecutor(workers)
    try:
        yield pool
    except BaseException:
        pool.shutdown()
        raise
    idle.append(pool)


def submitted(
    pool: ThreadPoolExecutor, function: Callable[..., Result], *arguments: Any
) -> Future[Result]:
    """`pool.submit`, which Ctrl-C does not cut short."""
    with interrupted_later():
        return pool.submit(function, *arguments)


def result_of(future: Future[Result]) -> Result:
    """Its result, which is waited for; Ctrl-C comes after that."""
    with interrupted_later():
        return future.result()


def _now(ask: Callable[[], bool]) -> bool:
    """Answer of a future; Ctrl-C comes after that."""
    with interrupted_later():
        return ask()


@contextmanager
def interrupted_later() -> Iterator[None]:
    """Let Ctrl-C wait until the block has ended.

    Python raises it between any two steps of its own library, too: between those that take a lock
    of a future and those that let go of it, for instance. Threads would wait for that lock for
    ever.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if came:
            handler(*came[0])
