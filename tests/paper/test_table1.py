from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from paper import table1
from paper.measures.tables import measured
from paper.table1 import judge, note_on_trainings, over_trainings
from spikesam import Checkpoint, InputError
from spikesam.settings import NetworkSection, TrainingSection
from spikesam.training import export_network
from tests.paper.setups import small_setup
from tests.pipeline.small_networks import small_model


def network(leak: float, error: float, hits: int, training: int = 0) -> pd.DataFrame:
    """Twenty images, of which so many are recognised."""
    errors = measured(
        error + 0.01 * np.arange(20), leak=leak, measure="localisation error", layer="conv3"
    )
    both = pd.concat(
        [errors, measured(np.arange(20) < hits, leak=leak, measure="accuracy", layer="")]
    )
    return both.assign(training=training)


def test_the_lowest_leak_is_set_against_the_highest() -> None:
    error, accuracy = judge(
        pd.concat([network(0.7, 0.9, 8), network(0.8, 0.5, 3), network(0.9, 0.7, 16)])
    )
    assert error.what == "conv3: error at λ = 0.7 / 0.8 / 0.9"
    assert (
        error.ours == "0.995 / 0.595 / 0.795; error at λ = 0.7 − error at λ = 0.9: 0.2 (0.2 … 0.2)"
    )
    assert (error.same, accuracy.same) == ("yes", "yes")
    assert accuracy.ours.startswith(
        "40.0% / 15.0% / 80.0%; accuracy at λ = 0.9 − accuracy at λ = 0.7: 0.4 ("
    )
    error, accuracy = judge(pd.concat([network(0.7, 0.5, 16), network(0.9, 0.7, 8)]))
    assert (error.same, accuracy.same) == ("no", "no")


def test_trainings_that_disagree_show_no_difference() -> None:
    # The mean difference is (0.3 + 0.1 - 0.1) / 3 = 0.1, equal over images, but the trainings
    # contradict each other.
    low = [network(0.7, 0.9, 8, training) for training in range(3)]
    high = [network(0.9, error, 8, training) for training, error in enumerate((0.6, 0.8, 1.0))]
    error, accuracy = judge(pd.concat([*low, *high]))
    assert error.gain is not None and error.gain.mean == pytest.approx(0.1)
    assert error.gain.low < 0 < error.gain.high
    assert (error.same, error.n, accuracy.same) == ("no difference seen", 20, "no difference seen")
    alone = judge(pd.concat([low[0], high[0]]))[0]
    assert alone.same == "yes", "one training cannot know"
    note = note_on_trainings(over_trainings(pd.concat([*low, *high])))
    assert "λ = 0.7 conv3 0, λ = 0.7 accuracy 0, λ = 0.9 conv3 0.4, λ = 0.9 accuracy 0." in note


def test_paper_figures_stand_beside_three_layers() -> None:
    claims = judge(
        pd.concat(
            [
                measured(
                    np.ones(3),
                    leak=leak,
                    measure="localisation error" if layer else "accuracy",
                    layer=layer,
                )
                for leak in (0.7, 0.9)
                for layer in ("conv4", "conv6", "conv8", "")
            ]
        ).assign(training=0)
    )
    assert [claim.paper for claim in claims[:3]] == [
        "0.68 / 0.63 / 0.61",
        "0.86 / 0.82 / 0.80",
        "0.98 / 0.97 / 0.91",
    ]
    assert {claim.same for claim in claims} == {"no difference seen"}


def test_several_networks_of_every_leak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = small_setup(tmp_path, images=4, accuracy_images=9, leaks=(0.9, 0.5))
    asked: list[tuple[float, int, int]] = []

    def trained(network: NetworkSection, training: TrainingSection) -> Checkpoint:
        asked.append((network.leak, training.seed, training.epochs))
        model = small_model(network=network, seed=training.seed)
        return replace(setup.networks.surrogate, network=export_network(model))

    monkeypatch.setattr(setup.networks, "trained", trained)
    result = table1.run(setup)
    assert asked == [(0.5, 0, 8), (0.5, 1, 8), (0.9, 0, 8), (0.9, 1, 8)]
    rows = result.table.set_index(["leak", "training", "measure", "layer"])["n"]
    assert rows.index.is_unique and len(rows) == 2 * (6 * 2 + 1) * (2 + 2)
    assert rows[0.5, 0, "accuracy", ""] == rows[0.5, "all", "accuracy", ""] == 9
    assert rows[0.9, "largest − smallest", "localisation error", "conv1"] == 4
    assert rows[0.9, 1, "localisation error", "conv2"] == 4
    assert rows[0.9, 1, "localisation error, authors' script, floor 0.001", "conv2"] == 4
    assert [claim.what.split(":")[0] for claim in result.claims[:4]] == [
        "conv1",
        "conv2",
        "conv1, authors' script",
        "conv2, authors' script",
    ]
    assert result.notes[0].startswith("Intervals are over trainings and images.")
    assert (setup.out / "table1.png").is_file()


def test_networks_that_could_not_be_compared_are_not_trained(tmp_path: Path) -> None:
    setup = small_setup(tmp_path)
    data = setup.config.data.model_copy(update={"mean": (0.1, 0.1, 0.1)})
    setup.networks.config = setup.config.model_copy(update={"data": data})
    with pytest.raises(InputError, match="does not fit the configuration: data.mean, data.std"):
        setup.networks.leaky(0.9)


def test_curves_go_from_the_lowest_leak_to_the_highest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[pd.DataFrame] = []
    monkeypatch.setattr(table1, "draw_curves", lambda *given, **named: drawn.append(given[3]))
    layers = ("conv2", "conv3", "conv4")
    leaks, trainings = [0.7, 0.75, 0.8, 0.85, 0.9, 0.95], (table1.ALL, table1.RANGE, 0, 1)
    measures = [
        *((measure, layer) for measure in table1.ERRORS for layer in layers),
        (table1.ACCURACY, ""),
    ]
    rows = [
        (leak, training, *of, 0.5) for leak in leaks for training in trainings for of in measures
    ]
    table1.draw(
        small_setup(tmp_path),
        pd.DataFrame(rows, columns=["leak", "training", "measure", "layer", "mean"]),
    )
    (points,) = drawn
    assert points["curve"].unique().tolist() == ["accuracy", *layers]
    assert points["faint"].unique().tolist() == ["", "0", "1"], "the mean, and each training thin"
    for _, curve in points.groupby(["panel", "curve", "faint"]):
        assert curve["x"].tolist() == leaks
