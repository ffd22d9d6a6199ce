"""python -m pipeline.paper, as it is typed."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from pipeline.config import CONFIGS
from pipeline.paper.__main__ import EXPERIMENTS, experiments, main
from pipeline.paper.lab.settings import PaperConfig, load_paper_config
from recordings.errors import InputError
from tests.pipeline.small_networks import class_folders, small_ann, small_checkpoint


def test_every_experiment_is_a_module_that_runs() -> None:
    assert experiments("all") == tuple(EXPERIMENTS)
    for name in EXPERIMENTS:
        assert callable(importlib.import_module(f"pipeline.paper.{name}").run)


def test_an_unknown_experiment_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["fig4"])
    assert stop.value.code == 2
    line = capsys.readouterr().err
    assert line.startswith("error: NAME: got 'fig4', expected one of fig2, fig3,")
    assert "did you mean 'fig" in line
    assert line.count("\n") == 1
    with pytest.raises(InputError, match="did you mean 'randomisation'"):
        experiments("randomization")


def test_help_teaches_without_loading_torch(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "python -m pipeline.paper fig8 --config configs/paper/digits.toml" in text
    assert all(name in text for name in EXPERIMENTS)


@pytest.mark.parametrize("path", sorted((CONFIGS / "paper").glob("*.toml")), ids=lambda path: path.stem)
def test_configurations_are_valid_and_say_how_to_run_them(path: Path) -> None:
    config = load_paper_config(path)
    assert isinstance(config, PaperConfig)
    assert len(config.paper.layers) == 3
    assert "python -m pipeline.paper all" in path.read_text(encoding="utf-8")
    assert f"--config configs/paper/{path.name}" in path.read_text(encoding="utf-8")


def test_an_experiment_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = class_folders(tmp_path / "images")
    config = tmp_path / "small.toml"
    config.write_text(
        "[data]\nheight = 16\nwidth = 24\n[network]\nlayers = [4, 'P', 6, 'P4', 'D8']\ntimesteps = 8\n"
        f"[paper]\ncheckpoint = '{small_checkpoint(tmp_path / 'snn.safetensors')}'\n"
        f"ann = '{small_ann(tmp_path / 'ann.safetensors')}'\nimages = 6\nshown = 1\n"
    )
    arguments = ["fig3", "--config", str(config), "--data", str(data), "--out", str(tmp_path / "out")]
    main(arguments)
    first = capsys.readouterr().out
    assert "1/1 fig3: " in first
    page = (tmp_path / "out" / "fig3.md").read_text(encoding="utf-8")
    assert f"`python -m pipeline.paper fig3 --config {config}" in page
    assert page in (tmp_path / "out" / "results.md").read_text(encoding="utf-8")
    for name in ("fig3.csv", "fig3.png", "config.toml"):
        assert (tmp_path / "out" / name).stat().st_size
    stages = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "stages").iterdir()}
    main(arguments)
    again = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "stages").iterdir()}
    assert again == stages, "a second run computes nothing anew"
