"""The command from end to end, with --tiny."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import __main__ as command
from benchmarks.common.environment import (
    UP_TO,
    machine,
    missing_lava,
    missing_spikingjelly,
    new_process,
)
from benchmarks.common.measurement import (
    KEEP_FREED_MEMORY,
    CaseMaker,
    MeasuredRow,
    Options,
)
from benchmarks.common.results import noted_command
from spikesam import InputError
from spikesam.backends.event.kernels.private_numba import processor

TINY = ("--tiny", "--repeats", "1")


def rows_by_way(path: Path, name: str) -> dict[str, list[dict]]:
    rows: dict[str, list[dict]] = {}
    for row in json.loads(path.read_text())["rows"][name]:
        rows.setdefault(row["way"], []).append(row)
    return rows


@pytest.mark.parametrize("folder", [["--out", "/my/own"], ["--out=/my/own"]])
def test_the_command_is_noted_without_its_folder(folder):
    noted = noted_command("python -m benchmarks", ["sam", *folder, "--repeats", "3", "a b"])
    assert noted == "python -m benchmarks sam --repeats 3 'a b'"


def test_sam_writes_json_and_a_plot(tmp_path, capsys):
    command.main(["sam", *TINY, "--out", str(tmp_path)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["benchmarks.json", "sam.png"]
    result = json.loads((tmp_path / "benchmarks.json").read_text())
    assert result["command"] == "python -m benchmarks sam --tiny --repeats 1"
    options = {
        "repeats": 1,
        "seed": 0,
        "instructions": "all",
        "data": None,
        "only": "all",
        "tiny": True,
    }
    assert result["options"] == options
    assert {"cpu", "vectors", "cores", "memory", "load", "system"} == set(result["machine"])
    assert {"python", "numpy", "numba", "torch", "snntorch"} <= set(result["versions"])
    assert result["commit"]
    rows = rows_by_way(tmp_path / "benchmarks.json", "sam")
    assert {"event-driven", "authors' loop", "NumPy"} <= set(rows)
    (ratio,) = rows["one pass from packed bits ÷ maps, then summed"]
    assert (ratio["case"], ratio["unit"]) == ("summed SAM of 8×4×4, T 6", "×")
    assert {row["x"] for row in rows["NumPy"] if row["sweep"] == "T"} == {6, 12}
    assert all(row["median"] > 0 and row["repeats"] == 1 for way in rows.values() for row in way)
    printed = capsys.readouterr().out
    assert "authors' loop" in printed
    assert str(tmp_path / "sam.png") in printed


def test_raster_leaves_no_files_behind(tmp_path):
    command.main(["raster", *TINY, "--out", str(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["benchmarks.json"]
    rows = rows_by_way(tmp_path / "benchmarks.json", "raster")
    assert {"spikesam", "bits, gzip 1", "bool, gzip 4"} <= set(rows)
    assert {row["unit"] for row in rows["spikesam"]} == {
        "bits per spike",
        "MB/s written",
        "MB/s read",
    }


@pytest.mark.skipif(bool(missing_lava()), reason="Lava cannot run here")
def test_lava_measures_both_kinds_of_models(tmp_path):
    """In this process: each case, of which the command would send every one to a process of its
    own.
    """
    rows = [
        row
        for case in importlib.import_module("benchmarks.lava").cases(
            Options(repeats=1, tiny=True), tmp_path
        )
        if case.name != "20% firing"  # measured as at 10 %
        for row in case.rows()
    ]
    maps = {"every spike", "maps of all layers", "maps of the deepest", "sums of all layers"}
    others = {"event-driven models", "Lava's models"}
    assert {row.way for row in rows} == maps | others
    assert all(row.median > 0 for row in rows)
    leaving = {row.way: row.median for row in rows if row.unit == "kB/step"}
    raster = (
        6 * 16 * 16 / 8 + 4 * 16 * 16 / 8 + 8 * 8 * 8 / 8 + 1
    )  # bytes of input, conv1, conv2 and fc1
    assert leaving["every spike"] == pytest.approx(
        (raster + 4 * 200 / 12) / 1000
    )  # and 200 sums of 12 steps
    pixels = 16 * 16 + 8 * 8
    assert leaving["maps of all layers"] == pytest.approx(
        (2 * pixels + 4 * (pixels + 200) / 12) / 1000
    )
    assert leaving["sums of all layers"] == pytest.approx(4 * (pixels + 200) / 12 / 1000)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["simulate", "train"])
def test_peers_stand_beside_this_project(name, tmp_path):
    """In this process, which is faster to start: one case of those that the command would send to
    others.
    """
    module = importlib.import_module(f"benchmarks.{name}")
    cases = [
        case
        for case in module.cases(Options(repeats=1, tiny=True), tmp_path)
        if case.name != "first call"
    ]
    ways = {row.way: row.median for row in cases[0].rows()}
    assert {"simulate": {"event", "torch"}, "train": {"fused", "not fused"}}[name] | {
        "snnTorch"
    } <= set(ways)
    assert ("SpikingJelly" in ways) == (not missing_spikingjelly())
    assert all(median > 0 for median in ways.values())
    assert cases[0].environment == KEEP_FREED_MEMORY  # peers get the settings that training has


def test_converted_networks_stand_beside_the_peers(tmp_path, monkeypatch):
    """In this process; accuracy is kept, and not measured again."""
    module = importlib.import_module("benchmarks.convert")
    monkeypatch.setattr(module, "commit", lambda: "0123456789ab")
    cases = {
        case.name: case
        for case in module.cases(Options(repeats=1, tiny=True), tmp_path / "scratch")
    }
    assert {name.split(",")[0] for name in cases} == {"resnet18", "vgg"}
    parts = [
        module.cases(Options(tiny=True, only=only), tmp_path / "scratch")
        for only in ("accuracy", "seconds")
    ]
    assert sorted(case.name for part in parts for case in part) == sorted(cases)
    rivals = [] if missing_spikingjelly() else ["SpikingJelly, max"]
    for way in ("ANN", "ftbc", *rivals):
        (first, again) = (list(cases[f"vgg, {way}"].rows()) for _ in range(2))
        assert first == again
        assert {row.x for row in first} == {4, 8}
        assert all(
            row.values == (100.0,) for row in first if row.way == "ANN"
        )  # its own answers are the labels
    assert len(list((tmp_path / "convert").iterdir())) == 2 + len(rivals)
    none = {4: np.zeros(4), 8: np.zeros(4)}
    monkeypatch.setattr(module, "of_peer", lambda *_: none)
    monkeypatch.setattr(module, "of_rule", lambda *_: {"max": none})
    others = module.cases(Options(repeats=1, tiny=True, data="other.zip"), tmp_path / "scratch")
    ann = next(case for case in others if case.name == "vgg, ANN")
    assert {row.values for row in ann.rows()} == {(0.0,)}  # nothing is kept of other data
    kept = len(list((tmp_path / "convert").iterdir()))
    monkeypatch.setattr(module, "commit", lambda: "0123456789ab-dirty")
    assert {row.x for row in cases["vgg, max"].rows()} == {4, 8}
    assert len(list((tmp_path / "convert").iterdir())) == kept
    rows = list(cases["vgg, 8 steps"].rows())
    assert {"spikesam", "spikesam, integers"} <= {row.way for row in rows}
    assert all(row.median > 0 for row in rows)


def test_each_library_stands_on_the_leaderboard_once(tmp_path: Path) -> None:
    case, *_ = importlib.import_module("benchmarks.leaderboard").cases(
        Options(repeats=1, tiny=True), tmp_path
    )
    *rows, ratio = case.rows()
    assert {"spikesam", "snnTorch", "PyTorch, a loop"} <= {row.way for row in rows}
    assert len({row.way for row in rows}) == len(rows)
    fastest = max(row.median for row in rows if row.way != "spikesam")
    assert ratio.median == pytest.approx(
        next(row.median for row in rows if row.way == "spikesam") / fastest
    )


def test_a_change_is_seen_beside_the_peers(tmp_path: Path) -> None:
    cases = importlib.import_module("benchmarks.quick").cases(
        Options(repeats=1, tiny=True), tmp_path
    )
    rows = [row for case in cases if case.name.startswith("small network") for row in case.rows()]
    assert [row.median > 0 for row in rows] == len(rows) * [True]
    ratios = [row for row in rows if row.way == "event ÷ the fastest peer"]
    assert [row.case for row in ratios] == [
        f"small network × {factor}, batch 8" for factor in (1, 2, 4)
    ]
    for case, way, number in ((row.case, row.way, row.median) for row in ratios):
        each = {row.way: row.median for row in rows if row.case == case and row.unit == "images/s"}
        assert number == pytest.approx(each.pop("event") / max(each.values())), way


def test_a_busy_machine_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.quick.busy", lambda: 0.5)
    with pytest.raises(
        InputError, match=r"^the machine is busy \(50% of its cores, at most 15%\); end what else"
    ):
        next(importlib.import_module("benchmarks.quick").cases(Options(), tmp_path))


def best_instructions() -> tuple[str, str]:
    """By which the event kernels and PyTorch compute."""
    return str(processor()[2]), str(torch.backends.cpu.get_cpu_capability())


@pytest.mark.skipif("avx2" not in machine()["vectors"], reason="the processor has no AVX2")
def test_a_processor_may_be_told_to_use_less_than_it_has() -> None:
    with new_process(UP_TO["avx2"]) as process:
        features, capability = process.submit(best_instructions).result()
    assert ("+avx2" in features, "avx512" in features, capability) == (True, False, "AVX2")
    assert machine("avx2")["vectors"] == ["avx2"]


@pytest.mark.parametrize("measured", ["time", "memory", "many images"])
def test_recording_stands_beside_monitors_of_the_libraries(measured, tmp_path):
    cases = list(
        importlib.import_module("benchmarks.record").cases(Options(repeats=1, tiny=True), tmp_path)
    )
    chosen = [
        case for case in cases if case.name.startswith("snnTorch") and case.name.endswith(measured)
    ]
    assert [case.alone for case in chosen] == ([False] if measured == "time" else [True] * 3)
    rows = [row for case in chosen for row in case.rows()]
    assert {
        way.removeprefix("snnTorch, ")
        for way in (row.way for row in rows if row.unit in ("images/s", "MB"))
    } == {
        "alone",
        "recorded",
        "its own monitor",
    }
    assert all(row.median > 0 for row in rows if row.unit in ("images/s", "MB"))
    assert not any(tmp_path.iterdir())


def test_all_takes_every_benchmark_and_says_what_is_left_out(tmp_path, monkeypatch, capsys):
    asked = []

    def measure(
        name: str, make_cases: CaseMaker, options: Options, folder: Path
    ) -> list[MeasuredRow]:
        asked.append(name)
        return [MeasuredRow("case", "way", "s", (1.0,))]

    monkeypatch.setattr("benchmarks.common.results.measure", measure)
    monkeypatch.setattr("benchmarks.common.environment.find_spec", lambda name: None)
    command.main(["all", "--out", str(tmp_path)])
    assert asked == [name for name in command.BENCHMARKS if name not in command.APART]
    printed = capsys.readouterr().out.splitlines()
    line = next(line for line in printed if "SpikingJelly:" in line)
    assert line == "left out: SpikingJelly: spikingjelly not installed; pip install spikingjelly"
    assert line[10:] in json.loads((tmp_path / "benchmarks.json").read_text())["left_out"]


def test_help_does_not_wait_for_torch() -> None:
    code = (
        "import sys\n"
        "from benchmarks.__main__ import main\n"
        "try:\n    main(['--help'])\n"
        "finally:\n    assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: python -m benchmarks")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (
            ["simlate"],
            "NAME: got 'simlate', expected one of agreement, chip, convert, graphs, lava, "
            "leaderboard, operations, quick, raster, record, road, sam, simulate, train, "
            "transformer, why or all; did you mean 'simulate'?",
        ),
        (["sam", "--repeats", "0"], "--repeats is 0, expected greater than or equal to 1"),
        (["sam", "--tinny"], "unknown option --tinny; did you mean --tiny?"),
    ],
)
def test_bad_options_are_one_line(arguments, reason, refused):
    assert refused(command.main, *arguments).startswith(f"error: {reason}")
