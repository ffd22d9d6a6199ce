"""The experiments beyond the paper on whether maps find objects: planted maps, verdicts, small runs
to the end.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from paper import localisation
from paper.common.heatmaps import score_maps
from paper.common.result import write_result
from paper.common.scenes import mosaics
from paper.localisation import (
    AS_IS,
    Condition,
    claims_on_layers,
    conditions,
    has_shapes,
    joint,
    mean_of_parts,
    recognised,
    strata,
)
from paper.measures.tables import measured, rows, values
from spikesam.pipeline.measures import statistics
from spikesam.statistics import Estimate
from tests.paper.setups import image_set, small_setup

BETTER, WORSE, NEITHER = (
    Estimate(9, 0.2, 0.1, 0.3),
    Estimate(9, -0.2, -0.3, -0.1),
    Estimate(9, 0, -0.1, 0.1),
)


@pytest.fixture
def setup(tmp_path, monkeypatch):
    """Nine images with an object at their left, and a stand-in for the converted network."""
    monkeypatch.setattr(statistics, "RESAMPLES", 100)
    monkeypatch.setattr(localisation, "DRAWS", 1)
    setup = small_setup(tmp_path, images=9)
    mask = np.zeros((16, 24), np.bool_)
    mask[4:10, 1:8] = True
    mask[4, 1] = False  # a shape, not a box
    setup.images = replace(setup.images, masks=(mask,) * 8 + (None,))
    setup.networks.converted = setup.networks.surrogate
    return setup


def test_a_map_of_the_object_scores_one():
    images = image_set()
    scores = score_maps([mask.astype(float) for mask in images.masks], images, [1, 4])
    assert scores["image"].tolist() == [1, 4] * 4
    assert scores["measure"].unique().tolist() == [
        "pointing game",
        "energy in object",
        "IoU",
        "IoU at the object's area",
    ]
    assert set(scores["value"]) == {1}


def test_strata_are_halves_by_area_and_by_distance_from_the_centre():
    masks = [np.zeros((10, 10), np.bool_) for _ in range(4)]
    masks[0][4:6, 4:6] = True  # small, at the centre
    masks[1][0:2, 0:2] = True  # small, in a corner
    masks[2][1:9, 1:9] = True  # large, at the centre
    masks[3][0:6, 0:6] = True  # large, off the centre
    images = replace(image_set(count=4, height=10, width=10), masks=tuple(masks))
    found = strata(images, [0, 1, 2, 3])
    assert {name: chosen.tolist() for name, chosen in found.items()} == {
        "smaller": [0, 1],
        "larger": [2, 3],
        "nearer the centre": [0, 2],
        "off the centre": [1, 3],
    }


def test_a_map_that_favours_no_image_scores_the_mean_of_them():
    images = image_set(count=10, classes=5)
    mosaic = mosaics(images, 2, 2, seed=0)
    union = [mask.astype(float) for mask in mosaic.images.masks]
    scores = mean_of_parts(union, mosaic, [0, 3])
    np.testing.assert_allclose(
        values(scores, measure="energy in object"), 0.25
    )  # objects are equally large
    first = mean_of_parts([masks[0].astype(float) for masks in mosaic.masks], mosaic, [0, 3])
    np.testing.assert_allclose(values(first, measure="pointing game"), 0.25)


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ((BETTER, NEITHER), "yes"),
        ((NEITHER, WORSE), "no"),
        ((NEITHER, NEITHER), "no difference seen"),
        ((BETTER, WORSE), "cannot say"),
        ((BETTER, Estimate(1, 0.5, -np.inf, np.inf)), "cannot say"),
    ],
)
def test_one_verdict_from_two_measures(differences, expected):
    assert joint(differences) == expected


def test_layers_are_compared_image_by_image():
    """Of two layers, the deeper finds more; the converted network finds nothing."""
    found = {
        ("surrogate", "conv1"): 0.4,
        ("surrogate", "conv2"): 0.6,
        ("converted", "conv1"): 0,
        ("converted", "conv2"): 0,
    }
    noise = np.linspace(0, 0.01, 20)
    sam = pd.concat(
        measured(value + rank * noise, network=network, layer=layer, measure=measure)
        for rank, ((network, layer), value) in enumerate(found.items())
        for measure in localisation.ORDINAL
    )
    claims = claims_on_layers(sam, ())
    assert len(claims) == 6 and {claim.same for claim in claims} == {"yes"}
    assert (
        claims[-1].what
        == "surrogate: SAM of conv2 finds the object better than that of conv1: IoU at the "
        "object's area"
    )
    assert claims[-1].gain.mean == pytest.approx(0.2 + noise.mean())
    (alone,) = {claim.what.partition(":")[0] for claim in claims_on_layers(sam, ("conv2",))[:2]}
    assert alone == "conv2"


def test_conditions_follow_what_the_images_allow(setup):
    names = [condition.name for condition in conditions(setup, setup.images)]
    assert names == [
        "as is",
        "pasted on mean",
        "pasted on texture",
        "among decoys",
    ]  # three classes: no four images
    five = image_set(count=10, classes=5)
    found = {condition.name: condition for condition in conditions(setup, five)}
    assert list(found) == [*names[:3], "four images: predicted", "four images: any"]
    mosaic = found["four images: predicted"].parts
    np.testing.assert_array_equal(
        found["four images: predicted"].asked(mosaic.labels[:, 3]).masks[0], mosaic.masks[0][3]
    )
    np.testing.assert_array_equal(
        found["four images: any"].asked(mosaic.labels[:, 3]).masks[0],
        np.logical_or.reduce(mosaic.masks[0]),
    )
    assert recognised(found["four images: any"], mosaic.labels[:, 3]).all()
    assert not recognised(found["four images: any"], np.full(10, 7)).any()


def test_boxes_are_no_shapes():
    images = image_set()
    assert not has_shapes(images)
    assert not has_shapes(image_set(masks=False))
    assert recognised(Condition(AS_IS, images), images.labels).all()


def test_localisation_to_the_end(setup):
    result = localisation.run(setup)
    write_result("localisation", result, {"command": "a test"}, setup.out)
    assert (setup.out / "localisation.png").stat().st_size > 10_000
    for condition in ("as is", "pasted on mean", "pasted on texture", "among decoys"):
        found = rows(result.table, condition=condition, subset="all", network="surrogate")
        assert set(rows(found, measure="IoU")["method"]) == {*localisation.METHODS} - {
            localisation.ANY_OF_FOUR
        }
        assert set(found["n"]) == {8, 9}  # one object is unknown; accuracy is of all
        assert (found["low"] <= found["mean"]).all() and (found["mean"] <= found["high"]).all()
    as_is = rows(result.table, condition="as is", subset="all", network="surrogate")
    gaussian = rows(as_is, method="centred Gaussian", measure="pointing game")
    assert gaussian["mean"].tolist() == [0]  # the objects lie at the left
    assert (
        len(result.claims) == 2 * 4 * 4 + 2 * 3
    )  # of two layers: both networks in each, and one against the other
    assert rows(result.table, condition="negatives")["measure"].tolist() == ["accuracy"]


def test_without_objects_nothing_is_claimed(tmp_path):
    setup = small_setup(tmp_path, images=3)
    setup.networks.converted = setup.networks.surrogate
    result = localisation.run(setup)
    assert [(claim.same, claim.n) for claim in result.claims] == [("cannot say", 0)]
    assert "no image has a box or mask" in result.claims[0].ours
    assert set(result.table["measure"]) == {"accuracy"}
