"""python -m paper, as it is typed."""

import importlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from paper import __main__ as command
from paper.__main__ import EXPERIMENTS, main
from spikesam import InputError, RasterReader, load, save
from spikesam.commands import some_or_all
from tests.paper.setups import small_setup
from tests.pipeline.small_networks import class_folders, small_ann, small_checkpoint


def test_every_experiment_is_a_module_that_runs() -> None:
    assert some_or_all(["all"], EXPERIMENTS) == tuple(EXPERIMENTS)
    for name in EXPERIMENTS:
        assert callable(importlib.import_module(f"paper.{name}").run)


def test_an_unknown_experiment_is_one_line(refused: Any) -> None:
    line = refused(main, "fig4")
    assert line.startswith("error: NAME: got 'fig4', expected one of fig2, fig3,")
    assert "did you mean 'fig" in line
    with pytest.raises(InputError, match="did you mean 'randomisation'"):
        some_or_all(["randomization"], EXPERIMENTS)


def test_some_experiments_are_each_done_once_in_the_order_asked_for() -> None:
    assert some_or_all(["fig8", "fig2", "fig8"], EXPERIMENTS) == ("fig8", "fig2")
    assert some_or_all(["fig8", "all"], EXPERIMENTS) == (
        "fig8",
        *(name for name in EXPERIMENTS if name != "fig8"),
    )


@pytest.mark.parametrize("name", ["pages", "figures"])
def test_what_is_no_experiment_goes_alone(refused: Any, name: str) -> None:
    assert refused(main, "fig6", name).startswith(f"error: NAME: {name} goes alone")


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "python -m paper fig6 fig8 --config configs/paper/digits.toml" in text
    assert all(name in text for name in EXPERIMENTS)


def test_help_does_not_wait_for_torch() -> None:
    code = (
        "import sys\n"
        "from paper.__main__ import main\n"
        "try:\n    main(['--help'])\n"
        "finally:\n    assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: python -m paper")


def small_command(path: Path, *words: str) -> list[str]:
    """Arguments for an experiment on six images without boxes."""
    data = class_folders(path / "images")
    config = path / "small.toml"
    config.write_text(
        "[data]\nheight = 16\nwidth = 24\n[network]\nlayers = [4, 'P', 6, 'P4', 'D8']\ntimesteps = "
        "8\n"
        f"[paper]\ncheckpoint = '{small_checkpoint(path / 'snn.safetensors')}'\n"
        f"ann = '{small_ann(path / 'ann.safetensors')}'\nimages = 6\nshown = 1\n"
    )
    return [*words, "--config", str(config), "--data", str(data), "--out", str(path / "out")]


def test_an_experiment_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = small_command(tmp_path, "fig3")
    config = tmp_path / "small.toml"
    main(arguments)
    first = capsys.readouterr().out
    assert first.startswith("6 samples of images")
    assert "1/1 fig3: " in first
    assert "\n  no difference seen: " in first or "\n  yes: " in first or "\n  no: " in first
    assert "heatmap variance at conv1 (paper: SNN-crafted Grad-CAM lower than SAM): SAM 0." in first
    page = (tmp_path / "out" / "results.md").read_text(encoding="utf-8")
    assert "## Fig. 3: variance of heatmaps\n" in page
    assert f"`python -m paper fig3 --config {config}" in page
    for name in ("fig3.csv", "fig3.claims.csv", "fig3.notes.csv", "fig3.png", "config.toml"):
        assert (tmp_path / "out" / name).stat().st_size
    cache = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "stages").iterdir()}
    main(arguments)
    again = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "stages").iterdir()}
    assert again == cache, "a second run computes nothing anew"
    main(
        [*arguments[:-1], str(tmp_path / "elsewhere"), "--cache", str(tmp_path / "out" / "stages")]
    )
    assert not (tmp_path / "elsewhere" / "stages").exists()
    assert (tmp_path / "elsewhere" / "fig3.csv").read_bytes() == (
        tmp_path / "out" / "fig3.csv"
    ).read_bytes()
    shared = {
        path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "stages").iterdir()
    }
    assert shared == cache, "with its cache elsewhere, too"


def test_what_is_impossible_does_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    three = {name: EXPERIMENTS[name] for name in ("fig3", "fig9", "fig10")}
    monkeypatch.setattr(command, "EXPERIMENTS", three)
    arguments = small_command(tmp_path, "all")
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--epsilons", "-1"])
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert "not done: paper.epsilons: got [-1.0]" in captured.out
    assert captured.err.splitlines()[-1].startswith(
        "error: 1 of 3 experiments not done, see above: fig9"
    )
    page = (tmp_path / "out" / "results.md").read_text(encoding="utf-8")
    assert "## Fig. 3" in page
    assert "## Fig. 10" in page


EPSILONS = "paper.epsilons: got .*, expected numbers ≥ 0 with at least one above 0"


@pytest.mark.parametrize(
    ("experiment", "sections", "settings", "message"),
    [
        *(
            ("fig2", {}, {"layers": (each,)}, f"paper.layers: no layer '{each}'")
            for each in ("fc1", "input")
        ),
        ("fig8", {}, {"gammas": (0.5, 0.5, 1.0)}, "paper.gammas: got 2 values, expected 3 or more"),
        *(("fig9", {}, {"epsilons": each}, EPSILONS) for each in ((), (0.0,), (-0.1, 0.1))),
        (
            "table1",
            {},
            {"leaks": (0.9,)},
            "paper.leaks: got 1 values, expected 2 or more to compare",
        ),
        (
            "doses",
            {"doses": {"doses": (-1.0, 0.0)}},
            {},
            "doses.doses: got -1, expected numbers ≥ 0",
        ),
        (
            "same_weights",
            {"same_weights": {"epsilons": (1.5,)}},
            {},
            "same_weights.epsilons: got .* in 0 … 1",
        ),
    ],
)
def test_an_experiment_refuses_settings_without_meaning(
    tmp_path: Path,
    experiment: str,
    sections: dict[str, Any],
    settings: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        importlib.import_module(f"paper.{experiment}").run(
            small_setup(tmp_path, sections, **settings)
        )


def test_layers_are_taken_in_order_of_depth(tmp_path: Path) -> None:
    setup = small_setup(tmp_path, layers=("conv2", "conv1"))
    with RasterReader(setup.recording(setup.networks.surrogate.network, setup.images)) as raster:
        assert setup.layers(raster) == ["conv1", "conv2"]


def test_an_ann_that_is_no_twin_is_refused(tmp_path: Path, refused: Any) -> None:
    arguments = small_command(tmp_path, "fig6")
    other = load(str(tmp_path / "ann.safetensors"))
    save(replace(other, classes=other.classes[::-1]), tmp_path / "other.safetensors")
    last = refused(main, *arguments, "--ann", str(tmp_path / "other.safetensors"))
    assert "is no twin of the spiking network: its classes are ('plum', 'pear', 'apple')" in last
