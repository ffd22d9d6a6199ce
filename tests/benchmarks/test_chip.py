"""The table of networks on the model of a chip in docs/deploy.md is that of the committed run."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spikesam
from benchmarks.chip import DIGITS, SECONDS, STEADY, WAY, cases, converted, with_mean_gains
from benchmarks.common.measurement import Options
from spikesam.common.errors import InputError

DOCS = Path(__file__).parents[2] / "docs"


def committed() -> dict[str, dict[str, Any]]:
    """Rows of the committed run: case -> unit -> row."""
    run = json.loads((DOCS / "performance" / "chip.json").read_text(encoding="utf-8"))
    by_case: dict[str, dict[str, Any]] = defaultdict(dict)
    for row in run["rows"]["chip"]:
        by_case[row["case"]][row["unit"]] = row
    return by_case


def table(by_case: dict[str, dict[str, Any]]) -> list[str]:
    """The lines of the table."""
    lines = []
    for case, rows in by_case.items():
        name, _, steps = case.rsplit(", ", 2)
        differ = rows["bits differ"]
        compared = differ["note"].split(";")[0]
        lines.append(
            f"| {name} | {steps.split()[0]} | {differ['median']:.0f} {compared} "
            f"| {rows['cores']['median']:.0f} | {rows['µJ/sample']['median']:,.1f} µJ, "
            f"{rows['µs/sample']['median']:,.0f} µs |"
        )
    return lines


def test_the_documented_table_is_that_of_the_committed_run() -> None:
    lines = (DOCS / "deploy.md").read_text(encoding="utf-8").splitlines()
    expected = table(committed())
    assert len(expected) == 4
    assert [line for line in lines if line in expected] == expected, "\n".join(expected)


def test_trained_networks_fire_what_was_recorded_and_the_digits_take_a_minute_at_most() -> None:
    by_case = committed()
    for name in (DIGITS, *STEADY):
        (rows,) = (rows for case, rows in by_case.items() if case.startswith(name))
        assert rows["bits differ"]["median"] == 0
    (digits,) = (rows for case, rows in by_case.items() if case.startswith(DIGITS))
    assert digits["s"]["at_most"] == SECONDS
    assert digits["s"]["reached"]


def test_mean_gains_are_the_only_change() -> None:
    before = spikesam.load("chirps").network
    steady, _ = with_mean_gains("chirps")
    for layer, changed in zip(before.layers, steady.network.layers, strict=True):
        for synapses, same in zip(layer.inputs, changed.inputs, strict=True):
            np.testing.assert_allclose(np.ravel(same.gain), np.mean(synapses.gain, axis=0))
            np.testing.assert_array_equal(same.synapse.weight, synapses.synapse.weight)
        np.testing.assert_array_equal(changed.neuron.bias, layer.neuron.bias)
    assert spikesam.fits(steady.network).fits
    assert not spikesam.fits(before).fits


def test_digits_of_a_cnn_have_too_many_synapses() -> None:
    pytest.importorskip("sanafe")
    with pytest.raises(InputError, match=r"has 38,\d+,\d+ synapses"):
        spikesam.chip(with_mean_gains("cluttered-digits")[0], samples=1)


def test_the_converted_network_takes_its_images() -> None:
    network, images = converted(0)
    assert images.shape[1:] == network.input_shape


@pytest.mark.long
def test_the_smallest_case_runs(tmp_path: Path) -> None:
    pytest.importorskip("sanafe")
    (case,) = cases(Options(tiny=True, repeats=1), tmp_path)
    rows = list(case.rows())
    assert {row.unit for row in rows} == {"bits differ", "µJ/sample", "µs/sample", "cores", "s"}
    assert rows[0].way == WAY
    assert rows[0].median == 0
