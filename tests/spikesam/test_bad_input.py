"""What a new user gets wrong is one line that says what would be right, whatever was given."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spikesam
from tests.spikesam.odd_arguments import network

SPIKES = np.random.default_rng(0).random((3, 6, 2, 4, 5)) < 0.3  # (N, T, C, H, W)


@pytest.fixture(scope="module")
def checkpoint(workplace: Path) -> spikesam.Checkpoint:
    return spikesam.load(workplace / "snn.safetensors")


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    return spikesam.write_raster(tmp_path / "mine.h5", {"conv1": SPIKES, "conv2": SPIKES[:, :, :1]})


def test_layers(raster: Path, tmp_path: Path) -> None:
    assert spikesam.explain(raster).path == tmp_path / "mine.sam.h5"
    with spikesam.explain(raster, out=tmp_path / "one.h5", layers="conv2") as maps:
        assert list(maps) == ["conv2"]
    with spikesam.open_raster(raster) as opened:
        for wrong in ("conv3", 3.5, None):
            with pytest.raises(spikesam.InputError, match="no layer .*; did you mean"):
                opened[wrong]
        assert np.array_equal(np.asarray(opened["conv1"]), SPIKES.swapaxes(0, 1))
        assert np.array_equal(spikesam.sam(opened["conv1"]), spikesam.sam(SPIKES.swapaxes(0, 1)))
        assert opened.labels.tolist() == [-1, -1, -1]


def test_a_closed_raster_says_so(raster: Path) -> None:
    with spikesam.open_raster(raster) as opened:
        pass
    with pytest.raises(spikesam.InputError, match="is closed; open it again"):
        opened["conv1"][0]


def test_networks_and_checkpoints(checkpoint: spikesam.Checkpoint, tmp_path: Path) -> None:
    layer = checkpoint.network.layers[0]
    with pytest.raises(spikesam.InputError, match=r"at least one layer, in a tuple: \(layer,\)"):
        spikesam.Network((6, 16, 24), 8, layer, checkpoint.network.readout)
    with pytest.raises(
        spikesam.InputError, match="cannot be written .*; expected the name of a file"
    ):
        spikesam.save(checkpoint, tmp_path)
    assert list(tmp_path.parent.glob("*.tmp")) == []


def test_image_files_that_are_named_are_all_simulated(
    checkpoint: spikesam.Checkpoint, workplace: Path
) -> None:
    files = sorted(workplace.rglob("*.png"))
    assert spikesam.simulate(checkpoint, files).n_samples == 21
    assert spikesam.simulate(checkpoint, files, samples=2).n_samples == 2


def test_what_a_backend_refuses_leaves_nothing(
    checkpoint: spikesam.Checkpoint, tmp_path: Path
) -> None:
    """Input spikes of another shape are found when the first batch is simulated."""
    spikes = np.zeros((8, 1, 2, 16, 24), np.uint8)
    with pytest.raises(spikesam.InputError, match=r"got input spikes of \(T, N, C, H, W\) = "):
        spikesam.simulate(checkpoint.network, spikes, out=tmp_path / "out", backend="torch")
    assert not any(tmp_path.iterdir())


PREPARED: dict[str, Any] = {"method": "occlusion", "samples": 1}
OTHER_TYPES: list[tuple[Callable[[spikesam.RasterReader], object], str]] = [
    (
        lambda raster: spikesam.explain(SPIKES),
        r"explain: got ndarray, expected a raster or its path; sam\(\) maps",
    ),
    (lambda raster: spikesam.open_raster(3), "raster: got int, expected the path of a raster file"),
    (
        lambda raster: spikesam.write_raster("a.h5", SPIKES),
        "write_raster: layers is of type ndarray, expected layers by name, such",
    ),
    (
        lambda raster: spikesam.explain(raster, layers=["conv1,conv2"]),
        "name several one by one, without commas",
    ),
    (
        lambda raster: spikesam.quantise(spikesam.load("x")),
        "quantise: got Checkpoint, expected a Network, such as",
    ),
    (
        lambda raster: spikesam.Checkpoint(1, 2, (), ()),
        "Checkpoint: network is 1, expected a Network",
    ),
    (lambda raster: spikesam.sam(SPIKES, gamma="a"), "sam: gamma is 'a', expected a number"),
    (lambda raster: spikesam.sam([[1, 0], [1]]), "SAM: got lists of several lengths, expected an"),
    (
        lambda raster: spikesam.simulate(network(), np.zeros((4, 0, 1, 4, 4), np.uint8)),
        "number of samples is 0, expected 1 to",
    ),
    (
        lambda raster: spikesam.simulate("x" * 10_000, np.zeros((2, 1, 1, 1, 1), np.uint8)),
        "neither a bundled one",
    ),
    (
        lambda raster: spikesam.explain(raster, gamma="a"),
        r"explain: gamma is 'a', expected a number",
    ),
    (
        lambda raster: spikesam.explain(raster, include_current="no"),
        "include_current is 'no', expected True or False",
    ),
    (
        lambda raster: spikesam.explain(raster, layers=3),
        "explain: layers is 3, expected names or numbers of layers",
    ),
    (lambda raster: spikesam.explain(raster, steps=3), "explain: steps is 3, expected a text"),
    (
        lambda raster: spikesam.explain(raster, pictured="x"),
        "explain: pictured is 'x', expected a whole number",
    ),
    (
        lambda raster: spikesam.explain(raster, out=b"x"),
        "out is of type bytes, expected a text, a path or None",
    ),
    (
        lambda raster: spikesam.explain("x", **PREPARED, data=3),
        "explain: data: got int, expected images",
    ),
    (
        lambda raster: spikesam.explain("x", **PREPARED, data=Path("x", "y")),
        "x/y: no such data set or file",
    ),
    (
        lambda raster: spikesam.explain("x", **PREPARED, seed=1 << 63),
        r"seed is \d+, expected a whole number below",
    ),
    (
        lambda raster: spikesam.simulate("x", backend=3),
        "backend is of type int, expected its name, or a Backend",
    ),
    (
        lambda raster: spikesam.simulate("x", batch_size=2.5),
        "batch_size is 2.5, expected a whole number",
    ),
    (
        lambda raster: spikesam.simulate("x", samples=True),
        "samples is True, expected a whole number or None",
    ),
    (lambda raster: spikesam.simulate("x", tracker=3), "tracker is 3, expected a Tracker"),
    (lambda raster: spikesam.report(3), "report: runs is 3, expected a text, a path or a list"),
    (
        lambda raster: spikesam.measure(3, []),
        "maps: got int, expected the path of a finished file of maps",
    ),
    (lambda raster: spikesam.save(3, "x"), "save: got int, expected a Checkpoint or a Network"),
    (
        lambda raster: spikesam.train(3),
        "config: got int, expected a dictionary, or the path of a TOML file",
    ),
    (lambda raster: spikesam.compact(3), "compact: network is 3, expected a Network"),
    (lambda raster: spikesam.ternary_planes(3), "ternary_planes: layer is 3, expected a Layer"),
    (lambda raster: spikesam.read_events(3), "read_events: path is 3, expected a text or a path"),
]


@pytest.mark.parametrize(("call", "said"), OTHER_TYPES)
def test_arguments_of_another_type(
    call: Callable[[Any], object],
    said: str,
    raster: Path,
    checkpoint: spikesam.Checkpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spikesam.save(checkpoint, tmp_path / "x")
    monkeypatch.chdir(tmp_path)
    with spikesam.open_raster(raster) as opened, pytest.raises(spikesam.InputError, match=said):
        call(opened)


def test_numbers_of_numpy_and_one_path_are_taken(
    raster: Path, workplace: Path, tmp_path: Path
) -> None:
    with spikesam.explain(
        raster, out=tmp_path / "maps.h5", gamma=np.float32(0.5), pictured=np.int64(1)
    ) as maps:
        assert maps.n_samples == 3
    network, images = workplace / "snn.safetensors", workplace / "images"
    (named, given) = (
        spikesam.explain(network, method="occlusion", data=data, samples=1)
        for data in (str(images), images)
    )
    assert np.array_equal(named["input"].sum[0], given["input"].sum[0])
