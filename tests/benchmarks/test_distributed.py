"""Two workers beside one, on a network that is soon simulated."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="dask.distributed is not installed")

from benchmarks import distributed, scheduler
from benchmarks.measurement import Options
from spikesam.pipeline.engine.cluster import connected
from spikesam.recordings.parallel import cores


def test_workers_are_timed_and_many_machines_simulated(tmp_path):
    sizes = replace(distributed.TINY_SIZES, ranges=2, failures=(0.0,), bandwidth=(1e9,))
    rows = {row.way: row for row in distributed.workers(sizes, Options(repeats=1), tmp_path)}
    assert rows["local:1"].median > 0
    ratio = rows["local:2"].median / rows["local:1"].median
    assert rows["local:2 ÷ local:1"].median == pytest.approx(ratio)
    bound = rows["all threads at work all the time"].median
    assert rows["disk 1 GB/s, 0 failures a machine and day"].median >= bound * (1 - 1e-9)
    assert {"raster.h5", "sam.h5"} <= {path.name for path in (tmp_path / "workers-2").iterdir()}  # merged


def test_other_spikes_are_refused(tmp_path, monkeypatch):
    def task(design, ranges, out, seed):
        return original(design, ranges, out, int(out.name[-1]))

    original = distributed.task_of
    monkeypatch.setattr(distributed, "task_of", task)
    monkeypatch.setattr(distributed, "connected", lambda address, folder: nullcontext(address))
    monkeypatch.setattr(distributed, "give_cores", lambda client: None)
    monkeypatch.setattr(distributed, "distribute", lambda client, task, advance: (distributed.here(task), advance(1)))
    sizes = replace(distributed.TINY_SIZES, ranges=1)
    with pytest.raises(RuntimeError, match="two workers recorded other spikes than one"):
        list(distributed.workers(sizes, Options(repeats=1), tmp_path))


def cores_of_threads():
    return {frozenset(os.sched_getaffinity(int(thread))) for thread in os.listdir("/proc/self/task")}


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system cannot keep a process on a core")
def test_workers_get_a_core_each(tmp_path: Path):
    with connected("local:2", tmp_path) as client:
        distributed.give_cores(client)
        found = client.run(cores_of_threads)
    assert all(len(of_threads) == 1 for of_threads in found.values())
    kept = frozenset.union(*(next(iter(of_threads)) for of_threads in found.values()))
    assert len(kept) == min(2, cores())


def test_merging_is_added_up():
    load = scheduler.Load(10, 36.0, size=1e6, merged_bytes=1e6 / 360)
    sizes = replace(distributed.TINY_SIZES, machines=1, threads=1, failures=(0.0,), bandwidth=(1e12,))
    rows = {row.way: row.median for row in distributed.many_machines(sizes, load, Options())}
    assert rows["all threads at work all the time"] == pytest.approx(0.1)
    assert rows["merging on one machine"] == pytest.approx(1.0)
