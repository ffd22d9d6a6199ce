"""recipes: networks that differ in the decay of BNTT's gains, side by side on raw time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from paper import recipes
from paper.common.raw_time import GAIN, RATE, RIGHT, SPIKES, gains, thirds
from paper.common.setup import Setup
from paper.measures.tables import rows, values
from spikesam.backends.network import Network
from spikesam.pipeline.networks.checkpoint import Checkpoint, save_checkpoint
from spikesam.recordings.errors import InputError
from spikesam.recordings.raster.reader import RasterReader
from tests.paper.setups import small_setup


def fading(network: Network, decay: float) -> Network:
    """The network with gains that fall from step to step."""
    fall = np.exp(-decay * np.arange(network.timesteps))[:, None]
    layers = [
        replace(layer, neuron=replace(layer.neuron, gain=layer.neuron.gain * fall, bias=layer.neuron.bias * fall))
        for layer in network.layers
    ]
    return replace(network, layers=tuple(layers))


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setup:
    """Untrained networks whose gains fall from step to step as if they had decayed."""
    setup = small_setup(tmp_path)
    surrogate = setup.networks.surrogate

    def recipe(gain_decay: float) -> Checkpoint:
        return replace(surrogate, network=fading(surrogate.network, gain_decay))

    monkeypatch.setattr(setup.networks, "recipe", recipe)
    update = setup.config.recipes.model_copy(update={"gain_decays": (0.0, 3.0)})
    setup.config = setup.config.model_copy(update={"recipes": update})
    return setup


def test_gains_that_fall_are_seen_and_cost_spikes(setup: Setup) -> None:
    result = recipes.run(setup)
    verdicts = {claim.what: claim.same for claim in result.claims}
    assert verdicts["gain decay 3, conv2: gain of BNTT falls over the steps"] == "yes"
    assert verdicts["gain decay 0, conv2: gain of BNTT falls over the steps"] != "yes"
    assert verdicts["spikes of one image, gain decay 0 against gain decay 3"] == "yes"
    assert verdicts["gain decay 3, conv1: activity early on raw time"] == "no", "it is active from the start"
    names = {path.name for path in setup.out.glob("recipes*.png")}
    assert names == {"recipes.png", "recipes_rate.png", "recipes_accuracy.png", "recipes_maps.png", "recipes_2.png"}
    assert set(result.table["measure"]) == {GAIN, RATE, RIGHT, SPIKES}


def test_curves_are_those_of_the_recording(setup: Setup) -> None:
    table = rows(recipes.run(setup).table, network="gain decay 0")
    network = setup.networks.recipe(0.0).network
    with RasterReader(setup.recording(network, setup.images)) as raster:
        in_time = {"conv1": 6, "conv2": 7, "fc1": 8}  # steps; later spikes do not reach the answer
        total = sum(int(raster.counts(layer)[:, :steps].sum()) for layer, steps in in_time.items()) / 9
        right = (raster.predictions == raster.samples.label).mean()
        rate = raster.counts("conv2")[:, 4].mean() / raster.layer("conv2").neurons
    last = rows(table, step=network.timesteps)
    assert rows(last, measure=SPIKES)["mean"].item() == pytest.approx(total)
    assert rows(last, measure=RIGHT)["mean"].item() == pytest.approx(right)
    assert rows(table, measure=RATE, layer="conv2", step=4)["mean"].item() == pytest.approx(rate)
    assert sorted(rows(table, measure=GAIN, layer="conv2")["step"]) == [2, 3, 4, 5, 6]  # reached, and not too late


def test_late_is_what_can_still_change_the_answer(setup: Setup) -> None:
    with RasterReader(setup.recording(setup.networks.surrogate.network, setup.images)) as raster:
        found, counts = thirds(raster), raster.counts("conv1")
    first = rows(found, layer="conv1", image=0)
    relative = counts[0, :6] / counts[0, :6].max()  # three layers and eight steps: those at 6 and 7 come too late
    assert values(first, measure="late").item() == pytest.approx(relative[4:].mean())
    assert values(first, measure="peak").item() == counts[0, :6].argmax()


def test_a_gain_is_what_bntt_makes_of_the_spread(setup: Setup) -> None:
    one, half = (gains(setup, fading(setup.networks.surrogate.network, decay)) for decay in (0.0, np.log(2)))
    for step in range(1, 6):
        ratio = values(half, layer="conv1", step=step) / values(one, layer="conv1", step=step)
        np.testing.assert_allclose(ratio, 2.0 ** (1 - step), rtol=1e-4)


def test_networks_from_elsewhere_stand_beside_them(setup: Setup, tmp_path: Path) -> None:
    path = tmp_path / "elsewhere" / "checkpoint.safetensors"
    path.parent.mkdir()
    save_checkpoint(setup.networks.surrogate, path)
    update = setup.config.recipes.model_copy(update={"gain_decays": (0.0,), "checkpoints": (str(path),)})
    setup.config = setup.config.model_copy(update={"recipes": update})
    assert list(recipes.networks_of(setup)) == ["gain decay 0", "elsewhere"]
    alone = update.model_copy(update={"checkpoints": ()})
    setup.config = setup.config.model_copy(update={"recipes": alone})
    with pytest.raises(InputError, match=r"^recipes: got 1 networks .*, expected 2 or more"):
        recipes.networks_of(setup)


def test_training_of_a_recipe_changes_nothing_but_the_decay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = small_setup(tmp_path)
    asked = []
    monkeypatch.setattr(setup.networks, "trained", lambda *sections: asked.append(sections))
    setup.networks.recipe(0.0)
    setup.networks.recipe(0.1)
    (network, without), (other, decayed) = asked
    assert network == other == setup.config.recipes.network
    assert decayed.model_copy(update={"gain_decay": 0.0}) == without
    assert (decayed.gain_decay, without.gain_decay) == (0.1, 0.0)
