from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from paper.study.stages import MANIFEST, Stages


@pytest.fixture
def stages(tmp_path: Path) -> Stages:
    return Stages(tmp_path, Console(record=True, file=io.StringIO()))


def fresh(stages: Stages) -> Stages:
    """The cache as a later run finds it."""
    return Stages(stages.directory, stages.console)


def counting(built: list[Path], content: str = "result") -> object:
    def build(folder: Path) -> None:
        built.append(folder)
        (folder / "out.txt").write_text(content)

    return build


def test_a_stage_is_built_once_and_found_again_by_later_runs(stages: Stages) -> None:
    built: list[Path] = []
    first = stages.folder("raster", {"seed": 1}, counting(built))
    assert stages.folder("raster", {"seed": 1}, counting(built)) == first
    assert fresh(stages).folder("raster", {"seed": 1}, counting(built)) == first
    assert len(built) == 1
    assert (first / "out.txt").read_text() == "result"
    assert json.loads((first / MANIFEST).read_text())["inputs"] == {"kind": "raster", "seed": 1}


def test_what_was_found_made_is_told_with_its_seconds(stages: Stages) -> None:
    folder = stages.folder("raster", {}, counting([]))
    assert stages.found == {folder: 0}
    stages.found.clear()
    stages.folder("raster", {}, counting([]))
    manifest = json.loads((folder / MANIFEST).read_text())
    assert stages.found == {folder: manifest["seconds"]}
    (folder / MANIFEST).write_text(json.dumps(manifest | {"seconds": 12.5}))
    later = fresh(stages)
    later.folder("raster", {}, counting([]))
    assert later.found == {folder: 12.5}


def test_other_inputs_or_another_kind_are_another_stage(stages: Stages) -> None:
    built: list[Path] = []
    folders = {stages.folder(kind, {"seed": seed}, counting(built)) for kind in ("raster", "maps") for seed in (0, 1)}
    assert len(folders) == len(built) == 4


@pytest.mark.parametrize("harm", ["change", "remove", "add", "manifest", "no manifest"])
def test_a_damaged_stage_is_computed_again_with_a_line(stages: Stages, harm: str) -> None:
    built: list[Path] = []
    folder = stages.folder("raster", {}, counting(built))
    if harm == "change":
        (folder / "out.txt").write_text("resulT")
    elif harm == "remove":
        (folder / "out.txt").unlink()
    elif harm == "add":
        (folder / "more.txt").write_text("x")
    elif harm == "manifest":
        (folder / MANIFEST).write_text("[1, 2")
    else:
        (folder / MANIFEST).unlink()
    again = fresh(stages).folder("raster", {}, counting(built))
    assert again == folder
    assert len(built) == 2
    assert sorted(path.name for path in again.iterdir()) == ["out.txt", MANIFEST]
    assert (again / "out.txt").read_text() == "result"
    line = stages.console.export_text()
    assert folder.name in line
    assert "computed again" in line


def test_an_interrupted_stage_is_not_taken_for_finished_but_gone_on_with(stages: Stages) -> None:
    def interrupted(folder: Path) -> None:
        (folder / "half.txt").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stages.folder("trained", {}, interrupted)

    def resumed(folder: Path) -> None:
        assert (folder / "half.txt").read_text() == "half"
        (folder / "whole.txt").write_text("whole")

    assert (fresh(stages).folder("trained", {}, resumed) / "whole.txt").exists()
