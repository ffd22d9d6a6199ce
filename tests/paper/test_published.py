"""The authors' published VGG11: a file of that kind is read, imported and drawn; others are refused
in one line.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

import spikesam
from paper.__main__ import main
from paper.common.published import POOLED, published_model
from spikesam import InputError, load
from tests.pipeline.small_networks import class_folders

WIDTHS, STEPS, CLASSES = (3, 4, 4, 5, 5, 6, 6, 7), 20, 3


def small_state() -> dict[str, torch.Tensor]:
    """A narrow network of the authors' kind, as `DataParallel` names its parameters."""
    torch.manual_seed(0)
    state, inputs = {}, 3
    for number, width in [*enumerate(WIDTHS, 1), ("fc", 8)]:
        shape = (width, inputs) if number == "fc" else (width, inputs, 3, 3)
        state[f"module.{'fc1' if number == 'fc' else f'conv{number}'}.weight"] = torch.randn(shape)
        for step in range(STEPS):
            norm = f"module.bn{number}_list.{step}"
            state |= {
                f"{norm}.weight": torch.rand(width) + step / STEPS,
                f"{norm}.running_mean": torch.randn(width) / 4,
                f"{norm}.running_var": torch.rand(width) + 0.2,
                f"{norm}.num_batches_tracked": torch.tensor(9),
            }
        inputs = int(width)
    return state | {"module.fc2.weight": torch.randn(CLASSES, inputs)}


def saved(path: Path, state: Any, **others: Any) -> Path:
    torch.save({"state_dict": state, "accuracy1": np.float64(51.5), **others}, path)
    return path


def spikes_by_hand(state: dict[str, torch.Tensor], inputs: torch.Tensor) -> list[torch.Tensor]:
    """The authors' recurrence, written anew: input spikes (T, C, H, W) -> of each convolution (T,
    C, H, W).
    """
    membranes: list[Any] = [0.0] * len(WIDTHS)
    fired: list[list[torch.Tensor]] = [[] for _ in WIDTHS]
    for step, arriving in enumerate(inputs):
        for number in range(1, len(WIDTHS) + 1):
            if number in POOLED:
                arriving = functional.avg_pool2d(arriving, 2)
            current = functional.conv2d(
                arriving[None], state[f"module.conv{number}.weight"], padding=1
            )[0]
            mean, variance, gain = (
                state[f"module.bn{number}_list.{step}.{name}"][:, None, None]
                for name in ("running_mean", "running_var", "weight")
            )
            current = gain * (current - mean) / torch.sqrt(variance + 1e-4)
            before = membranes[number - 1] + torch.zeros_like(current)
            arriving = (before > 1).float()  # of the step before: a layer delays
            membranes[number - 1] = 0.99 * before + current - arriving
            fired[number - 1].append(arriving)
    return [torch.stack(each) for each in fired]


def test_a_file_is_read_imported_and_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state, data = small_state(), class_folders(tmp_path / "images", per_class=1)
    path, out = saved(tmp_path / "model.pth.tar", state), tmp_path / "out"
    main(["checkpoint", str(path)])
    heads, *table = capsys.readouterr().out.splitlines()
    assert heads.split() == ["step", *(f"conv{number}" for number in range(1, 9)), "fc1"]
    last = table[STEPS - 1].split()
    assert last[0] == str(STEPS - 1)
    assert last[1] == f"{state[f'module.bn1_list.{STEPS - 1}.weight'].mean():.3f}*"
    assert "*" not in table[STEPS - 1 - 9]
    assert table[STEPS - 9].split()[1].endswith("*")
    assert table[-1].startswith("no figures: they need images, give --data")

    main(
        [
            "checkpoint",
            str(path),
            "--data",
            str(data),
            "--out",
            str(out),
            "--images",
            "3",
            "--shown",
            "1",
        ]
    )
    told = capsys.readouterr().out
    assert (
        "surrogate, conv6: activity late, to the last step of the recording (paper: active, then "
        "zero)" in told
    )
    assert (out / "fig5.png").stat().st_size
    assert (out / "fig6_rate.png").stat().st_size
    checkpoint = load(str(out / "checkpoint.safetensors"))
    assert checkpoint.classes == ("apple", "pear", "plum")

    inputs = torch.randint(-1, 2, (STEPS, 3, 64, 64)).float()
    planes = torch.cat([inputs > 0, inputs < 0], dim=1).numpy()
    raster = spikesam.simulate(checkpoint.network, planes[:, None], precision="float32")
    for number, expected in enumerate(spikes_by_hand(state, inputs), 1):
        assert (raster[f"conv{number}"][0] != expected.bool().numpy()).mean() < 1e-4
        assert expected.any()


def without(state: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: without(state, "module.conv3.weight"),
            "no 'layers.2.synapses.weight' of the authors' VGG11",
        ),
        (
            lambda state: state | {"module.bntt1.0.weight": torch.ones(3)},
            "got 'module.bntt1.0.weight', expected names",
        ),
        (
            lambda state: state | {"module.conv2.weight": torch.ones(4, 9, 3, 3)},
            r"has shape \(4, 9, 3, 3\), expected",
        ),
        (
            lambda state: without(state, "module.bn4_list.7.weight"),
            "layers.3.bntt.7.weight has shape none",
        ),
        (lambda state: state | {"module.fc1.weight": "text"}, "tensors in `state_dict`"),
    ],
)
def test_another_network_is_one_line(tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        published_model(saved(tmp_path / "model.pth.tar", change(small_state())))


class Runs:
    """An object whose pickle makes a file when it is read."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("ran"),)


def test_nothing_in_a_file_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    saved(Path("model.pth.tar"), small_state(), epoch=Runs())
    Path("plain.pickle").write_bytes(pickle.dumps({"state_dict": Runs()}))
    Path("empty").touch()
    for name in ("model.pth.tar", "plain.pickle", "empty"):
        assert f"{name}: not a file of torch.save" in refused(main, "checkpoint", name)
    assert not Path("ran").exists()
    assert "checkpoint takes one file, got 0" in refused(main, "checkpoint")
    assert "nowhere" in refused(main, "checkpoint", "nowhere")
