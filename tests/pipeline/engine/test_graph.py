"""Runs of which only maps leave Lava's graph: the bits that recorded spikes give, and nothing that
asks for spikes.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from spikesam.pipeline import merge, report, run
from spikesam.recordings.maps.reader import MapReader

pytest.importorskip("lava", reason="lava-nc is not installed")

SAMPLES = 18  # two ranges: 16 and 2


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A network and images of its classes."""
    from tests.pipeline.small_networks import run_words

    named = run_words(tmp_path_factory.mktemp("workplace"), per_class=6)
    return [*named, "--samples", str(SAMPLES), "--figures", "2", "--gamma", "0.2"]


@pytest.fixture(scope="module")
def on_graph(options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("graph") / "run"
    run.main([*options, "--backend", "lava", "--keep", "maps", "--out", str(out)])
    return out


def digests(out: Path) -> dict[str, Any]:
    """Of all sums, and of all maps step by step, whatever they are called."""
    with h5py.File(out / "sam.h5") as file:
        return {
            f"{name}/{kind}": layer[
                f"{kind}_digest" if kind == "sum" else f"{file.attrs['method']}_digest"
            ][:].tolist()
            for name, layer in file["layers"].items()
            for kind in ("sum", "steps")
        }


def test_the_bits_are_those_that_any_backend_gives(
    options: list[str], on_graph: Path, tmp_path: Path
) -> None:
    for name, keep in (("all", "all"), ("maps", "maps")):
        arguments = ["--backend", "event", "--variant", "fixed", "--keep", keep, "--no-report"]
        run.main([*options, *arguments, "--out", str(tmp_path / name)])
        assert digests(tmp_path / name) == digests(on_graph)
    spikes, graph = (
        json.loads((out / "summary.json").read_text()) for out in (tmp_path / "all", on_graph)
    )
    for same in ("answers", "accuracy", "n_samples", "network_sha256", "precision"):
        assert graph[same] == spikes[same]


def test_nothing_pretends_that_there_is_a_raster(on_graph: Path) -> None:
    files = {"config.toml", "network.safetensors", "pictures.zip", "sam.h5", "summary.json"}
    assert {path.name for path in on_graph.iterdir()} == files | {"figures"}
    summary = json.loads((on_graph / "summary.json").read_text())
    assert summary["raster_digest"] is None
    assert summary["spike_rate"] == {}
    with MapReader(on_graph / "sam.h5") as maps:
        maps.verify()
        assert (maps.header.method, maps.header.source) == ("graph-sam", summary["network_sha256"])
        assert maps.header.parameters == {"gamma": 0.2, "variant": "fixed", "seed": 0}
        assert list(maps) == ["input", "conv1", "conv2"]
        assert maps.header.stepped == 2
        assert all(maps[name].sum.any() for name in maps)
    drawn = {path.name for path in (on_graph / "figures").iterdir()}
    assert drawn == {"overview.png", "graph-sam_000.png", "graph-sam_001.png"}


def test_what_needs_spikes_says_so(
    on_graph: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    said = refused(report.main, str(on_graph), "--out", str(tmp_path / "page.html"))
    assert said.endswith(
        "keeps maps alone, and a page needs every spike; run again with --keep all"
    )


def test_parts_are_the_run_and_no_other_backend_joins_it(
    options: list[str],
    on_graph: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    refused: Callable[..., str],
) -> None:
    out = str(tmp_path / "run")
    on_lava = [*options, "--backend", "lava", "--keep", "maps", "--out", out]
    run.main([*on_lava, "--range", "2/2"])
    capsys.readouterr()
    for other in (
        ["--backend", "event", "--variant", "fixed"],
        ["--backend", "lava", "--variant", "paper"],
    ):
        said = refused(run.main, *options, "--keep", "maps", *other, "--out", out, "--resume")
        assert (
            "maps leave Lava's graph there and are made of spikes here, as backend, keep and "
            "variant decide" in said
        )
    run.main([*on_lava, "--range", "1/2"])
    merge.main([out])
    before = (tmp_path / "run" / "sam.h5").read_bytes()
    said = refused(
        run.main, *options, "--keep", "maps", "--backend", "event", "--out", out, "--resume"
    )
    assert (
        "sam.h5: cannot resume: maps leave Lava's graph there and are made of spikes here" in said
    )
    assert (tmp_path / "run" / "sam.h5").read_bytes() == before
    with h5py.File(tmp_path / "run" / "sam.h5") as parts, h5py.File(on_graph / "sam.h5") as whole:
        assert parts.attrs["content_digest"] == whole.attrs["content_digest"]


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        (["--gamma", "0.00001"], "gamma: got 1e-05, whose decay rounds to 0 of 4096"),
        (["--gamma", "10"], "gamma: got 10, whose decay rounds to 4096 of 4096"),
        (["--precision", "float32"], "lava: maps leave the graph in fixed point only"),
        (["--layers", "conv1", "fc1"], "layers: layer 'fc1' has no places"),
        (["--layers", "conv7"], "layers: no layer 'conv7'"),
        (
            ["--backend", "event", "--variant", "fixed", "--gamma", "0.00001"],
            "gamma: got 1e-05, whose decay rounds",
        ),
    ],
)
def test_what_a_graph_cannot_give_is_refused_before_it_is_built(
    options: list[str], tmp_path: Path, extra: list[str], says: str, refused: Callable[..., str]
) -> None:
    arguments = [
        *options,
        "--backend",
        "lava",
        "--keep",
        "maps",
        "--out",
        str(tmp_path / "run"),
        *extra,
    ]
    assert says in refused(run.main, *arguments)
    assert not (tmp_path / "run").exists() or not any((tmp_path / "run").iterdir())


def test_real_numbers_may_be_asked_for_on_lava_too(options: list[str], tmp_path: Path) -> None:
    """Then spikes leave the graph, are explained, and dropped."""
    for backend in ("lava", "event"):
        arguments = ["--backend", backend, "--keep", "maps", "--variant", "paper", "--samples", "2"]
        run.main([*options, *arguments, "--out", str(tmp_path / backend)])
    with (
        h5py.File(tmp_path / "lava" / "sam.h5") as lava,
        h5py.File(tmp_path / "event" / "sam.h5") as event,
    ):
        assert lava.attrs["variant"] == "paper"
        assert lava.attrs["content_digest"] == event.attrs["content_digest"]
        assert not np.isclose(lava["layers/001_conv1/sum"][0] * 256 % 1, 0).all()
