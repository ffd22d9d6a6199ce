"""Messages about a sample: when they are due, by hand, and several of one sample."""

import numpy as np
import pytest

from spikesam.backends.lava.repairs import repair_lava
from spikesam.backends.network.quantise import quantise
from tests.backends.equations import check
from tests.backends.networks import everything


@pytest.mark.short
def test_maps_are_due_in_the_step_behind_that_which_completes_them() -> None:
    """Samples of 3 steps, of the first of which all maps are kept; nothing is before the first."""
    pytest.importorskip("lava", reason="lava-nc is not installed")
    repair_lava()
    from spikesam.backends.lava.process.recorder import due

    sent = [due(time_step, timesteps=3, stepped=1) for time_step in range(1, 8)]
    assert [t for t, _, _ in sent] == [2, 0, 1, 2, 0, 1, 2]
    assert [time_step for time_step, (_, steps, _) in enumerate(sent, 1) if steps] == [4]
    assert [time_step for time_step, (_, _, total) in enumerate(sent, 1) if total] == [4, 7]


@pytest.mark.short
def test_a_sample_of_more_steps_than_a_message_holds() -> None:
    """35 steps of the input and of each layer come in messages of 16, 16 and 3."""
    rng = np.random.default_rng(0)
    network = quantise(everything(rng, 35))
    check("processes", network, rng.random((35, 2, *network.input_shape)) < 0.3, (2,))
