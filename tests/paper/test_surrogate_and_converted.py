"""fig5, fig6 and fig8: a surrogate-trained network beside a converted one."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from paper import fig5, fig6, fig8
from paper.common.errors_by_kernel import (
    COUNT,
    EQUATIONS,
    ERROR,
    GRAD_CAM,
    OBJECT,
    SCRIPT,
    lowest_by_case,
    note_on_reference,
    with_reference,
)
from paper.common.heatmaps import swept
from paper.common.result import Claim
from paper.common.setup import Setup
from paper.measures.maps import AUTHORS_FLOOR, is_flat, localisation_errors, lowest_errors
from paper.measures.over_time import activity
from paper.measures.tables import measured, rows, summary, values
from spikesam import BackendError, Checkpoint, Layer
from spikesam.figures import Cell
from spikesam.settings import ConversionRule
from tests.paper.setups import small_setup


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("setup")


@pytest.fixture
def setup(folder: Path) -> Setup:
    """With integrate-and-fire neurons and more steps in place of the converted network."""
    setup = small_setup(folder, images=5, both_backends=0)
    surrogate = setup.networks.surrogate
    layers = tuple(
        Layer(
            layer.name, replace(layer.inputs[0], gain=1), replace(layer.neuron, leak=1.0, bias=0.0)
        )
        for layer in surrogate.network.layers
    )
    converted = replace(surrogate, network=replace(surrogate.network, timesteps=20, layers=layers))
    setup.networks.converted = converted
    return setup


def test_fig5_measures_and_draws(setup: Setup) -> None:
    result = fig5.run(setup)
    table = result.table
    assert set(zip(table["network"], table["layer"], strict=True)) == {
        (net, conv) for net in ("surrogate", "converted") for conv in ("conv1", "conv2")
    }
    assert set(table["n"]) == {5}
    assert np.isfinite(table[["mean", "low", "high"]]).all(axis=None)
    assert table["mean"].between(-1, 1).all()
    assert len(result.claims) == 2 * 5 + 2 * 2 + 2
    assert {path.name for path in setup.out.glob("fig5*.png")} == {"fig5.png", "fig5_2.png"}


def test_a_frame_stands_where_the_object_is() -> None:
    mask = np.zeros((16, 24), bool)
    mask[4:8, 6:24] = True
    framed = fig5.with_frame(
        Cell(np.ones((4, 8))), mask
    )  # a cell of the map is 4 rows and 3 columns of the image
    assert framed.box == (2, 1, 8, 2)
    assert fig5.with_frame(Cell(), mask).box is None


def test_fig5_sees_early_silence_on_raw_time_alone() -> None:
    """A layer that is busy all the time from its arrival at step 4 of 12 on."""
    counts = np.repeat([0] * 4 + [9] * 8, 3).reshape(12, 3).T
    arrived = {
        name: measured(part, layer="conv2", measure=name)
        for name, part in activity(counts[:, 4:]).items()
    }
    raw = {
        name: measured(part, layer="conv2", measure=name + fig5.RAW)
        for name, part in activity(counts).items()
    }
    to_end = {name: each.assign(measure=name + fig5.TO_THE_END) for name, each in arrived.items()}
    claims = fig5.activity_claims(pd.concat([*arrived.values(), *raw.values(), *to_end.values()]))
    assert {
        claim.what.removeprefix("surrogate, conv2: activity "): claim.same for claim in claims
    } == {
        "early": "no",
        "late": "no",
        "late, to the last step of the recording": "no",
        "early, on raw time": "yes",
        "late, on raw time": "no",
    }


def test_fig5_says_so_when_lava_does_not_run(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    skipped = fig5.same_on_every_backend(setup, "surrogate", setup.networks.surrogate.network)
    assert (skipped.ours, skipped.same, skipped.n) == (
        "not run: paper.both_backends is 0",
        "cannot say",
        0,
    )

    def recording(*_: object, backend: str, **__: object) -> Path:
        raise BackendError(f"{backend}: needs Python 3.10")

    setup.settings = setup.settings.model_copy(update={"both_backends": 2})
    monkeypatch.setattr(setup, "recording", recording)
    refused = fig5.same_on_every_backend(setup, "surrogate", setup.networks.surrogate.network)
    assert (refused.ours, refused.same) == ("not run: event: needs Python 3.10", "cannot say")


def test_fig5_compares_digests_and_maps(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    setup.settings = setup.settings.model_copy(update={"both_backends": 2})
    network, images = setup.networks.surrogate.network, setup.images.take(2)
    same, other = setup.recording(network, images), setup.recording(network, images, seed=1)
    monkeypatch.setattr(setup, "recording", lambda *_, **__: same)
    claim = fig5.same_on_every_backend(setup, "surrogate", network)
    assert (claim.same, claim.n) == ("yes", 2)
    assert claim.ours.endswith("and 4 of 4 series of maps bit-equal")
    monkeypatch.setattr(
        setup, "recording", lambda *_, backend, **__: other if backend == "lava" else same
    )
    assert fig5.same_on_every_backend(setup, "surrogate", network).same == "no"


def test_fig6_sees_no_difference_between_a_network_and_itself(setup: Setup) -> None:
    setup.networks.converted = setup.networks.surrogate
    result = fig6.run(setup)
    errors = [claim for claim in result.claims if "error" in claim.what]
    assert len(errors) == 2 * 6
    assert {claim.same for claim in errors} == {"no difference seen"}
    means = [
        rows(result.table, network=network)["mean"].tolist()
        for network in ("surrogate", "converted")
    ]
    assert means[0] == pytest.approx(means[1], abs=1e-6)


def test_a_late_burst_is_drawn_beside_what_it_hides() -> None:
    points = pd.DataFrame(
        {"panel": "surrogate", "style": ["-", "-", ":", ":"], "mean": [0.1, 0.2, 0.2, 0.6]},
        index=[0, 1, 0, 1],
    )
    fitting, every = fig6.without_burst(points)
    assert (
        fitting["mean"].tolist() == [0.1, 0.2, 0.2]
        and every["mean"].tolist() == points["mean"].tolist()
    )
    assert fitting["panel"].unique().tolist() == ["surrogate, without the late burst"]
    (alone,) = fig6.without_burst(
        points.assign(mean=[0.1, 0.2, 0.2, 0.25])
    )  # 1¼ times the highest still fits
    assert len(alone) == 4


def test_fig6_tells_errors_for_every_epsilon_and_as_few_steps(setup: Setup) -> None:
    result = fig6.run(setup)
    table = rows(result.table, measure="localisation error", kernel=EQUATIONS, floor=0.0)
    errors = table.set_index(["network", "layer", "epsilon", "steps"])["mean"].to_dict()
    rounding = 1e-6
    assert len(errors) == 2 * 2 * 3 * 3
    for (network, layer, epsilon, steps), mean in errors.items():
        assert 0 < mean < -np.log(epsilon)
        if steps == fig6.SUM:
            continue
        if steps == fig6.FEWER:  # a minimum over fewer steps is no smaller
            assert mean >= errors[network, layer, epsilon, "all"] - rounding
        if (
            network == "surrogate"
        ):  # the steps before the image's arrival are silent and never count
            assert mean == pytest.approx(errors[network, layer, epsilon, "all"], abs=rounding)
    assert {path.name for path in setup.out.glob("fig6*.png")} == {
        "fig6.png",
        "fig6_kernel.png",
        "fig6_rate.png",
    }


@pytest.mark.parametrize(
    ("curve", "verdicts"),
    [
        ([3.0, 1.0, 2.0], ["yes", "yes", "yes"]),
        ([3.0, 2.0, 1.0], ["yes", "no", "no"]),
        ([1.0, 2.0, 3.0], ["no", "no", "yes"]),
        ([1.0, 1.0, 1.0], ["no difference seen"] * 3),
    ],
)
def test_fig8_judges_the_shape_of_a_curve(curve: list[float], verdicts: list[str]) -> None:
    def judge(images: int) -> list[Claim]:
        return fig8.judge(
            "surrogate, conv1", pd.DataFrame([curve] * images, columns=[0.0, 0.5, 1.0])
        )

    claims = judge(4)
    assert [claim.same for claim in claims] == verdicts
    for few in (1, 3):  # of which one at most is left to judge by
        assert {claim.same for claim in judge(few)} == {"cannot say"}


def test_fig8_does_not_flatter_its_choice_of_the_best() -> None:
    noise = [  # nothing depends on γ
        pd.DataFrame(errors, columns=np.linspace(0, 1, 21))
        for errors in np.random.default_rng(0).normal(size=(40, 50, 21))
    ]
    seen = [claim.same for errors in noise for claim in fig8.judge("noise", errors)]
    assert seen.count("no difference seen") > 0.85 * len(seen)
    assert fig8.judge("noise", noise[0])[0].n == 25


def test_fig8_sweeps_from_no_decay_to_nothing_but_the_present(setup: Setup) -> None:
    setup.settings = setup.settings.model_copy(update={"gammas": (1000.0, 0.0, 0.5)})
    result = fig8.run(setup)
    table = result.table
    papers = rows(table, kernel=EQUATIONS, floor=0.0)
    lowest, mean, added = (
        rows(papers, measure=measure) for measure in (fig8.MINIMUM, fig8.MEAN, fig8.ADDED)
    )
    assert rows(lowest, network="converted", layer="conv2")["gamma"].tolist() == [0, 0.5, 1000]
    assert set(table["measure"]) == {fig8.MINIMUM, fig8.MEAN, fig8.SUM, fig8.ADDED}
    assert set(table["against"]) == {GRAD_CAM}  # these images have no boxes
    np.testing.assert_allclose(rows(added, gamma=1000.0)["mean"], 0, atol=1e-12)
    assert (lowest["mean"].to_numpy() <= mean["mean"].to_numpy()).all()
    assert np.isfinite(table[["mean", "low", "high"]]).all(axis=None)
    assert len(result.claims) == 2 * 2 * 2 * 4
    path = setup.recording(setup.networks.surrogate.network, setup.images)
    one = rows(fig8.errors_of(setup, path, [0.5]), kernel=EQUATIONS, floor=0.0)
    expected = rows(lowest, network="surrogate", gamma=0.5)["mean"].tolist()
    assert [
        each["value"].mean() for _, each in rows(one, measure=fig8.MINIMUM).groupby("layer")
    ] == pytest.approx(expected)


def test_fig8_asks_for_the_object_where_it_is_known(setup: Setup) -> None:
    path = setup.recording(setup.networks.surrogate.network, setup.images)
    mask = np.zeros(setup.images.size, np.bool_)
    mask[:2, :2] = True
    setup.images = replace(setup.images, masks=(mask,) * len(setup.images))
    errors = rows(
        fig8.errors_of(setup, path, [0.5]), measure=fig8.MINIMUM, kernel=EQUATIONS, floor=0.0
    )
    expected = [
        lowest_errors(maps[0], mask.astype(np.float32)).item()
        for *_, maps in swept(setup, path, [0.5])
    ]
    assert values(errors, against=OBJECT) == pytest.approx(expected)
    assert not np.array_equal(values(errors, against=GRAD_CAM), values(errors, against=OBJECT))
    assert "has its maximum on the object in a share of" in note_on_reference(setup)
    points = with_reference(setup, summary(errors)).iloc[-4]
    assert (points["measure"], points["network"], points["kernel"], points["n"]) == (
        "pointing game of the reference",
        "ANN",
        "",
        5,
    )


def test_the_authors_kernel_without_decay_is_counting(setup: Setup) -> None:
    """Steps of one map are all multiplied by t + 1, which min-max normalisation takes away."""
    path = setup.recording(setup.networks.surrogate.network, setup.images)
    errors = rows(
        fig8.errors_of(setup, path, [0.0, 0.5]), measure=fig8.MINIMUM, against=GRAD_CAM, floor=0.0
    )
    by_script = values(errors, kernel=SCRIPT, gamma=0.0)
    np.testing.assert_allclose(by_script, values(errors, kernel=COUNT, gamma=np.inf), rtol=1e-5)
    assert not np.allclose(values(errors, kernel=EQUATIONS, gamma=0.0), by_script)


def test_one_error_of_each_case_is_that_of_the_sweep(setup: Setup) -> None:
    path = setup.recording(setup.networks.surrogate.network, setup.images)
    found = lowest_by_case(setup, path)
    swept_errors = rows(fig8.errors_of(setup, path, [setup.settings.gamma]), measure=fig8.MINIMUM)
    cases = product(("", ", authors' script", ", spike count"), ("", ", floor 0.001"))
    assert set(found["measure"]) == {f"{ERROR}{kernel}{floor}" for kernel, floor in cases}
    np.testing.assert_array_equal(
        values(found, measure=f"{ERROR}, authors' script, floor 0.001"),
        values(swept_errors, kernel=SCRIPT, floor=AUTHORS_FLOOR),
    )


def test_the_authors_floor_flattens_a_small_reference() -> None:
    maps = np.float32([[[0, 2], [1, 4]]])
    weak = np.float32([[0, 0], [0, 1e-6]])
    flattened = localisation_errors(maps, weak, floor=1e-3)
    np.testing.assert_allclose(
        flattened, localisation_errors(maps, np.zeros((2, 2), np.float32)), rtol=2e-2
    )
    assert abs(flattened - localisation_errors(maps, weak)).item() > 0.1
    np.testing.assert_allclose(
        localisation_errors(maps, weak, floor=0.0), localisation_errors(maps, 1e6 * weak)
    )


def test_other_rules_of_conversion_stand_beside_the_first(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup.networks.settings = setup.settings.model_copy(update={"rules": ("max", "balanced")})
    asked = []

    converted = setup.networks.converted

    def converted_by(rule: ConversionRule) -> Checkpoint:
        asked.append(rule)
        return converted

    monkeypatch.setattr(setup.networks, "converted_by", converted_by)
    assert list(setup.networks.by_rule) == ["surrogate", "converted", "converted, balanced"]
    result = fig8.run(setup)
    assert set(asked) == {"balanced"}, "its own rule, max, is there already"
    claimed = {claim.what.split(",")[0] for claim in result.claims}
    assert claimed == {"surrogate", "converted"}
    errors = rows(result.table, measure=fig8.MINIMUM, kernel=EQUATIONS, floor=0.0)
    both = (
        rows(errors, network=name)["mean"].tolist() for name in ("converted", "converted, balanced")
    )
    assert next(both) == next(both)
    assert (setup.out / "fig8_rules.png").is_file()
    assert {note.split(".")[0] for note in fig6.run(setup).notes} >= {
        "Error minus the surrogate's, steps all, by rule of conversion",
        "Variation of the surrogate's spike rate minus that of the converted one, by rule",
    }
    assert any("by rule. converted, balanced: conv1" in note for note in fig5.run(setup).notes)
    assert (setup.out / "fig5_rules.png").is_file()


def test_the_mean_error_leaves_out_flat_steps() -> None:
    spoken, silent = np.eye(2, dtype=np.float32), np.zeros((2, 2), np.float32)
    maps = np.stack([[silent, spoken, 1 - spoken], [silent, silent, silent]])
    errors = localisation_errors(maps, spoken)
    right, wrong, nothing = localisation_errors(np.stack([spoken, 1 - spoken, silent]), spoken)
    assert fig8.mean_errors(errors, is_flat(maps)) == pytest.approx([(right + wrong) / 2, nothing])
