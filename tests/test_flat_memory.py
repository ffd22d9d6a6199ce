"""A small file that declares much does not take much memory: spikes and maps are read, checked and
made in pieces.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.recordings.rasters import record_silence, samples

MEBIBYTE = 1 << 20
STEPS = 32


def peak_of(module: str, *arguments: object) -> int:
    """Run a command to its good end; the most bytes that it held in memory at any time."""
    code = (
        "import sys\n"
        f"from {module} import main\n"
        "code = main(sys.argv[1:])\n"
        # getrusage would count the parent, too
        "print(open('/proc/self/status').read(), file=sys.stderr)\n"
        "sys.exit(code)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    found = re.search(r"VmHWM:\s+(\d+) kB", ran.stderr)
    assert found is not None
    return int(found[1]) << 10


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the peak of memory")
def test_memory_is_little_more_than_one_sample_takes(tmp_path: Path) -> None:
    """64 MiB of spikes a sample, whose maps take 16 MiB, beside a sample of 16 bytes.

    What the programs take with their libraries differs from machine to machine: a processor with
    other instructions has other libraries. So the small sample says what they take here.
    """
    small, large = tmp_path / "small.h5", tmp_path / "large.h5"
    record_silence(small, samples(1), timesteps=STEPS, shape=(1, 2, 2))
    record_silence(large, samples(1), timesteps=STEPS, shape=(128, 256, 512))
    assert large.stat().st_size < MEBIBYTE
    # Where the kernels were not cached yet.
    peak_of("spikesam.pipeline.explain", small, "--out", tmp_path / "compiled.h5")
    validated, explained, validated_maps = (
        {raster: peak_of(module, *arguments(raster)) for raster in (small, large)}
        for module, arguments in (
            ("spikesam.pipeline.validate", lambda raster: [raster]),
            ("spikesam.pipeline.explain", lambda raster: [raster, "--out", maps_of(raster)]),
            ("spikesam.pipeline.validate", lambda raster: [maps_of(raster)]),
        )
    )
    assert validated[large] - validated[small] < 32 * MEBIBYTE
    assert explained[large] - explained[small] < (80 + 40) * MEBIBYTE
    assert validated_maps[large] - validated_maps[small] < 32 * MEBIBYTE


def maps_of(raster: Path) -> Path:
    return raster.with_suffix(".sam.h5")
