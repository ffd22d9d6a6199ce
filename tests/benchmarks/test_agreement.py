"""Graphs of NIR through other libraries: what does not agree is named, what is not read is said."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

import spikesam
from benchmarks import agreement
from benchmarks.common import nir_graphs, nir_readers
from benchmarks.common.measurement import Options
from spikesam import InputError

EXAMPLES = {example.name: example for example in nir_graphs.examples()}


def test_there_are_thirty_graphs_that_this_project_reads() -> None:
    assert len(EXAMPLES) >= 30
    for example in EXAMPLES.values():
        network = spikesam.from_nir(example.build(), 4, dt=example.dt)
        assert len(network.layers) == len(nir_graphs.spiking_nodes(example.build()))


@pytest.mark.parametrize(
    ("library", "said"),
    [
        ("Lava", {"IF": "", "IF, r = 1": ""}),
        (
            "snnTorch",
            {"IF": "AssertionError: r != 1 not supported", "IF, r = 1": "it has another rule"},
        ),
        ("SpikingJelly", {"IF": "firing at the threshold, too"}),
        ("Norse", {"IF": "", "IF, r = 1": ""}),
    ],
)
def test_a_library_is_compared(library: str, said: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip({"Lava": "lava"}.get(library, library.lower()))
    rows = {row.case: row for row in agreement.of_library(library, Options(tiny=True), tmp_path)}
    assert len(rows) == agreement.TINY
    for name, expected in said.items():
        row = rows[name]
        assert expected in row.note
        assert (row.unit == "not read") == ("Error" in expected)
        assert row.reached is (None if row.unit == "not read" else not expected)
        assert ("neuron (" in row.note) == (row.unit == "bits" and bool(expected))


def test_our_backends_agree() -> None:
    assert {row.values for row in agreement.of_backend(Options(tiny=True))} == {(0.0,)}


@pytest.mark.parametrize("kind", ["Conv1d", "Conv2d"])
def test_what_stands_in_for_readers_sums_as_convolutions_do(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lava has none: its float model on a graph with groups, strides and dilation fires as NIR's
    equations say.
    """
    pytest.importorskip("lava")
    monkeypatch.setattr(
        "multiprocessing.set_start_method", lambda method: None
    )  # as Lava does on import
    example = EXAMPLES[f"{kind}, stride 2, dilation 2, groups 2"]
    known = agreement.reference(example)
    fired = nir_readers.READERS["Lava"](example.build, example.dt, example.spikes()[0])
    ours = known.raster["conv1"][:][1 : nir_graphs.STEPS + 1, 0]
    assert fired["conv1_n"].any()
    assert np.array_equal(fired["conv1_n"].reshape(ours.shape) > 0, ours)


def test_a_library_that_fails_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.CompletedProcess(
        [], 1, "", "Traceback\nModuleNotFoundError: No module named 'norse'\n"
    )
    monkeypatch.setattr("benchmarks.agreement.subprocess.run", lambda *_, **__: done)
    rows = list(agreement.of_library("Norse", Options(tiny=True), tmp_path))
    assert {row.note for row in rows} == {"ModuleNotFoundError: No module named 'norse'"}
    with pytest.raises(
        InputError,
        match="sinabs: asks for nir==1.0.4 and nirtorch==2.0.2, which pip cannot install: Mod",
    ):
        agreement.own_packages("sinabs", tmp_path)


def test_the_committed_run_has_every_graph_and_library() -> None:
    path = Path(__file__).parents[2] / "docs" / "performance" / "agreement.json"
    run = json.loads(path.read_text(encoding="utf-8"))
    rows = run["rows"]["agreement"]
    assert {row["case"] for row in rows} == {*EXAMPLES}
    assert len(rows) == len(EXAMPLES) * (len(nir_readers.READERS) + 1)
    assert all(row["note"] for row in rows if row["median"])
