"""Special paths beside their plain forms: the figures by hand, and refusals."""

import importlib
import json
from pathlib import Path

import pytest

from benchmarks.common.environment import new_process
from benchmarks.common.measurement import Options
from scripts.ablation import __main__ as command
from scripts.ablation import comparison
from scripts.ablation.arms import Turn, write_inputs
from scripts.ablation.plain_forms import PATHS, make_plain
from spikesam.common.errors import InputError
from tests.scripts.tiny import TINY, tiny_digests

SOME = ("narrow neurons", "relays", "silent neurons subtracted")


def test_a_plain_form_is_measured_in_units_of_the_special_path() -> None:
    turns = {
        "special": [Turn(1.0, 2.0, "a"), Turn(2.0, 2.0, "a")],
        "plain": [Turn(1.5, 1.0, "a"), Turn(2.0, 3.0, "a")],
    }
    processor, clock = comparison.ratios("path", "workload", turns)
    assert (processor.values, clock.values) == ((1.5, 1.0), (0.5, 1.5))
    assert processor.note == "least 1.50, median 1.17; 1e+03 (1.5e+03) ms → 1.5e+03 (1.75e+03) ms"
    assert (comparison.pays(processor), comparison.pays(clock)) == (True, False)


def test_other_bits_end_the_benchmark() -> None:
    turns = {"special": [Turn(1.0, 1.0, "a")], "plain": [Turn(1.0, 1.0, "b")]}
    with pytest.raises(RuntimeError, match="^narrow neurons: on VGG11, the plain form gave other"):
        comparison.check_same("narrow neurons", "VGG11", turns, PATHS["narrow neurons"])
    comparison.check_same("rounded", "training", turns, PATHS["fused neurons of training"])


def test_a_plain_form_must_come_before_the_kernels() -> None:
    importlib.import_module("spikesam.backends.event.kernels.layer")
    with pytest.raises(RuntimeError, match="^narrow neurons: the kernels are imported already$"):
        make_plain("narrow neurons")


def test_an_unknown_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"unknown 'narow neurons'; did you mean 'narrow neurons'"):
        next(comparison.cases(["narow neurons"], Options(), tmp_path))


@pytest.mark.long
@pytest.mark.parametrize("name", SOME)  # the benchmark itself compares the bits of all
def test_plain_forms_compute_the_same_bits(name: str, tmp_path: Path) -> None:
    write_inputs(tmp_path, TINY)
    digests = []
    for plain in (None, name):
        environment = {"NUMBA_CACHE_DIR": str(tmp_path / f"{plain}")} if plain else {}
        with new_process(environment) as process:
            digests.append(process.submit(tiny_digests, plain, tmp_path).result())
    assert digests[0] == digests[1]
    assert len(set(digests[0])) == 2  # the tiny VGG11 is the small network


@pytest.mark.long
def test_a_path_stands_beside_its_plain_form(tmp_path: Path) -> None:
    name = "samples simulated in a row"
    command.main(["--tiny", "--repeats", "1", "--paths", name, "--out", str(tmp_path)])
    rows = json.loads((tmp_path / "benchmarks.json").read_text())["rows"]["ablation"]
    assert {row["case"] for row in rows} == {name}
    assert {row["unit"] for row in rows} == {"× processor", "× clock"}
    assert {"first call, compiling", *PATHS[name].workloads[:7]} <= {row["way"] for row in rows}
