"""Laws of the simulated cluster, and traces worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.scheduler import HOUR, Load, Machines, run

machines = st.builds(Machines, count=st.integers(1, 5), threads=st.integers(1, 3), restart=st.floats(0, 50))
loads = st.builds(Load, ranges=st.integers(1, 60), seconds=st.floats(0.5, 20), spread=st.sampled_from([0.0, 0.2, 1.0]))
seeds = st.integers(0, 2**32)
failing = st.floats(1, 60)  # an hour


def floor_of(load: Load, cluster: Machines, seed: int) -> float:
    """Nothing is faster than all threads at work all the time."""
    return sum(load.durations(seed)) / (cluster.count * cluster.threads)


def test_two_machines_share_five_ranges():
    outcome = run(Load(5, 10.0), Machines(2, 1))
    assert (outcome.computing, outcome.merging, outcome.lost, outcome.rounds) == (30.0, 0.0, 0, 1)


def test_a_disk_writes_one_range_after_another():
    # Both compute until 1; the disk writes until 5, 9, 13: the third range was computed at 6, and waits from then on.
    outcome = run(Load(3, 1.0, size=4.0), Machines(2, 1, bandwidth=1.0))
    assert outcome.computing == 13.0


def test_merging_takes_time_for_ranges_and_for_bytes():
    assert run(Load(4, 1.0, size=3.0, merged_ranges=2.0, merged_bytes=6.0), Machines(1, 1)).merging == 2.0 + 2.0


def test_a_range_that_outlives_its_machines_is_started_again():
    # A machine fails every 10 s on average, and a range takes 20: three failures in a row are common.
    cluster = Machines(3, 1, failures=HOUR / 10, restart=1.0)
    outcome = run(Load(20, 20.0), cluster)
    assert outcome.finished == (1,) * 20
    assert outcome.rounds > 1
    assert outcome.lost <= outcome.failures


@settings(max_examples=50)
@given(loads, machines, seeds)
def test_without_failures_all_threads_are_busy_until_the_last_ranges(load, cluster, seed):
    outcome = run(load, cluster, seed)
    least = floor_of(load, cluster, seed)
    assert least * (1 - 1e-9) <= outcome.computing <= least + max(load.durations(seed)) * (1 + 1e-9)
    if not load.spread:
        turns = math.ceil(load.ranges / (cluster.count * cluster.threads))
        assert outcome.computing == pytest.approx(turns * load.seconds)


@settings(max_examples=50)
@given(loads, machines, failing, seeds)
def test_failures_lose_no_range_and_save_no_time(load, cluster, failures, seed):
    calm, outcome = run(load, cluster, seed), run(load, replace(cluster, failures=failures), seed)
    assert outcome.finished == (1,) * load.ranges
    assert outcome.computing >= floor_of(load, cluster, seed) * (1 - 1e-9)
    # Ranges of unequal length may fall into a better order by chance; those of equal length cannot.
    gained = max(load.durations(seed)) if load.spread else 0.0
    assert outcome.computing >= (calm.computing - gained) * (1 - 1e-9)
    if not outcome.failures:
        assert outcome.computing == calm.computing


@settings(max_examples=50)
@given(loads, machines, st.floats(0.01, 100), seeds)
def test_a_disk_that_is_slower_than_the_machines_bounds_them(load, cluster, writing, seed):
    outcome = run(replace(load, size=writing), replace(cluster, bandwidth=1.0), seed)
    disk = load.ranges * writing
    assert outcome.computing >= max(disk, floor_of(load, cluster, seed)) * (1 - 1e-9)
    if not load.spread and writing >= load.seconds and cluster.count * cluster.threads > 1:
        assert outcome.computing == pytest.approx(load.seconds + disk)  # it never waits but for the first range
