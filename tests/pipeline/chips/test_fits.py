"""Which layers fit on a model of Loihi: sizes worked by hand, and what does not fit by name."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import spikesam
from spikesam.backends.network import (
    LIF,
    Conv,
    Dense,
    Identity,
    Input,
    Layer,
    Network,
    Readout,
    Source,
)
from spikesam.common.errors import InputError
from spikesam.pipeline import fits as command
from spikesam.pipeline.chips import fits as module
from spikesam.pipeline.chips._circuit import circuit_of
from spikesam.pipeline.chips.fits import Fit, fit_table

pytest.importorskip("sanafe")


def network(gain: Any = 1.0, **neuron: Any) -> Network:
    """3×3 kernels of ones on maps of 4×4, a shortcut two steps late, a dense layer."""
    kernel = np.ones((2, 1, 3, 3), np.float32)
    shortcut = Input(Identity(), Source("conv1", 3), 0.5)
    again = Input(np.ones((2, 2, 1, 1), np.float32), "conv1", gain)
    layers = (
        Layer("conv1", Conv(kernel, padding=1), LIF(0.5)),
        Layer("conv2", (again, shortcut), LIF(0.5, **neuron)),
        Layer("fc1", Dense(np.eye(4, 32, dtype=np.float32)), LIF(0.5, bias=0.25)),
    )
    readout = Readout(np.ones((3, 4), np.float32))
    return Network((1, 4, 4), 6, layers, readout, encoder="spikes")


def test_sizes_are_those_worked_by_hand() -> None:
    result = spikesam.fits(network(), chip="loihi")
    assert result.fits
    sizes = {
        row.layer: (row.neurons, row.cores, row.synapses, row.fan_in, row.delay)
        for row in result.layers.itertuples()
    }
    assert sizes == {
        "input": (16, 1, 0, 0, 1),
        "conv1": (32, 1, 2 * 100 + 32, 10, 1),  # 100 = 10², and each resets itself
        "conv1, 1 step later": (32, 1, 32, 1, 1),
        "conv1, 2 steps later": (32, 1, 32, 1, 1),
        "conv2": (32, 1, 64 + 32 + 32, 4, 3),
        "fc1": (4, 1, 4 + 4 + 4, 3, 1),  # ones, the reset, the bias
        "readout": (3, 1, 12, 4, 1),
        "bias": (1, 1, 0, 0, 1),
    }
    assert sum(row[2] for row in sizes.values()) == sum(
        len(part.weights) for part in circuit_of(network()).synapses
    )
    assert "a model of Loihi" in repr(result)
    assert "not of silicon" in str(result)


def test_the_table_has_whole_names_of_relays() -> None:
    names = ["block2_shortcut, 2 steps later", "block2_shortcut, 3 steps later"]
    counts = {"neurons": 1, "cores": 1, "synapses": 1, "fan_in": 1, "delay": 1, "problem": ""}
    layers = pd.DataFrame([{"layer": name, **counts} for name in names])
    assert fit_table(Fit(layers, (), "loihi", "2.2.9", 128))["layer"].tolist() == names


def test_what_does_not_fit_is_named() -> None:
    gains = np.arange(1.0, 7).repeat(2).reshape(6, 2)
    result = spikesam.fits(network(gains, synaptic_leak=0.5))
    problems = dict(zip(result.layers["layer"], result.layers["problem"], strict=True))
    assert {name for name, problem in problems.items() if problem} == {"conv2"}
    assert "BNTT" in problems["conv2"]
    assert "synaptic_leak" in problems["conv2"]
    large = network(1e9)
    assert "membranes can reach" in str(spikesam.fits(large))
    with pytest.raises(InputError, match="layer 'conv2': its membranes can reach"):
        circuit_of(large)


def test_limits_of_the_whole_network_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    (problem,) = spikesam.fits(spikesam.quantise(network())).problems
    assert "fixed point" in problem
    small = replace(module.description_of("loihi"), width=1, height=1, cores_per_tile=2)
    monkeypatch.setattr(module, "description_of", lambda chip: small)
    (problem,) = spikesam.fits(network()).problems
    assert "finds no free core" in problem
    with pytest.raises(InputError, match=r"has 448 synapses .*expected at most 447"):
        circuit_of(network(), 447)


def test_the_command_prints_the_table(tmp_path: Any, capsys: Any) -> None:
    spikesam.save(network(), tmp_path / "small.safetensors")
    command.main([str(tmp_path / "small.safetensors")])
    assert "All 8 groups of neurons fit on a model of Loihi" in capsys.readouterr().out
    spikesam.save(network(1e9), tmp_path / "large.safetensors")
    with pytest.raises(SystemExit, match="1"):
        command.main([str(tmp_path / "large.safetensors")])
    assert "1 of 8 groups of neurons do not fit" in capsys.readouterr().out


def test_bad_input_is_one_line(refused: Any) -> None:
    with pytest.raises(InputError, match="expected one of loihi"):
        spikesam.fits(network(), chip="speck")
    assert "nothing.safetensors" in refused(command.main, "nothing.safetensors")
