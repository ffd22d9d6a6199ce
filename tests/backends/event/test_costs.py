"""The rule when to add and when to multiply: from seconds that are given, and from those of this
machine.
"""

import numpy as np
import pytest

from spikesam.backends.event.kernels._costs import Seconds, measured
from spikesam.backends.event.kernels._tiles import AMX, AVX2, HOW, VNNI, Instruction
from spikesam.backends.event.kernels.layer import LayerKernel
from spikesam.backends.network import Conv, FixedLIF, Input, Layer


def kernel_of(layer: Layer) -> LayerKernel:
    return LayerKernel(layer, (64, 8, 40))


def layer_of(outputs: int) -> Layer:
    weight = np.random.default_rng(0).integers(-127, 128, (outputs, 64, 3, 3), np.int8)
    return Layer("conv", Input(Conv(weight, padding=1)), FixedLIF(0))


@pytest.mark.parametrize(
    ("how", "step", "steps"),
    [
        # 2 blocks of 32 outputs, 3 rows of the kernel, 3 times 64 inputs in each: 18 for each pair
        # of tiles. Of 8 · 40 positions there are 8 · 2 pairs with 16 of a step in a tile, and 8 ·
        # 20 with steps in a tile.
        (AMX, 18 * 8 * 2, 18 * 8 * 20),
        (
            VNNI,
            320 * 9 * 16 * 64 // 16,
            320 * 9 * 16 * 64 // 16,
        ),  # 9 · 16 groups of inputs, 16 outputs each
        (AVX2, 320 * 9 * 16 * 64 // 8, 320 * 9 * 16 * 64 // 8),
    ],
)
def test_the_rule_by_hand(
    how: Instruction, step: int, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("_products", "_costs"):
        monkeypatch.setattr(f"spikesam.backends.event.kernels.{module}.HOW", how)
    monkeypatch.setattr("spikesam.backends.event.kernels._costs.STEPS", 16)
    monkeypatch.setattr(
        "spikesam.backends.event.kernels._costs.measured", lambda *_: Seconds(1, 2, 0.5, 10)
    )
    costs = kernel_of(layer_of(64)).products.costs
    # A spike adds 9 rows; adding takes 2 for each of 320 positions, and counting half for each of
    # 20,480 neurons.
    assert costs == ((2 * 320 - 20480 / 2) / 9, 10 * step / 9, 10 * steps / 9)


@pytest.mark.skipif(HOW is None, reason="this CPU multiplies no bytes")
def test_this_machine_is_measured_once() -> None:
    measured.cache_clear()
    found = [kernel_of(layer_of(outputs)).products.costs for outputs in (64, 64, 200)]
    assert measured.cache_info().misses == 1
    assert found[0] == found[1]
    assert all(seconds >= 0 for seconds in measured(64, LayerKernel))
    assert 0 < measured(64, LayerKernel).row < 1e-6
