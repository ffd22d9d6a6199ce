"""The first run on a machine does not wait for kernels to be compiled, and has the bits of every
other run.
"""

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

import spikesam
from spikesam.pipeline import run
from spikesam.pipeline.config import read_config
from spikesam.pipeline.engine import first_run
from spikesam.pipeline.engine.first_run import on_torch_at_first
from spikesam.pipeline.engine.job import Job
from spikesam.pipeline.engine.prepare import prepare
from spikesam.recordings.raster.reader import RasterReader
from tests.pipeline.small_networks import run_words

ROOT = Path(__file__).parents[3]


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    return [*run_words(tmp_path, per_class=2), "--samples", "4", "--figures", "0", "--no-report"]


def test_a_first_run_is_on_torch_and_has_the_same_bits(options: list[str], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    command = [
        sys.executable,
        "-m",
        "spikesam.pipeline.run",
        *options,
        "--out",
        str(tmp_path / "first"),
    ]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    said = (
        r"this first run is on torch; process (\d+) compiles the faster kernels .*\n(spikesam "
        r"compiles .*\n)?"
    )
    found = re.fullmatch(said, done.stderr)
    assert found, done.stderr
    with suppress(ProcessLookupError):
        os.kill(int(found[1]), signal.SIGKILL)
    run.main([*options, "--out", str(tmp_path / "second"), "--backend", "event"])
    with (
        RasterReader(tmp_path / "first/raster.h5") as first,
        RasterReader(tmp_path / "second/raster.h5") as second,
    ):
        assert (first.header.backend, second.header.backend) == ("torch", "event")
        assert first.raster_digest == second.raster_digest


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Makes this machine one without compiled kernels; gets what is said where they are to be
    compiled.
    """
    monkeypatch.setattr(first_run, "is_cached", lambda *_: False)
    monkeypatch.setattr(first_run, "CODE", "")
    return []


def job_of(options: list[str]) -> Job:
    words = dict(zip(options[::2], options[1::2], strict=False))
    config = read_config(
        {"run": {"checkpoint": words["--checkpoint"], "data": [words["--data"]], "samples": 4}}
    )
    return prepare(config).job


@pytest.mark.parametrize("which", ["small", "large", "chosen", "compiled", "without torch"])
def test_a_small_run_that_is_open_on_what_is_on_torch(
    options: list[str], started: list[str], monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    job = job_of(options)
    if which == "large":
        monkeypatch.setattr(first_run, "SMALL", 1.0)
    elif which == "chosen":
        job = replace(job, choice=("event", "auto", {}))
    elif which == "compiled":
        monkeypatch.setattr(first_run, "is_cached", lambda *_: True)
    elif which == "without torch":
        monkeypatch.setattr(first_run, "find_spec", lambda _: None)
    found = on_torch_at_first(job, started.append)
    assert (found is job, len(started)) == ((False, 1) if which == "small" else (True, 0))
    if which == "small":
        assert (found.backend.name, found.spec.header.backend, found.choice) == (
            "torch",
            "torch",
            ("torch", "cpu", {}),
        )


def test_simulate_is_on_torch(
    options: list[str], started: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint, images = options[1], options[3]
    with spikesam.simulate(checkpoint, images, samples=2) as first:
        assert first.header.backend == "torch"
        assert capsys.readouterr().err.startswith("this first run is on torch; process ")
        with spikesam.simulate(checkpoint, images, samples=2, backend="event") as second:
            assert first.raster_digest == second.raster_digest
