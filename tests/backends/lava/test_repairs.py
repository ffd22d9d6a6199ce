"""Lava's modules on newer Pythons and NumPys: each repair mends what it is for, and nothing else
changes.
"""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("lava", reason="lava-nc is not installed")
from spikesam.backends.lava.repairs import BROKEN_MODULE, repair_lava


def test_without_the_repair_lava_cannot_be_imported() -> None:
    command = [sys.executable, "-c", "import lava.magma.core.process.process"]
    assert (
        "mutable default"
        in subprocess.run(command, capture_output=True, text=True, check=False).stderr
    )


def test_only_the_dataclasses_of_one_module_change() -> None:
    original = dataclasses.dataclass
    repair_lava()
    assert dataclasses.dataclass is original
    from lava.magma.compiler.executable import Executable
    from lava.magma.compiler.var_model import ByteEncoder

    assert ByteEncoder.__module__ == BROKEN_MODULE
    assert hash(ByteEncoder()) == hash(ByteEncoder())
    assert Executable.__hash__ is None


def test_an_import_that_fails_leaves_dataclass_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    original = dataclasses.dataclass
    monkeypatch.setitem(sys.modules, BROKEN_MODULE, None)
    with pytest.raises(ImportError):
        repair_lava()
    assert dataclasses.dataclass is original


def test_a_reshaped_port_reshapes_both_ways() -> None:
    repair_lava()
    from lava.magma.core.process.ports.ports import ReshapePort

    port = ReshapePort(new_shape=(2, 3), old_shape=(6,))
    forward = port.get_transform_func_fwd()(np.arange(6))
    assert forward.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert port.get_transform_func_bwd()(forward).tolist() == [0, 1, 2, 3, 4, 5]
