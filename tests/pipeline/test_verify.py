"""`spikesam verify`: certificates that do not change, and recordings whose faults are named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spikesam
from spikesam.pipeline import export, verify
from tests.pipeline.imports.nir.graphs import nir

T, DT = 30, 1e-4
BITS = np.random.default_rng(0).random((2, T, 6)) < 0.4


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights and neurons, with exact numbers, whose nodes have names of their own."""
    weight = np.random.default_rng(1).integers(-8, 16, (5, 6)).astype(np.float32) / 16
    ones = np.ones(5, np.float32)
    lif = nir.LIF(
        tau=4 * DT * ones, r=4 * ones, v_leak=0 * ones, v_threshold=ones, v_reset=0 * ones
    )
    nodes = {
        "input": nir.Input(np.array([6])),
        "w": nir.Linear(weight),
        "lif": lif,
        "output": nir.Output(np.array([5])),
    }
    path = tmp_path_factory.mktemp("model") / "m.nir"
    nir.write(path, nir.NIRGraph(nodes, [("input", "w"), ("w", "lif"), ("lif", "output")]))
    return path


def recorded(path: Path, model: Path, change: Callable[[Any], Any] = lambda fired: fired) -> Path:
    """What the graph fires, as data of NIR of another program, with a fault."""
    network = spikesam.from_nir(model, T)
    raster = spikesam.simulate(
        network, BITS.swapaxes(0, 1).reshape(T, 2, *network.input_shape), precision="float32"
    )
    fired = change(np.asarray(raster["w"][:]))
    fired = fired[1 : T + 1, :, :, 0, 0].swapaxes(0, 1)
    spikes = {"input": BITS, "lif": fired}
    grids = {
        name: nir.TimeGriddedData(np.ascontiguousarray(each), DT) for name, each in spikes.items()
    }
    nir.write_data(
        path,
        nir.NIRGraphData({name: nir.NIRNodeData({"spikes": each}) for name, each in grids.items()}),
    )
    return path


def code(*words: object) -> int:
    try:
        verify.main([str(word) for word in words])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_a_certificate_is_the_same_when_it_is_made_again(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], refused: Callable[..., str]
) -> None:
    out = tmp_path / "m.json"
    assert code(model, "--timesteps", 30, "--out", out) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == ["all spikes are the same", str(out)]
    certificate = json.loads(out.read_text())
    assert [(run["backend"], run["precision"]) for run in certificate["runs"]] == [
        (backend, precision) for precision in ("float32", "fixed") for backend in ("event", "torch")
    ]
    assert certificate["model"]["network_sha256"] == spikesam.from_nir(model, 30).sha256
    written = out.read_bytes()
    assert code(model, "--timesteps", 30, "--out", out, "--overwrite") == 0
    assert out.read_bytes() == written
    assert code(model, "--check", out) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"all spikes are the same, as in {out}"
    assert "already exists" in refused(verify.main, model, "--timesteps", 30, "--out", out)
    assert "is an input" in refused(
        verify.main, model, "--timesteps", 30, "--out", model, "--overwrite"
    )
    for option in (
        ["--seed", 0],
        ["--samples", 3],
        ["--fires-at-threshold"],
        ["--out", out],
        ["--overwrite"],
    ):
        said = refused(verify.main, model, "--check", out, *option)
        assert f"{option[0]}: has no use beside --check, whose certificate says it" in said


def test_what_a_graph_says_of_its_threshold_can_be_overridden(tmp_path: Path) -> None:
    layer = spikesam.Layer(
        "fc1", spikesam.Input(np.float32([[1.0]])), spikesam.LIF(0.5, fires_at_threshold=True)
    )
    network = spikesam.Network(
        (1, 1, 1), 4, (layer,), spikesam.Readout(np.float32([[1.0]])), "spikes"
    )
    spikesam.to_nir(network, tmp_path / "m.nir")
    fired = {}
    for words in ("", "--fires-at-threshold", "--no-fires-at-threshold"):
        assert (
            code(tmp_path / "m.nir", "--out", tmp_path / "m.json", "--overwrite", *words.split())
            == 0
        )
        certificate = json.loads((tmp_path / "m.json").read_text())
        fired[words] = [run["raster_digest"] for run in certificate["runs"]]
        assert code(tmp_path / "m.nir", "--check", tmp_path / "m.json") == 0
    assert fired[""] == fired["--fires-at-threshold"] != fired["--no-fires-at-threshold"]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"runs": None}, "event, float32: other spikes in w"),
        ({"model": {"sha256": "0" * 64}}, "the file is another one than "),
        ({"input": {"sha256": "0" * 64}}, "the input is another one than "),
    ],
)
def test_another_certificate_is_told(
    change: dict[str, Any],
    line: str,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code(
        model,
        "--timesteps",
        30,
        "--samples",
        1,
        "--backends",
        "event",
        "--out",
        tmp_path / "m.json",
    )
    certificate = json.loads((tmp_path / "m.json").read_text())
    if "runs" in change:
        certificate["runs"][0]["layers"]["w"] = "0" * 64
    else:
        certificate |= change
    (tmp_path / "m.json").write_text(json.dumps(certificate))
    assert code(model, "--check", tmp_path / "m.json") == 1
    assert line in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda fired: fired, ""),
        (lambda fired: np.roll(fired, 1, axis=0), "inputs that act one step later"),
    ],
)
def test_a_recording_is_compared(
    change: Any, cause: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = recorded(tmp_path / "chip.nir", model, change)
    out = tmp_path / "m.json"
    assert code(model, "--recording", recording, "--out", out) == bool(cause)
    printed = capsys.readouterr().out
    assert cause in printed
    assert ("the first: w, step " in printed) == bool(cause)
    assert (json.loads(out.read_text())["recording"]["bits"] == 0) == (not cause)
    assert code(model, "--recording", recording, "--check", out) == 0
    capsys.readouterr()


def test_an_exported_network_agrees_with_its_graph(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = spikesam.from_nir(model, T)
    spikesam.to_nir(network, tmp_path / "ours.nir")
    spikes = BITS.swapaxes(0, 1).reshape(T, 2, *network.input_shape)
    spikesam.simulate(network, spikes, precision="float32", out=tmp_path / "run")
    export.main([str(tmp_path / "run" / "raster.h5"), str(tmp_path / "data.nir")])
    assert (
        code(
            tmp_path / "ours.nir",
            "--recording",
            tmp_path / "data.nir",
            "--out",
            tmp_path / "c.json",
        )
        == 0
    )
    assert "all spikes are the same, as in " in capsys.readouterr().out


def test_what_does_not_fit_is_one_line(
    model: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    out = ("--out", tmp_path / "x.json")
    assert "got no timesteps" in refused(verify.main, model, *out)
    assert "backend is 'gpu', expected one of auto, " in refused(
        verify.main, model, "--timesteps", 3, "--backends", "gpu", *out
    )
    (tmp_path / "no.json").write_text("{}")
    assert "is not a certificate that spikesam verify wrote: format is None" in refused(
        verify.main, model, "--check", tmp_path / "no.json"
    )
    assert "not valid JSON" in refused(verify.main, model, "--check", model)
    other = spikesam.write_raster(tmp_path / "other.h5", {"input": BITS[..., :3]})
    assert "layer 'input': has 3 neurons, expected 6" in refused(
        verify.main, model, "--recording", other, *out
    )
    bare = spikesam.write_raster(tmp_path / "bare.h5", {"w": BITS[..., :5]})
    assert "holds w, expected 'input', the spikes that the graph got" in refused(
        verify.main, model, "--recording", bare, *out
    )
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"settings": {"rate": "x"}}, "settings.rate is 'x', expected a valid number"),
        (
            {"settings": {"samples": -1}},
            "settings.samples is -1, expected greater than or equal to 1",
        ),
        ({"settings": {"seed": -5}}, "settings.seed is -5"),
        ({"settings": {"backends": []}}, "settings.backends"),
        ({"settings": [1]}, "settings"),
        ({"runs": [5]}, "runs"),
        ({"runs": [{"layers": {}}]}, "missing runs.backend[0]"),
        ({"input": None}, "input is None, expected"),
        ({"runs": 7}, "runs"),
        ({"more": 1}, "more"),
    ],
)
def test_a_hostile_certificate_is_one_line(
    change: dict[str, Any], message: str, model: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    path = tmp_path / "m.json"
    code(model, "--timesteps", 5, "--samples", 1, "--backends", "event", "--out", path)
    certificate = json.loads(path.read_text())
    for name, value in change.items():
        both = isinstance(value, dict) and isinstance(certificate.get(name), dict)
        certificate[name] = certificate[name] | value if both else value
    path.write_text(json.dumps(certificate))
    said = refused(verify.main, model, "--check", path)
    assert message in said and "m.json: " in said
