"""Rasters and maps are checked and described by a command that knows every method."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import spikesam
from spikesam.pipeline.validate import main
from spikesam.recordings.counted_operations import NAME as OPERATIONS
from spikesam.recordings.counted_operations import CountedModule, OperationsSpool
from spikesam.recordings.raster.reader import RasterReader
from tests.recordings import maps, rasters


@pytest.mark.parametrize(
    ("write", "parts"),
    [
        (
            lambda folder: rasters.record(folder, 3),
            [
                *(
                    "3 samples of made-up, T = 6, seed 7; fixed precision on torch (cpu)\n",
                    "input  input  2×4×5  ",
                ),
                *(
                    "predicted as labelled: 1 of 3\n",
                    "conv1  conv   3×4×5  4096       0.99",
                    "20.09%",
                ),
                "raster digest 32972015b193",
            ],
        ),
        (
            lambda folder: rasters.record(folder, 3, replace(rasters.HEADER, window=4)),
            ["T = 6 (4 of the model), seed"],
        ),
        (
            lambda folder: spikesam.write_raster(
                folder / "a.h5",
                {"a": np.ones((3, 1, 2), bool)},
                labels=[1, 2, -1],
                predictions=[1, 0, -1],
            ),
            [
                "3 samples of an unnamed data set, T = 1, seed 0; float32 precision on arrays\n",
                *("predicted as labelled: 1 of 2\n", "network       unknown"),
            ],
        ),
        (
            lambda folder: maps.write(folder / "sam.h5"),
            [
                "Spike Activation Map of 3 samples, T = 6, gamma 0.5, variant paper, "
                "include_current True; sums, and 3",
                *(
                    "3 of 6 steps of 2 samples\n",
                    "conv1  2×3  5",
                    f"raster digest {'cd' * 32}\nvalid",
                ),
            ],
        ),
    ],
)
def test_a_valid_file_is_described(
    write: Callable[[Path], Path],
    parts: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write(tmp_path)
    main([str(path), str(path)])
    shown = capsys.readouterr().out
    assert shown.count("\nvalid\n") == 2 and shown.startswith(f"{path}  ")
    assert [part for part in parts if part not in shown] == []
    if path.name == "raster.h5":
        with RasterReader(path) as raster:
            assert f"{raster.rate('conv1'):.2%}" in shown
        main([str(tmp_path)])  # the folder of a run stands for its raster
        assert capsys.readouterr().out.startswith(f"{tmp_path}  ")


def test_it_stops_at_the_first_file_that_is_not_valid(
    tmp_path: Path, refused: Callable[..., str]
) -> None:
    strange = maps.write(tmp_path / "sam.h5", replace(maps.HEADER, method="cam"))
    assert refused(main, strange, maps.GOLDEN).startswith(
        f"error: {strange}: method is 'cam', expected one of sam, "
    )
    cut = tmp_path / "cut.h5"
    cut.write_bytes(rasters.GOLDEN.read_bytes()[:5000])
    assert refused(main, cut).startswith(f"error: {cut}: cannot be read as HDF5")


def counted(folder: Path) -> Path:
    """A run of 2 samples, of whose 3 steps the operations of a module were counted."""
    spikesam.write_raster(folder / "raster.h5", {"lif": np.ones((2, 3, 1), bool)})
    module = CountedModule(name="fc", layer="lif", dense=30, macs=10)
    spool = OperationsSpool(folder)
    spool.add([module], np.arange(12).reshape(2, 1, 2, 3))  # 0 … 2, then 3 … 5; 6 … 8, then 9 … 11
    with RasterReader(folder / "raster.h5") as raster:
        spool.write(raster)
    spool.discard()
    return folder / OPERATIONS


def test_operations_beside_a_raster_are_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], refused: Callable[..., str]
) -> None:
    path = counted(tmp_path)
    main([str(tmp_path)])
    expected = "operations    24 additions and 42 multiplications in 1 modules"
    assert f"{expected} (operations.safetensors)\nvalid\n" in capsys.readouterr().out
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"\x01")
    changed = f"error: {path}: was changed or damaged after it was written"
    assert refused(main, tmp_path).strip() == changed
    path.write_bytes(content[:-8])
    assert refused(main, tmp_path).startswith(f"error: {path}: not a readable safetensors file")
    path.write_bytes(content)
    spikesam.write_raster(
        tmp_path / "raster.h5", {"lif": np.zeros((2, 3, 1), bool)}, overwrite=True
    )
    assert "counts operations of another raster" in refused(main, tmp_path)
