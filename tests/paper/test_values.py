"""The values of every image that experiments left: from them, tables and claims can be computed
again.
"""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from paper import doses, fig5, fig10, same_weights, spike_deletion, timing
from paper.common.heatmaps import sam_above_grad_cam
from paper.common.result import VALUES, Claim, better, over_family
from paper.common.settings import load_paper_config
from paper.measures.inference import (
    bootstrap_mean,
    bootstrap_over_networks,
    shares_over_networks,
)
from paper.measures.tables import groups, rows
from paper.pages.folder import Folder
from spikesam.statistics import Estimate, mean_with_interval

FILES = sorted((Path(__file__).resolve().parents[2] / "docs" / "results").glob(f"*/*{VALUES}"))


def named(path: Path) -> str:
    return path.name.removesuffix(VALUES)


def values_of(path: Path) -> pd.DataFrame:
    """The measured table, with texts in all columns but image and value."""
    texts = pd.read_csv(path, dtype=str, keep_default_na=False)
    return texts.assign(image=texts["image"].astype(int), value=texts["value"].astype(float))


def told(folder: Folder, name: str) -> dict[str, dict[str, Any]]:
    return {claim["what"]: claim for claim in folder.claims(name)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{named(path)}")
def test_every_interval_follows_from_the_values(path: Path) -> None:
    measured, folder, name = values_of(path), Folder(path.parent), named(path)
    columns = [column for column in measured.columns if column not in ("image", "value")]
    if (
        over_trainings := "training" in columns and name != "table1"
    ):  # whose table has a row for each training, too
        columns.remove("training")
    for names, each in groups(measured, columns):
        (wanted,) = folder(name, **dict(zip(columns, names, strict=True)))
        found = intervals(each, over_trainings)
        assert any(
            each == pytest.approx([wanted[part] for part in Estimate._fields], rel=2e-4, abs=2e-6)
            for each in found
        )


def intervals(values: pd.DataFrame, over_trainings: bool) -> Iterator[Estimate]:
    """Mean and interval of one condition: that of any values, and that of shares."""
    if over_trainings:
        by_training = values.pivot(index="training", columns="image", values="value")
        yield bootstrap_over_networks(by_training.to_numpy())
        yield shares_over_networks(by_training.to_numpy())
        return
    yield bootstrap_mean(values["value"])
    yield mean_with_interval(
        values["value"].to_numpy()
    )  # the second one is computed where the first does not fit


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{named(path)}")
def test_the_network_is_told_by_its_digest(path: Path) -> None:
    digests = Folder(path.parent).notes(named(path), "network, surrogate")
    assert all(len(digest) == 64 and int(digest, 16) for digest in digests)
    assert bool(digests) == (
        "training" not in values_of(path).columns or named(path) == "table1"
    ), "trained elsewhere"


def claims_again(name: str, measured: pd.DataFrame) -> list[Claim]:
    """The claims of an experiment that rest on its values alone."""
    if name == "fig10":
        return [
            claim
            for _, of_layer in measured.groupby("layer", sort=False)
            for claim in fig10.judge(of_layer)
        ]
    if name == "fig5":
        return [
            *fig5.activity_claims(rows(measured, network="surrogate")),
            *fig5.likeness_claims(measured),
        ]
    if name == "spike_deletion":
        return [better(what, both) for what, both in spike_deletion.compared_maps(measured)]
    if name == "doses":
        found = measured.assign(
            dose=measured["dose"].astype(float), rate=measured["rate"].astype(float)
        )
        tried = sorted(set(found["dose"]))
        of_doses = (
            *doses.silence_claims(found),
            *doses.price_claims(found, tried),
            *doses.burst_claims(found),
        )
        return [*of_doses, *doses.rate_claims(found)]
    if name == "same_weights":
        worst = rows(measured, measure="accuracy").assign(epsilon=measured["epsilon"].astype(float))
        pairs = [each for each in same_weights.PAIRS if set(each) <= set(worst["network"])]
        return [same_weights.claim_of(worst, *each, 0) for each in pairs]
    if name == "timing":
        config = load_paper_config(FILES[0].parents[1] / "timing" / "config.toml")
        found = measured.assign(gamma=measured["gamma"].astype(float))
        setup: Any = SimpleNamespace(config=config, settings=config.paper)
        return timing.compared_maps(setup, found)[1]
    measure = {"fig2": "total variation", "fig3": "heatmap variance"}[name]
    largest = {
        "fig2": "total variation, largest over steps",
        "fig3": "variance, largest over steps",
    }[name]
    return sam_above_grad_cam(measure, "", rows(measured, measure=largest), 0)


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in FILES
        if named(path)
        in ("fig2", "fig3", "fig5", "fig10", "doses", "spike_deletion", "timing", "same_weights")
    ],
    ids=lambda path: f"{path.parent.name}-{named(path)}",
)
def test_claims_follow_from_the_values(path: Path) -> None:
    name = named(path)
    claims, committed = claims_again(name, values_of(path)), told(Folder(path.parent), name)
    assert len(claims) > 1
    for claim in claims:
        wanted = committed[claim.what]
        if claim.gain is None:
            assert claim.same == wanted["same"]
        else:
            assert list(claim.gain) == pytest.approx(
                [wanted["n"], wanted["mean"], wanted["low"], wanted["high"]], rel=6e-3, abs=2e-5
            )
    if name in (
        "fig2",
        "doses",
        "spike_deletion",
    ):  # these are all of their claims, so they can be judged together
        judged = over_family(claims)
        assert [claim.same for claim in judged] == [
            committed[claim.what]["same"] for claim in claims
        ]
        for claim in judged:
            wanted = committed[claim.what]["p_holm"]
            if claim.p_holm is not None and 1e-9 < wanted < 1:
                assert claim.p_holm == pytest.approx(wanted, rel=0.1)


def test_sam_deletes_better_than_the_count_in_four_of_24_comparisons() -> None:
    """What the pages say of it, by paired t-tests with Holm over all 72 claims of a data set."""
    verdicts = [
        claim["same"]
        for path in FILES
        if named(path) == "spike_deletion"
        for claim in Folder(path.parent).claims(
            "spike_deletion", "spike count deletes better than SAM"
        )
    ]
    assert (len(verdicts), verdicts.count("no"), verdicts.count("yes")) == (24, 4, 0)


def test_fig3_holds_by_the_divisor_of_the_authors_script_in_every_layer() -> None:
    """What the page says of it: SAM − Grad-CAM has its interval above 0 with their 10⁻³."""
    lows = []
    for path in (path for path in FILES if named(path) == "fig3"):
        floored = values_of(path)
        floored = floored[floored["measure"].str.contains("the authors' 0.001")]
        for _, of_layer in floored.groupby("layer"):
            by_map = of_layer.pivot(index="image", columns="map", values="value")
            lows.append(bootstrap_mean(by_map["SAM"] - by_map["SNN Grad-CAM"]).low)
    assert len(lows) == 18
    assert min(lows) > 0
