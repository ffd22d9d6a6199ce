import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from paper.common.cache import MANIFEST, Cache


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path, Console(record=True, file=io.StringIO()))


def fresh(cache: Cache) -> Cache:
    """The cache as a later run finds it."""
    return Cache(cache.directory, cache.console)


def counting(built: list[Path], content: str = "result") -> object:
    def build(folder: Path) -> None:
        built.append(folder)
        (folder / "out.txt").write_text(content)

    return build


def test_a_stage_is_built_once_and_found_again_by_later_runs(cache: Cache) -> None:
    built: list[Path] = []
    first = cache.folder("raster", {"seed": 1}, counting(built))
    assert cache.folder("raster", {"seed": 1}, counting(built)) == first
    assert fresh(cache).folder("raster", {"seed": 1}, counting(built)) == first
    assert len(built) == 1
    assert (first / "out.txt").read_text() == "result"
    assert json.loads((first / MANIFEST).read_text())["inputs"] == {"kind": "raster", "seed": 1}


def test_what_was_found_made_is_told_with_its_seconds(cache: Cache) -> None:
    folder = cache.folder("raster", {}, counting([]))
    assert cache.found == {folder: 0}
    cache.found.clear()
    cache.folder("raster", {}, counting([]))
    manifest = json.loads((folder / MANIFEST).read_text())
    assert cache.found == {folder: manifest["seconds"]}
    (folder / MANIFEST).write_text(json.dumps(manifest | {"seconds": 12.5}))
    later = fresh(cache)
    later.folder("raster", {}, counting([]))
    assert later.found == {folder: 12.5}


def test_other_inputs_or_another_kind_are_another_stage(cache: Cache) -> None:
    built: list[Path] = []
    folders = {
        cache.folder(kind, {"seed": seed}, counting(built))
        for kind in ("raster", "maps")
        for seed in (0, 1)
    }
    assert len(folders) == len(built) == 4


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("out.txt", "resulT"),
        ("out.txt", None),
        ("more.txt", "x"),
        (MANIFEST, "[1, 2"),
        (MANIFEST, None),
    ],
)
def test_a_damaged_stage_is_computed_again_with_a_line(
    cache: Cache, name: str, content: str | None
) -> None:
    built: list[Path] = []
    folder = cache.folder("raster", {}, counting(built))
    (folder / name).unlink() if content is None else (folder / name).write_text(content)
    again = fresh(cache).folder("raster", {}, counting(built))
    assert again == folder
    assert len(built) == 2
    assert sorted(path.name for path in again.iterdir()) == ["out.txt", MANIFEST]
    assert (again / "out.txt").read_text() == "result"
    line = cache.console.export_text()
    assert folder.name in line
    assert "computed again" in line


def test_an_interrupted_stage_is_not_taken_for_finished_but_gone_on_with(cache: Cache) -> None:
    def interrupted(folder: Path) -> None:
        (folder / "half.txt").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.folder("trained", {}, interrupted)

    def resumed(folder: Path) -> None:
        assert (folder / "half.txt").read_text() == "half"
        (folder / "whole.txt").write_text("whole")

    assert (fresh(cache).folder("trained", {}, resumed) / "whole.txt").exists()
