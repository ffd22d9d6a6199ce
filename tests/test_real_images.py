"""Real photographs through the bundled network: the same bits whoever simulates them, killed or
not.
"""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from spikesam.pipeline import run

ROOT = Path(__file__).resolve().parents[1]


def arguments(shared: Path, out: Path, *extra: str) -> list[str]:
    data = shared / "data" / "tiny-imagenet-20.zip"
    common = [
        "--checkpoint",
        "tiny-imagenet-10",
        "--data",
        str(data),
        "--samples",
        "10",
        "--figures",
        "0",
    ]
    return [*common, "--out", str(out), *extra]


def outcome(out: Path) -> tuple[str, float, dict[str, np.ndarray]]:
    """Raster digest, accuracy and the summed maps of a run."""
    summary = json.loads((out / "summary.json").read_text())
    with h5py.File(out / "sam.h5") as file:
        maps = {name: layer["sum"][:] for name, layer in file["layers"].items()}
    return summary["raster_digest"], summary["accuracy"], maps


@pytest.fixture(scope="module")
def on_torch(shared, tmp_path_factory):
    """Ten validation images, one of each class, on the torch backend."""
    out = tmp_path_factory.mktemp("real") / "torch"
    run.main(arguments(shared, out, "--backend", "torch"))
    return outcome(out)


def test_ten_photographs_are_mostly_recognised(on_torch):
    _, accuracy, maps = on_torch
    assert accuracy >= 0.6  # 82 % of all 250; one of each class is drawn here
    assert list(maps) == ["000_input", *(f"00{n}_conv{n}" for n in range(1, 7))]


@pytest.mark.parametrize("backend", ["event", "lava"])
def test_the_same_bits_and_maps(shared, on_torch, tmp_path, backend):
    run.main(arguments(shared, tmp_path / "other", "--backend", backend))
    digest, _, maps = outcome(tmp_path / "other")
    assert digest == on_torch[0]
    for name, expected in on_torch[2].items():
        assert np.array_equal(maps[name], expected)
