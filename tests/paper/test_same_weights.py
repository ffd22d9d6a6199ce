"""same_weights: the converted network against its own ANN, tiny and whole,
and worst cases by hand.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from paper import same_weights
from paper.common.settings import SameWeightsSection
from paper.common.setup import Setup
from paper.measures.tables import rows, values
from spikesam import Layer, Network, Preprocessing, Readout
from spikesam.backends.network import ReLU
from spikesam.gradients import DifferentiableNetwork
from tests.paper.setups import small_setup

NAMES = [same_weights.ANN, same_weights.LEVELS, same_weights.CURRENT, same_weights.POISSON]


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    """Untrained networks of six steps, and attacks of four."""
    section = SameWeightsSection(
        images=6,
        timesteps=6,
        epsilons=(0.02, 0.3),
        iterations=4,
        restarts=2,
        draws=3,
        widths=(1, 2),
    )
    return small_setup(tmp_path, {"same_weights": section})


def test_the_whole_experiment(setup: Setup) -> None:
    result = same_weights.run(setup)
    assert [claim.what.split("attacks, ")[1] for claim in result.claims] == [
        f"{name}, against {other}" for name, other in same_weights.PAIRS
    ]
    models = same_weights.models_of(setup)
    accuracy = rows(result.table, measure="accuracy", change=same_weights.WORST)
    for name in NAMES:
        of_network = rows(accuracy, network=name).sort_values("epsilon")["mean"].tolist()
        assert len(of_network) == 3
        assert of_network == sorted(of_network, reverse=True), "what is broken stays broken"
        for epsilon in (0.0, 0.02, 0.3):
            broken = sum(
                rows(result.table, measure=f"broken by {through}", network=name, epsilon=epsilon)[
                    "mean"
                ].item()
                for through in same_weights.attackers(setup, name, models)
            )
            assert broken <= 1 - rows(accuracy, network=name, epsilon=epsilon)["mean"].item() + 1e-9
    assert rows(accuracy, network=same_weights.ANN, epsilon=0.3)["mean"].item() == 0, (
        "an ANN without defence"
    )
    assert (setup.out / "same_weights.png").is_file()


def test_worst_cases_by_hand(setup: Setup) -> None:
    """Of two pixels the redder tells the class. They are 0.1 apart, so just more than ε = 0.05
    breaks both images.
    """
    weight = np.array([[1.0, 0, 0, 0, 0, 0], [0, 1.0, 0, 0, 0, 0]])
    ann = Network((3, 1, 2), 1, (Layer("fc1", weight, ReLU()),), Readout(np.eye(2)), "image")
    pixels = np.full((2, 3, 1, 2), 0.7)
    pixels[0, 0, 0], pixels[1, 0, 0] = (0.8, 0.7), (0.7, 0.8)
    images = replace(
        setup.images.take(2),
        pixels=((pixels - 0.5) / 0.25).astype(np.float32),
        labels=np.array([0, 1]),
        preprocessing=Preprocessing(1, 2, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
    )
    models = {same_weights.ANN: DifferentiableNetwork(ann)}
    found = same_weights.survivals(setup, images, same_weights.ANN, models, [0.0, 0.048, 0.052])
    assert values(found, measure="accuracy").tolist() == [1, 1, 1, 1, 0, 0]
    by = values(found, measure=f"broken by {same_weights.OWN}")
    assert by.tolist() == [0, 0, 0, 0, 1, 1]


def test_answers_are_the_mean_over_draws(setup: Setup) -> None:
    images, models = same_weights.labelled(setup), same_weights.models_of(setup)
    share = same_weights.share_right(setup, models[same_weights.POISSON], images)
    assert set(np.round(3 * share)) <= {0, 1, 2, 3}
    np.testing.assert_allclose(3 * share, np.round(3 * share))
    assert set(same_weights.share_right(setup, models[same_weights.CURRENT], images)) <= {0.0, 1.0}


def test_an_ann_in_levels_by_hand() -> None:
    """θ = 2 in four levels: 0.5 apart, none above 2, where the gradient ends, and many levels are
    the ANN.
    """
    ann = Network((3, 1, 1), 1, (Layer("fc1", np.eye(3), ReLU()),), Readout(np.eye(3)), "image")
    inputs = torch.tensor([[0.6, 1.8, 3.0]], requires_grad=True)
    found = same_weights.InLevels(ann, {"fc1": np.array([2.0])}, 4).logits(
        inputs.reshape(1, 3, 1, 1)
    )
    assert found.tolist() == [[0.5, 2.0, 2.0]]
    found.sum().backward()
    assert inputs.grad is not None and inputs.grad.tolist() == [[1.0, 1.0, 0.0]]
    fine = same_weights.InLevels(ann, {"fc1": np.array([4.0])}, 1 << 16).logits(
        inputs.reshape(1, 3, 1, 1)
    )
    torch.testing.assert_close(fine, inputs, atol=1e-4, rtol=0)
