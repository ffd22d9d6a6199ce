"""Whatever fails, and however it ends: one clear error within seconds, and nothing left behind."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from spikesam.backends.base import BackendError
from spikesam.backends.network import Encoder
from tests.backends.lava.machine import SECONDS, Machine, parent
from tests.backends.lava.simulate import TIMESTEPS, inputs, network
from tests.pipeline.small_networks import class_folders, small_checkpoint

pytest.importorskip("lava", reason="lava-nc is not installed")
from spikesam.backends.lava._backend import LavaBackend
from spikesam.backends.lava._child import Child

ROOT = Path(__file__).parents[3]


class Faulty(LavaBackend):
    worker_module = "tests.backends.lava.faulty_worker"


@pytest.mark.parametrize(
    ("fault", "models", "finished", "message"),
    [
        ("raise early", "event", 0, "MemoryError: no room for this model"),
        (
            "exit",
            "event",
            0,
            "lava: the worker process ended early with exit code 1: this machine is on fire",
        ),
        (
            "raise in source at 1",
            "event",
            0,
            "lava: process 'input' failed: ValueError: the neuron is tired",
        ),
        (
            "raise in layer at 1",
            "event",
            0,
            "lava: process 'fc1' failed: ValueError: the neuron is tired",
        ),
        (
            "raise in recorder",
            "event",
            1,
            "lava: process 'recorder' failed: ValueError: the neuron is tired",
        ),
        (
            "raise in stock synapses",
            "stock",
            1,
            "_synapses' failed: ValueError: the neuron is tired",
        ),
        (
            "raise in source at 16",
            "event",
            2,
            "lava: process 'input' failed: ValueError: the neuron is tired",
        ),
        (
            "raise in layer at 16",
            "event",
            2,
            "lava: process 'fc1' failed: ValueError: the neuron is tired",
        ),
        (
            "raise in recorder at 16",
            "event",
            2,
            "lava: process 'recorder' failed: ValueError: the neuron is tired",
        ),
        (
            "raise in stock neurons at 16",
            "stock",
            2,
            "lava: process 'fc1' failed: ValueError: the neuron is tired",
        ),
    ],
)
def test_an_error_is_one_line(
    fault: str,
    models: str,
    finished: int,
    message: str,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the first or the last step, too: of 3 samples of 5 steps, and one more."""
    monkeypatch.setenv("FAULT", fault)
    rasters = Faulty(models).run(network(), inputs(3), 3)
    for _ in range(finished):
        next(rasters)
    with pytest.raises(BackendError) as caught:
        next(rasters)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert machine.is_clean()


COMMAND = """
import sys
from spikesam.backends.lava._backend import LavaBackend
from spikesam.pipeline import run

LavaBackend.worker_module = "tests.backends.lava.faulty_worker"
run.main(sys.argv[1:])
"""


@pytest.mark.parametrize("step", [1, 12, 25])  # of 3 samples of 8 steps, and one more
def test_a_command_ends_with_one_line_and_leaves_nothing(
    step: int, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, images = (
        small_checkpoint(tmp_path / "snn.safetensors"),
        class_folders(tmp_path / "images"),
    )
    monkeypatch.setenv("FAULT", f"raise in layer at {step}")
    ended = subprocess.run(
        [
            *(
                sys.executable,
                "-c",
                COMMAND,
                "--backend",
                "lava",
                "--samples",
                "3",
                "--figures",
                "0",
            ),
            *(
                "--checkpoint",
                str(checkpoint),
                "--data",
                str(images),
                "--out",
                str(tmp_path / "out"),
            ),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 2
    line = r"error: lava: process '(conv|fc)\d' failed: ValueError: the neuron is tired\n"
    assert re.fullmatch(line, ended.stderr)
    assert machine.is_clean()
    assert not (tmp_path / "out").exists()


ENCODERS = pytest.mark.parametrize("encoder", ["poisson", "constant-current"])


@pytest.mark.parametrize("samples", [3, 9], ids=["all sent", "some left to send"])
@ENCODERS
def test_an_error_comes_after_what_was_finished_with_traceback(
    encoder: Encoder, samples: int, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the connection is reset, since the graph is gone before it is asked for more."""
    monkeypatch.setenv("FAULT", "raise")
    rasters = Faulty().run(network(encoder), inputs(samples, encoder), samples)
    assert next(rasters).spikes["fc1"].shape == (1, TIMESTEPS, 1)
    assert machine.is_clean()
    with pytest.raises(BackendError) as caught:
        next(rasters)
    assert str(caught.value) == "lava: process 'fc1' failed: ValueError: the neuron is tired"
    assert "in _raise" in str(caught.value.__cause__)
    assert machine.is_clean()


def test_a_deadline_ends_a_simulation_that_hangs(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULT", "hang")
    rasters = Faulty(deadline=2).run(network(), inputs(3), 3)
    next(rasters)
    begin = time.monotonic()
    with pytest.raises(
        BackendError,
        match="lava: finished no sample within the deadline of 2 s; raise the deadline",
    ):
        next(rasters)
    assert time.monotonic() - begin < 2 + SECONDS
    assert machine.is_clean()


@pytest.mark.parametrize("victim", ["worker", "model", "runtime service"])
def test_a_killed_child_is_an_error_at_once(
    victim: str, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "FAULT", "hang"
    )  # so that the simulation is under way when the child is killed
    rasters = Faulty().run(network(), inputs(3), 3)
    next(rasters)
    processes = machine.processes()
    worker = next(pid for pid in processes if parent(pid) == os.getpid())
    # Lava starts one process per Process first, and the runtime service last.
    models = [pid for pid in processes if parent(pid) == worker]
    target = {"worker": worker, "model": models[len(models) // 2], "runtime service": models[-1]}[
        victim
    ]
    os.kill(target, signal.SIGKILL)
    begin = time.monotonic()
    with pytest.raises(BackendError, match="was killed by SIGKILL") as caught:
        next(rasters)
    assert time.monotonic() - begin < SECONDS
    assert str(caught.value).startswith("lava: ")
    assert machine.is_clean()


def test_an_abandoned_run_leaves_nothing(machine: Machine) -> None:
    rasters = LavaBackend().run(network(), inputs(1000), 1000)
    next(rasters)
    assert len(machine.processes()) >= 5
    assert not machine.new_files()
    rasters.close()
    assert machine.is_clean()


@ENCODERS
def test_inputs_that_end_early_are_an_error_and_no_more(
    encoder: Encoder, machine: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BackendError, match="lava: the inputs end after 2 samples, expected 3"):
        list(LavaBackend().run(network(encoder), inputs(2, encoder), 3))
    assert capfd.readouterr() == ("", "")
    assert machine.is_clean()


def test_inputs_of_another_shape_are_refused_before_lava_starts(machine: Machine) -> None:
    rasters = LavaBackend().run(network(), [np.zeros((4, 1, 3, 2, 2), np.bool_)], 1)
    with pytest.raises(
        BackendError,
        match=r"got input samples of \(T, C, H, W\) = \(4, 3, 2, 2\) bool, expected \(5,",
    ):
        next(rasters)
    assert machine.is_clean(within=0)


def test_a_python_that_lava_does_not_run_on_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 14, 1, "final", 0))
    with pytest.raises(
        BackendError, match=r"^lava: this is Python 3\.14, expected 3\.11 to 3\.13; use one"
    ):
        LavaBackend()


def test_without_lava_the_error_says_the_command_that_adds_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BackendError) as caught:
        LavaBackend()
    command = "pip install --no-deps --ignore-requires-python lava-nc==0.10.0"
    assert (
        str(caught.value)
        == f"lava: lava-nc is not installed; pip install 'spikesam[lava]', then {command}"
    )


def test_unknown_models_are_refused() -> None:
    with pytest.raises(BackendError, match="models is 'fast', expected one of 'event', 'stock'"):
        LavaBackend("fast")  # type: ignore[arg-type]


@pytest.mark.skipif(
    sys.platform != "linux", reason="Linux alone tells whether a process is stopped"
)
def test_a_worker_stopped_while_it_starts_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spikesam.backends.lava._child.STOPPED", 1.0)
    with closing(Child(LavaBackend.worker_module, 300.0)) as child:
        os.kill(child.process.pid, signal.SIGSTOP)
        with pytest.raises(BackendError, match="the worker process was stopped for 1 s"):
            child.start("never read")
