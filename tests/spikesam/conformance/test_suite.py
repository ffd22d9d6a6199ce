"""The suite for readers of NIR: its cases, what it says of a program that reads an equation in
another way, and what it needs.
"""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

nir = pytest.importorskip("nir")

from spikesam import conformance  # noqa: E402
from spikesam.conformance import Case, __main__  # noqa: E402
from spikesam.conformance._case import evaluate as equations  # noqa: E402
from spikesam.conformance._equations import Reading  # noqa: E402
from spikesam.conformance._graph import flat, kind_of  # noqa: E402
from spikesam.conformance._readings import OTHERS, OtherReading, read_otherwise  # noqa: E402

ROOT = Path(__file__).parents[3]
CASES = conformance.cases()
BY_NAME = {str(case): case for case in CASES}
# SHA-256 of the spikes and of what comes out, rounded, of all cases
DIGEST = "4774dad28fac90573f30f7edf3aff5f3fc4a38bae894ca4d14980c8459cf4765"
# the nodes of cases in which a membrane meets its threshold
MET = {
    **{f"{node}: meets its threshold": ["fc1_n"] for node in ("IF", "LIF", "CubaLIF")},
    "Threshold: is met": ["fc1_n"],
    "Threshold: 0": ["fc1_n"],
}


def reads_otherwise(*others: OtherReading) -> Callable[[Case], Callable[..., Any]]:
    """A program that has other readings of the equations."""

    def program(case: Case) -> Callable[..., Any]:
        def run(graph: Any, spikes: Any) -> Any:
            expected = read_otherwise(case, others, len(spikes))
            return {**expected.spikes, "output": expected.output}

        return run

    return program


def test_every_node_of_nir_has_cases() -> None:
    kinds = {kind_of(node) for case in CASES for node in flat(case.graph()).nodes.values()}
    abstract = {"NIRNode", "NIRGraph"}
    names = {name for name in nir.ir.__all__ if isinstance(getattr(nir, name, None), type)}
    assert kinds == names - abstract
    assert {case.node for case in CASES} == kinds - {"Input", "Output"} | {"graph"}
    assert any(kind_of(node) == "NIRGraph" for c in CASES for node in c.graph().nodes.values())
    assert len(BY_NAME) == len(CASES) >= 80


def test_neither_rounding_nor_where_membranes_start_decides() -> None:
    for case in CASES:
        graph = flat(case.graph())
        for name in case.expected.spikes:
            node = graph.nodes[name]
            threshold = np.asarray(getattr(node, "v_threshold", getattr(node, "threshold", 0.0)))
            apart = np.abs(case.expected.membranes[name] - threshold)
            met = apart == 0
            assert met.any() == (name in MET.get(str(case), ())), str(case)
            assert np.all(met | (apart > 1e-5 * np.maximum(threshold, 0.1))), str(case)
        for start in ("0", "v_leak"):
            other = equations(graph, Reading(case.dt, start=start), case.input)  # type: ignore[arg-type]
            for name, spikes in case.expected.spikes.items():
                assert np.array_equal(spikes, other.spikes[name]), str(case)


def test_every_layer_fires_and_is_silent() -> None:
    for case in CASES:
        for name, spikes in case.expected.spikes.items():
            assert 0.02 < spikes.mean() < 0.98, f"{case}, {name}"


def test_the_expected_spikes_are_those_of_every_machine_and_version() -> None:
    digest = hashlib.sha256()
    for case in CASES:
        digest.update(str(case).encode())
        for name, spikes in sorted(case.expected.spikes.items()):
            digest.update(name.encode() + np.packbits(spikes > 0).tobytes())
        digest.update(np.round(case.expected.output, 4).astype(np.float32).tobytes())
    assert digest.hexdigest() == DIGEST


@pytest.mark.parametrize("other", OTHERS, ids=lambda other: other.words)
def test_another_reading_is_named(other: OtherReading) -> None:
    """Some case tells it from all others; in none is a false one said."""
    alone = 0
    for case in CASES:
        graph_kinds = {kind_of(node) for node in flat(case.graph()).nodes.values()}
        concerned = case.node in {*other.kinds, "graph"} and graph_kinds & {*other.kinds}
        if not (concerned or (not other.kinds and case.dt != other.rules["dt"])):
            continue
        try:
            program = reads_otherwise(other)(case)
            (result,) = conformance.check(program, [case]).results
        except ValueError:
            continue
        if result.verdict == "differs":
            assert result.readings, str(result)
            alone += result.readings == (other.words,)
            if alone == 1 and result.readings == (other.words,):
                assert result.nir_decides == other.nir_decides
                return
    assert alone


def test_two_readings_together_are_named() -> None:
    case, words = BY_NAME["LIF: τ = 4 steps"], {other.words: other for other in OTHERS}
    both = (
        "several spikes in a step, one for each threshold that v has",
        "1 - exp(-dt/τ) in place of dt/τ",
    )
    program = reads_otherwise(*(words[name] for name in both))(case)
    (result,) = conformance.check(program, [case]).results
    assert {*result.readings} == {*both}


def test_a_program_that_never_fires_has_no_other_reading() -> None:
    """A small enough gain is silent, too: of that nothing is known."""
    (result,) = conformance.check(lambda _, spikes: spikes[:, :5] * 0, CASES[:1]).results
    assert result.readings == ("nothing comes out, whatever comes in",)


def test_what_no_reading_gives_is_said() -> None:
    def noise(graph: Any, spikes: Any) -> Any:
        return np.random.default_rng(0).random((len(spikes), 5)) < 0.5

    (result,) = conformance.check(noise, CASES[:1]).results
    assert result.verdict == "differs" and result.readings == ()
    assert "reading: of none that is known" in str(result)


def test_a_program_gets_the_graph_the_input_and_dt() -> None:
    seen: list[Any] = []

    def run(graph: Any, spikes: Any) -> Any:
        seen.append((type(graph).__name__, graph.metadata, spikes.dtype, spikes.shape))
        graph.nodes.clear()  # a program may change what it gets
        spikes[:] = 0
        raise NotImplementedError("no such node")

    case = BY_NAME["Conv2d: padding 1"]
    before = case.input.copy()
    report = conformance.check(run, [case])
    assert seen == [("NIRGraph", {"dt": case.dt}, np.float32, (64, 2, 8, 8))]
    assert str(report).endswith("Conv2d: padding 1: not read: NotImplementedError: no such node")
    assert np.array_equal(case.input, before) and case.graph().nodes


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            np.zeros((64, 4)),
            "ValueError: run gave float64 of shape (64, 4) for 'output', expected "
            "numbers of shape (64, 5)",
        ),
        (
            {"fc9": np.zeros((64, 5))},
            "ValueError: run gave spikes of node 'fc9', expected some of 'fc1_n', 'output'",
        ),
        ({}, "ValueError: run gave nothing, expected spikes of some nodes"),
        (
            "spikes",
            "ValueError: run gave <U6 of shape () for 'output', expected numbers of shape (64, 5)",
        ),
    ],
)
def test_what_a_program_must_not_give(given: Any, message: str) -> None:
    (result,) = conformance.check(lambda graph, spikes: given, CASES[:1]).results
    assert (result.verdict, result.message) == ("not read", message)


def test_not_a_number_differs() -> None:
    (result,) = conformance.check(lambda *_: np.full((64, 5), np.nan), CASES[:1]).results
    assert result.bits == 64 * 5


def test_the_page_counts_cases_and_readings_as_they_are() -> None:
    page = (ROOT / "docs/conformance.md").read_text(encoding="utf-8")
    assert f"has {len(CASES)} small graphs" in page
    assert f"six of {len(OTHERS)} together" in page
    grouped = [
        case
        for case in CASES
        if any(np.any(getattr(node, "groups", 1) != 1) for node in case.graph().nodes.values())
    ]
    assert len(grouped) == 4 and "the four graphs with groups" in page


def test_the_page_s_code_runs(tmp_path: Path) -> None:
    page = (ROOT / "docs/conformance.md").read_text(encoding="utf-8")
    code, test = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len([line for line in code.splitlines() if line]) <= 15
    (printed,) = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    (tmp_path / "reader.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "reader.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == printed
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["spikesam.conformance.plugin"]\n')
    (tmp_path / "test_reader.py").write_text(f"from reader import run\n\n\n{test}")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-k",
        "IF and not LIF and not behind",
    ]
    for more in ([], ["-n", "2"]):
        tested = subprocess.run(
            [*command, *more], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert tested.returncode == 1
        assert "\nIF              18       1         0\n" in tested.stdout, tested.stdout
        assert "reading: v = threshold fires, too\n" in tested.stdout
        assert "1 failed, 18 passed" in tested.stdout


def test_it_needs_numpy_and_nir_alone() -> None:
    """In a process where nothing else of the environment can be imported."""
    code = """
import sys
ALLOWED = {"spikesam", "numpy", "nir", "h5py", "lazy_loader", "packaging"}  # nir needs h5py
class Refuse:
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top not in ALLOWED and top not in sys.stdlib_module_names:
            raise ImportError(name)
        if name.startswith(("spikesam.backends", "spikesam.pipeline", "spikesam.recordings")):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
from spikesam import conformance
print(conformance.check(lambda graph, spikes: spikes[:, :5] * 0, conformance.cases("IF")[:1]))
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].split() == ["IF", "0", "1", "0"]


def test_cases_as_files(tmp_path: Path) -> None:
    names = ["LIF: meets its threshold", "graph: names with spaces", "Delay: by neuron"]
    chosen = [BY_NAME[name] for name in names]
    paths = conformance.write_cases(tmp_path / "cases", chosen)
    listed = json.loads((tmp_path / "cases" / "cases.json").read_text(encoding="utf-8"))
    assert [entry["file"] for entry in listed] == [path.stem for path in paths]
    for path, case, entry in zip(paths, chosen, listed, strict=True):
        assert (entry["dt"], entry["equation"]) == (case.dt, case.equation)
        graph = nir.read(path)
        assert {*graph.nodes} == {*case.graph().nodes}
        with np.load(path.with_suffix(".npz")) as arrays:
            again = equations(flat(graph), Reading(case.dt), arrays["input"])
            assert np.array_equal(again.output, arrays["output"])
            for name, spikes in again.spikes.items():
                assert np.array_equal(spikes > 0, arrays[f"spikes/{name}"])
            for name, membrane in again.membranes.items():
                assert np.array_equal(membrane, arrays[f"membranes/{name}"])


def test_every_case_can_be_written(tmp_path: Path) -> None:
    assert len({path.name for path in conformance.write_cases(tmp_path)}) == len(CASES)


def test_the_command(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    (tmp_path / "silent.py").write_text("def run(graph, spikes):\n    return spikes[:, :5] * 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    assert __main__.main(["silent:run", "--node", "Linear"]) == 1
    assert "\nLinear           0       2         0\n" in capsys.readouterr().out
    assert __main__.main(["--write", "files", "--node", "Linear"]) == 0
    assert capsys.readouterr().out == "files: 2 graphs\n"
    for arguments, message in {
        (): "got neither MODULE:FUNCTION nor --write, expected one of them",
        ("silent:walk",): "module 'silent' has no attribute 'walk'",
        ("absent:run",): "No module named 'absent'",
        ("silent:run", "--node", "Spike"): "no case is about 'Spike', expected some of IF, LIF",
    }.items():
        with pytest.raises(SystemExit, match="2"):
            __main__.main([*arguments])
        assert message in capsys.readouterr().err
