"""A small file that declares much does not take much memory: spikes and maps are read, checked and made in pieces."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .recordings.rasters import record_silence, samples

MEBIBYTE = 1 << 20
VALIDATE, EXPLAIN = 110 * MEBIBYTE, 230 * MEBIBYTE  # what the programs themselves may take, with their libraries


def peak_of(module: str, *arguments: object) -> int:
    """Run a command to its good end; the most bytes that it held in memory at any time."""
    code = (
        "import sys\n"
        f"from {module} import main\n"
        "code = main(sys.argv[1:])\n"
        "print(open('/proc/self/status').read(), file=sys.stderr)\n"  # getrusage would count the parent, too
        "sys.exit(code)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=True, timeout=120
    )
    found = re.search(r"VmHWM:\s+(\d+) kB", ran.stderr)
    assert found is not None
    return int(found[1]) << 10


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the peak of memory")
def test_memory_is_little_more_than_one_sample_takes(tmp_path: Path) -> None:
    """64 MiB of spikes a sample, whose maps take 16 MiB."""
    raster, maps = tmp_path / "raster.h5", tmp_path / "sam.h5"
    record_silence(raster, samples(1), timesteps=32, shape=(128, 256, 512))
    assert raster.stat().st_size < MEBIBYTE
    assert peak_of("recordings.validate", raster) < VALIDATE
    assert peak_of("pipeline.explain", raster, "--out", maps) < 80 * MEBIBYTE + EXPLAIN
    assert peak_of("recordings.validate", maps) < VALIDATE
