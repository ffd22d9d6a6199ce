"""The suite through libraries: what differs is named, what is not read is said."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import agreement, readers
from benchmarks.common.measurement import Options
from benchmarks.readers import __main__ as one_library
from spikesam import InputError, conformance

CASES = [str(case) for case in conformance.cases()]
MODULES = {"lava": "lava", "norse": "norse", "snntorch": "snntorch", "spikingjelly": "spikingjelly"}


def test_a_file_says_what_its_library_needs() -> None:
    assert len(readers.libraries()) >= 10
    for library in readers.libraries():
        about = readers.runner(library)
        assert about.NAME
        assert about.DISTRIBUTION
        pinned = (*getattr(about, "PACKAGES", ()), *getattr(about, "ENVIRONMENT", ()))
        assert all("==" in package for package in pinned)
        assert not (hasattr(about, "PACKAGES") and hasattr(about, "ENVIRONMENT"))


@pytest.mark.parametrize(
    ("library", "said"),
    [
        ("spikesam", {"IF: r = 1/dt": "", "IF: r = 1, dt = 1": ""}),
        ("lava", {"IF: r = 1/dt": "", "IF: r = 1, dt = 1": ""}),
        ("snntorch", {"IF: r = 1/dt": "AssertionError: r != 1 not supported"}),
        ("spikingjelly", {"IF: r = 2, dt = 1": "ValueError: nir.IF.r must equal 1 / dt."}),
        ("norse", {"IF: r = 1/dt": "", "IF: r = 2, dt = 1": " | the input is added as x, "}),
    ],
)
def test_a_library_is_compared(library: str, said: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip(MODULES.get(library, "spikesam"))
    rows = {row.case: row for row in agreement.of_library(library, Options(tiny=True), tmp_path)}
    assert len(rows) == agreement.TINY
    for name, expected in said.items():
        row = rows[name]
        assert expected in row.note
        assert row.way.startswith(f"{readers.runner(library).NAME} ")
        assert (row.unit == "not read") == ("Error" in expected)
        assert row.reached is (None if row.unit == "not read" else not expected)


@pytest.mark.parametrize("backend", ["spikesam", "spikesam_torch"])
def test_ours_differs_on_no_graph(backend: str) -> None:
    report = conformance.check(readers.runner(backend).run)
    assert report.count("differs") == 0
    assert report.count("agrees") >= 164
    refusals = [result.message for result in report.results if result.verdict == "not read"]
    assert all(message.startswith("NetworkError: node '") for message in refusals)


@pytest.fixture(scope="module")
def verdicts_of_lava(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Verdicts by case, of a process of its own: Lava sets how processes start when it is imported,
    which fails where another test has started one.
    """
    if find_spec("lava") is None:
        pytest.skip("needs Lava")
    path = tmp_path_factory.mktemp("lava") / "lava.json"
    command = [sys.executable, "-m", "benchmarks.readers", "lava", str(path)]
    subprocess.run(command, cwd=agreement.ROOT, check=True, capture_output=True)
    results = json.loads(path.read_text(encoding="utf-8"))["results"]
    return {result["case"]: result["verdict"] for result in results}


@pytest.mark.parametrize("kind", ["Conv1d", "Conv2d", "Scale", "Flatten"])
def test_what_stands_in_for_a_reader_sums_as_nodes_do(
    kind: str, verdicts_of_lava: dict[str, str]
) -> None:
    """Lava has none: its float model fires as NIR's equations say."""
    of_kind = [str(case) for case in conformance.cases(kind)]
    assert of_kind
    assert {verdicts_of_lava[case] for case in of_kind} == {"agrees"}


def test_a_library_that_fails_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.CompletedProcess(
        [], 1, "", "Traceback\nModuleNotFoundError: No module named 'spyx'\n"
    )
    monkeypatch.setattr("benchmarks.agreement.which", lambda name: "/usr/bin/uv")
    monkeypatch.setattr("benchmarks.agreement.subprocess.run", lambda *_, **__: done)
    rows = list(agreement.of_library("spyx", Options(tiny=True), tmp_path))
    assert {(row.way, row.unit) for row in rows} == {("Spyx", "not read")}
    assert {row.note for row in rows} == {"ModuleNotFoundError: No module named 'spyx'"}
    with pytest.raises(InputError, match=r"^sinabs==3.* and nir==1.0.4 .*uv cannot install them: "):
        next(agreement.of_library("sinabs", Options(tiny=True), tmp_path))


def test_a_library_that_takes_too_long_or_is_missing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("python", 1)

    monkeypatch.setattr("benchmarks.agreement.subprocess.run", late)
    rows = list(agreement.of_library("spikesam", Options(tiny=True), tmp_path))
    assert {row.note for row in rows} == {f"takes more than {agreement.SECONDS} s"}
    monkeypatch.setattr("benchmarks.readers.lava.DISTRIBUTION", "no-such-distribution")
    rows = list(agreement.of_library("lava", Options(tiny=True), tmp_path))
    assert {row.note for row in rows} == {"not installed"}


def test_packages_of_their_own_need_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.agreement.which", lambda name: None)
    with pytest.raises(InputError, match=r"^spyx: needs packages of its own, .* there is no uv; "):
        next(agreement.of_library("spyx", Options(tiny=True), tmp_path))


def test_results_are_written_as_json(tmp_path: Path) -> None:
    path = tmp_path / "spikesam.json"
    assert one_library.main(["spikesam", str(path), "--first", "1"]) == 0
    about = json.loads(path.read_text(encoding="utf-8"))
    assert about["name"] == "spikesam"
    assert {*about["versions"]} == {"spikesam", "nir"}
    (result,) = about["results"]
    assert (result["case"], result["verdict"], result["bits"]) == (CASES[0], "agrees", 0)


def test_the_committed_run_has_every_graph_and_library() -> None:
    path = Path(__file__).parents[2] / "docs" / "performance" / "agreement.json"
    run = json.loads(path.read_text(encoding="utf-8"))
    rows = run["rows"]["agreement"]
    assert {row["case"] for row in rows} == {*CASES}
    assert len(CASES) >= 80
    assert len(rows) == len(CASES) * len(readers.libraries())
    assert all(row["note"] for row in rows if row["median"])
