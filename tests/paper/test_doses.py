"""Doses of the decay of BNTT's gains: what a dose is, one step of decay by hand, and the
experiment, tiny and whole.
"""

import numpy as np
import pandas as pd
import pytest
import torch

from paper import doses, length, spike_deletion_trainings
from paper.common.deletion import BY_SPIKES
from paper.common.settings import DosesSection
from paper.common.setup import Setup
from paper.doses import TreatGains, Treatment, decay_of, dosed, sum_of_rates
from paper.measures.tables import rows, values
from spikesam import InputError
from spikesam.pipeline.training.fit import TrainingModule
from spikesam.pipeline.training.inputs import training_inputs
from spikesam.settings import Config, DataSection, NetworkSection, TrainingSection
from spikesam.training import SpikingNetwork
from tests.paper.setups import small_setup

SGD = {"optimizer": "sgd", "schedule": "step", "learning_rate": 0.1, "clip": 0.0}


def test_the_papers_sum_by_hand() -> None:
    """90 epochs of 3,125 steps at 0.1, divided by ten after 45, 63 and 81; decay 5e-4: 7.34."""
    rates = 3125 * (45 * 0.1 + 18 * 0.01 + 18 * 0.001 + 9 * 0.0001)
    assert decay_of(1.0, TrainingSection(epochs=90, **SGD), 3125) == pytest.approx(5e-4)
    assert 5e-4 * rates == pytest.approx(7.342, abs=1e-3)
    assert sum_of_rates(TrainingSection(epochs=90, **SGD), 3125) == pytest.approx(rates)


def test_a_dose_is_a_product() -> None:
    """Twice the steps, a higher rate of the gains, or half the dose, each with a decay as much
    weaker.
    """
    training = TrainingSection(epochs=10, **SGD)
    once = decay_of(1.0, training, 100)
    assert decay_of(1.0, training, 200) == pytest.approx(once / 2)
    assert decay_of(1.0, training, 100, rate=5) == pytest.approx(once / 5)
    assert decay_of(0.25, training, 100) == pytest.approx(once / 4)
    assert decay_of(0.0, training, 100) == 0.0


@pytest.mark.parametrize("change", [{"optimizer": "adamw"}, {"schedule": "one-cycle"}])
def test_a_dose_of_another_optimizer_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r'^dose: got optimizer .* expected "sgd" with "step"'):
        sum_of_rates(TrainingSection(**{**SGD, **change}), 10)


@pytest.mark.parametrize(("gradients", "late"), [("none", 1.0), ("zero", 0.7)])
def test_a_step_of_decay_by_hand(gradients: str, late: float) -> None:
    """Rate 0.1 · 6, decay 0.5: γ ← γ · (1 - 0.3), and with momentum 0.9 (1 - 0.3) · 0.7 - 0.9 · 0.3
    = 0.22 after two.

    Two layers delay the input by two steps, so of layer 1's four gains the last two are never heard
    of.
    """
    treatment = Treatment(1.0, gradients, 6.0)
    network = NetworkSection(layers=(4, "D8"), timesteps=4)
    training = TrainingSection(weight_decay=0.0, gain_decay=0.5, **SGD)
    model = SpikingNetwork(network, (3, 4, 4), 2)
    config = Config(data=DataSection(height=4, width=4), network=network, training=training)
    module = TrainingModule(model, training, training_inputs(config))
    (optimizer,), _ = module.configure_optimizers()
    callback, trainer = (
        TreatGains(treatment),
        type("Trainer", (), {"global_step": 0, "optimizers": [optimizer]}),
    )
    callback.on_train_start(trainer, module)
    gains = [norm.weight for norm in model.layers[0].bntt]
    for left in (0.7, 0.22):
        optimizer.zero_grad()
        model(torch.ones(4, 2, 3, 4, 4)).sum().mul(
            0
        ).backward()  # gradients of zero, where an answer hears of them
        callback.on_before_optimizer_step(trainer, module, optimizer)
        optimizer.step()
        of_late = 1.0 if late == 1 else left
        for gain, expected in zip(gains, (left, left, of_late, of_late), strict=True):
            torch.testing.assert_close(gain.detach(), torch.full((4,), expected))


def test_silence_and_burst_by_hand() -> None:
    """Ten steps; the image arrives at 1, the last two come too late: six in between, in thirds of
    two.
    """
    rates = np.array([[0, 0.5, 0.001, 0.5, 0.5, 0.02, 0.0, 0.0, 0.3, 0.5]])
    found = pd.concat(doses.of_layer(rates, "conv1", 1, 7))
    assert values(found, measure=doses.EARLY) == [0.5]
    assert values(found, measure=doses.LATE) == [0.5]
    assert values(found, measure=doses.BURST) == pytest.approx(
        [(0 + 0.3 + 0.5) / 3 - (0.02 + 0) / 2]
    )
    assert values(found, measure=doses.RATE).tolist() == rates[0].tolist()
    last = pd.concat(doses.of_layer(rates, "fc1", 1, 10))
    assert doses.BURST not in set(last["measure"]), "all its steps can change the answer"


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    """Trainings of seconds."""
    training = TrainingSection(epochs=2, batch_size=2, selection=0.4, **SGD)
    section = DosesSection(
        side=8,
        network=NetworkSection(layers=(4, "P", 4, "D4"), timesteps=9),
        first=training.model_copy(update={"gain_decay": 0.0}),
        training=training,
        doses=(0.0, 0.02),
        rate=2.0,
        other_rates=(1.0,),
        other_doses=(0.0, 1.0),
        trainings=2,
        lengths=(1, 2),
        length_trainings=2,
        images=6,
    )
    return small_setup(tmp_path_factory.mktemp("doses"), {"doses": section})


@pytest.mark.filterwarnings("ignore")
def test_the_whole_experiment(setup: Setup) -> None:
    result = doses.run(setup)
    verdicts = {claim.what: claim for claim in result.claims}
    assert verdicts["conv1: late burst with no gradients, against gradients of zero"].n == 6
    assert {path.name for path in setup.out.glob("*.png")} == {
        "doses.png", "doses_rate.png", "doses_rates.png", "doses_burst.png",
    }  # fmt: skip
    table = result.table
    assert set(table["trainings"]) == {2} and set(table["n"]) == {6}
    assert rows(table, gradients="none", rate=2.0, measure=doses.SPIKES)["dose"].tolist() == [
        0.0,
        0.02,
        1.0,
    ]
    assert len(rows(table, gradients="zero", measure=doses.RIGHT)) == 1
    assert any("1 by a rate of 1: " in note for note in result.notes)
    assert (
        "2 epochs of 3 steps of 2 images" in result.notes[0]
    )  # of three classes of three, 40 % are set aside
    assert verdicts["conv1 silent steps, late at dose 1, gains' rate 2 against 1"].n == 6
    assert sum("gains' rate" in what for what in verdicts) == 3 + 2, (
        "three layers, spikes and accuracy, at one dose"
    )
    assert not list(setup.cache.directory.glob("*/epochs"))


@pytest.mark.filterwarnings("ignore")
def test_gains_without_gradient_stay_and_zeros_take_them(setup: Setup) -> None:
    """The networks of the experiment, from their files: the gains of steps that are too late."""
    section, config = setup.config.doses, doses.training_config(setup, 0)
    left = {}
    for gradients in ("none", "zero"):
        treatment = Treatment(0.02, gradients, 2.0)
        network = dosed(setup, config, section.training, treatment).network
        gain = np.abs(np.asarray(network.layers[0].inputs[0].gain)).mean(axis=1)
        left[gradients] = (
            gain[7] / gain[3]
        )  # three layers, nine steps: currents of the first six reach the answer
    assert left["none"] > 1.2, "they stay while the others decay"
    assert left["zero"] == pytest.approx(1, abs=0.1), "they decay alike"


@pytest.mark.filterwarnings("ignore")
def test_spikes_are_deleted_over_trainings(setup: Setup) -> None:
    result = spike_deletion_trainings.run(setup)
    table = rows(result.table, measure=BY_SPIKES)
    assert set(table["trainings"]) == {2} and set(table["n"]) == {6}
    assert set(table["layer"]) == {"input", "conv1", "conv2"}
    means = rows(table, layer="conv1").set_index("map")["mean"]
    what = "in conv1, by spikes: relevance deletes better than SAM"
    claim = next(each for each in result.claims if each.what == what)
    assert claim.gain is not None and claim.n == 6
    assert claim.gain.mean == pytest.approx(means["SAM"] - means["relevance"])
    assert (setup.out / "spike_deletion_trainings.png").is_file()


@pytest.mark.filterwarnings("ignore")
def test_one_sum_by_trainings_of_several_lengths(setup: Setup) -> None:
    """Each epoch has three steps; the second of two has a tenth of the rate. One sum:
    0.25 · 7.34.
    """
    result = length.run(setup)
    assert "1 epochs, 3 steps with a decay of 6.1; 2 epochs, 6 steps with a decay of " in " ".join(
        result.notes
    )
    table = result.table
    assert set(table["arm"]) == {length.SKIPPED, length.ZEROS, length.WITHOUT}
    assert set(table["epochs"]) == {1, 2} and set(table["trainings"]) == {2}
    late = rows(table, measure=doses.LATE, layer="conv1", arm=length.SKIPPED)
    what = "conv1: silent steps, late, 1 epochs against 2"
    claim = next(each for each in result.claims if each.what == what)
    first, second = late["mean"]
    assert claim.gain is not None and claim.gain.mean == pytest.approx(first - second)
    assert {each.same for each in result.claims} == {"cannot say"}, "two trainings are no test"
    assert len(result.claims) == 3 * (2 + 1) + 2 * 2 * 2
    assert (setup.out / "length.png").is_file()
