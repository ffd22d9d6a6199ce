"""When messages about a sample are due, by hand."""

import pytest

from spikesam.backends.lava.repairs import repair_lava


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
