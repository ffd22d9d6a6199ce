"""Every example does what it says, where its library is installed: 0 bits differ, and Lava fires
the same.
"""

import runpy
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).parents[1] / "examples"
LIBRARIES = {
    "snntorch": "snntorch",
    "spikingjelly": "spikingjelly",
    "norse": "norse",
    "sinabs": "sinabs",
    "lava_dl": "lava.lib.dl",
    "residual": "snntorch",
    "recurrent": "snntorch",
}


@pytest.mark.parametrize("name", LIBRARIES)
def test_an_example(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip(LIBRARIES[name], reason=f"{name} is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES)
    enough = (
        800 if name in ("spikingjelly", "norse", "lava_dl") else 200
    )  # for every layer to fire, or from_torch refuses it
    monkeypatch.setattr("digits.TRAINING", enough)
    runpy.run_path(str(EXAMPLES / f"{name}_network.py"), run_name="__main__")
    printed = capsys.readouterr().out
    (folder,) = (tmp_path / "runs").iterdir()
    maps = (
        set() if name == "recurrent" else {"sam.h5", "maps.png"}
    )  # whose neurons have no place in an image
    assert {"raster.h5", *maps} <= {path.name for path in folder.iterdir()}
    for backend in ("event", "torch", "lava"):
        assert f"{backend}: 0 of " in printed
    assert "fixed point is the same bits on event, torch, lava" in printed


def test_there_is_a_test_of_every_example() -> None:
    assert {path.stem for path in EXAMPLES.glob("*_network.py")} == {
        f"{name}_network" for name in LIBRARIES
    }


def test_examples_are_short() -> None:
    for path in EXAMPLES.glob("*_network.py"):
        builds_blocks = path.stem in ("residual_network", "recurrent_network")
        assert len(path.read_text(encoding="utf-8").splitlines()) <= (
            55 if builds_blocks else 40
        ), path.name


def test_own_anns_are_as_accurate_as_their_readme_says() -> None:
    example = runpy.run_path(str(EXAMPLES / "own_ann.py"))
    vgg = example["accuracy"](example["trained"]("vgg"), *example["images"]("vgg", "val", count=60))
    assert vgg >= 95  # 98.2 % of 1,000
    photographs = example["trained"]("resnet18")(torch.zeros(2, 3, 64, 64))
    assert photographs.shape == (2, 10)
    assert max(path.stat().st_size for path in (EXAMPLES / "weights").iterdir()) < 4e6


@pytest.mark.long
def test_the_score_of_a_box_rests_on_relevant_spikes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("spikingjelly")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES)
    example = runpy.run_path(str(EXAMPLES / "spiking_detector.py"))
    model = example["trained"](batches=400)
    spikes, _, crosses = example["scenes"](50, 10**6)
    output, relevance = example["explained"](model, spikes, example["best_score"], "runs/box")
    assert sum(map(example["is_right"], example["best_boxes"](output), crosses)) >= 45
    scores = example["deletion"](model, spikes, output, relevance)
    for order in ("spikes", "spikes of the box"):
        mean, margin, _ = example["compared"](scores, order)
        assert mean + margin < 0, order


@pytest.mark.long
def test_pixels_and_angles_have_relevance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("spikingjelly")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES)
    example = runpy.run_path(str(EXAMPLES / "pixels_and_angles.py"))
    right, on_crosses, spikes_there = example["explain_pixels"](batches=150, samples=20)
    assert right > 0.85 and on_crosses.mean() > spikes_there.mean() + 0.3
    error, difference = example["explain_angles"](samples=20)
    assert error.mean() < 0.2 and difference.abs().max() < 1e-4
