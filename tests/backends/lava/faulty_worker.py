"""The worker with something broken in it, chosen by the variable FAULT; see test_failures.py."""

import os
import sys
import time
from multiprocessing.connection import Connection
from typing import NoReturn

from spikesam.backends.lava._worker import Worker
from spikesam.backends.lava.repairs import repair_lava

STEP = 7  # of Lava's, within the second sample of the network under test


def _sleep_forever() -> None:
    time.sleep(3600)


def _raise() -> NoReturn:
    raise ValueError("the neuron\nis tired")


def _raise_early(*_: object) -> None:
    raise MemoryError("no room for this model")


def _after(step: int, run_spk, fault):
    def run(model) -> None:
        if model.time_step == step:
            fault()
        run_spk(model)

    return run


def break_something(fault: str) -> None:
    repair_lava()
    from lava.proc.dense.models import PyDenseModelBitAcc

    from spikesam.backends.lava.process._parts import LIFNeuronsModel
    from spikesam.backends.lava.process.layer import EventLayer
    from spikesam.backends.lava.process.readout import AccumulatorModel, EventReadout
    from spikesam.backends.lava.process.recorder import RecorderModel
    from spikesam.backends.lava.process.sources import SpikeSourceModel

    models = {
        "source": SpikeSourceModel,
        "layer": EventLayer,
        "readout": EventReadout,
        "recorder": RecorderModel,
        "stock synapses": PyDenseModelBitAcc,
        "stock neurons": LIFNeuronsModel,
        "stock readout": AccumulatorModel,
    }
    what, _, where = fault.partition(" in ")
    model, _, step = where.partition(" at ")
    if what in ("raise", "hang"):
        broken = models[model or "layer"]
        broken.run_spk = _after(
            int(step or STEP), broken.run_spk, _raise if what == "raise" else _sleep_forever
        )
    elif what == "raise early":
        EventReadout.__init__ = _raise_early
    elif what == "exit":
        sys.exit("this machine is on fire")


if __name__ == "__main__":
    break_something(os.environ["FAULT"])
    Worker(int(sys.argv[1]), Connection(int(sys.argv[2]))).main()
