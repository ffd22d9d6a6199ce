"""Table 1: localisation error and accuracy of surrogate-trained networks of three leaks λ.

The paper: with less forgetting (λ = 0.7, 0.8, 0.9) the error falls in every layer and the accuracy rises.

Measured: localisation error against the ANN's Grad-CAM, minimum over the steps that can still change the answer;
accuracy in fixed point. Intervals are over images. What another training seed changes is shown by a twin of the network
of the highest leak.
"""

from __future__ import annotations

import pandas as pd

from backends.network import Network
from pipeline.drawing.curves import draw_curves
from pipeline.measures.localisation_error import lowest_errors
from pipeline.measures.tables import difference, measured, rows, summary, summary_of_shares, values
from recordings.errors import InputError
from recordings.raster.reader import RasterReader

from .study.ann import reference_maps
from .study.claims import Claim, differences, verdict, with_interval
from .study.images import ImageSet
from .study.result import Result
from .study.study import Study
from .study.sweep import swept

PAPER_ERRORS = ("0.68 / 0.63 / 0.61", "0.86 / 0.82 / 0.80", "0.98 / 0.97 / 0.91")  # layers 4, 6 and 8
PAPER_ACCURACY = "47.53 / 53.36 / 56.57 %"
ERROR, ACCURACY = "localisation error", "accuracy"


def run(study: Study) -> Result:
    """Train, or find trained, one network for each leak; measure all on one set of images."""
    settings, networks = study.settings, study.networks
    leaks = sorted(set(settings.leaks))
    if len(leaks) < 2:
        raise InputError(f"paper.leaks: got {len(leaks)} values, expected 2 or more to compare")
    seed = study.config.training.seed
    many = study.validation(settings.accuracy_images)
    trained = [(leak, seed, networks.leaky(leak, seed)) for leak in leaks]
    trained.append((leaks[-1], settings.twin_seed, networks.twin(leaks[-1])))
    parts = [
        measure(study, checkpoint.network, many).assign(leak=leak, training_seed=of_seed)
        for leak, of_seed, checkpoint in trained
    ]
    found = pd.concat(parts)[["image", "leak", "training_seed", "measure", "layer", "value"]]
    table = pd.concat([summary(rows(found, measure=ERROR)), summary_of_shares(rows(found, measure=ACCURACY))])
    table = table.sort_values(["leak", "training_seed"], kind="stable")
    draw(study, rows(table, training_seed=seed))
    note = note_on_training(leaks[-1], parts[-2], parts[-1])
    return Result("Table 1: leak", table, judge(rows(found, training_seed=seed)), [note])


def measure(study: Study, network: Network, many: ImageSet) -> pd.DataFrame:
    """Errors on the images of every experiment, answers on `many`: image, measure, layer, value."""
    reference = reference_maps(study, study.images)
    found = swept(study, study.recording(network, study.images), [study.settings.gamma])
    errors = [(image, ERROR, layer, float(lowest_errors(maps, reference[image]))) for image, layer, (maps,) in found]
    with RasterReader(study.recording(network, many)) as raster:
        right = measured(raster.predictions == raster.samples.label, measure=ACCURACY, layer="")
    return pd.concat([pd.DataFrame(errors, columns=["image", "measure", "layer", "value"]), right])


def judge(found: pd.DataFrame) -> list[Claim]:
    """The lowest leak against the highest; leaks ascend."""
    leaks = found["leak"].unique()
    named = "λ = " + " / ".join(f"{leak:g}" for leak in leaks)
    ends = f"λ = {leaks[0]:g}", f"λ = {leaks[-1]:g}"
    layers = rows(found, measure=ERROR)["layer"].unique()
    papers = PAPER_ERRORS if len(layers) == len(PAPER_ERRORS) else ("falls",) * len(layers)
    claims = []
    for layer, paper in zip(layers, papers, strict=True):
        by_leak = [rows(found, measure=ERROR, layer=layer, leak=leak) for leak in leaks]
        fall = difference(by_leak[0], by_leak[-1])
        means = " / ".join(f"{values(each).mean():.3g}" for each in by_leak)
        ours = f"{means}; error at {ends[0]} − error at {ends[1]}: {with_interval(fall)}"
        claims.append(Claim(f"{layer}: error at {named}", paper, ours, verdict(fall), fall.n))
    by_leak = [rows(found, measure=ACCURACY, leak=leak) for leak in leaks]
    rise = difference(by_leak[-1], by_leak[0])
    rates = " / ".join(f"{values(each).mean():.1%}" for each in by_leak)
    ours = f"{rates}; accuracy at {ends[1]} − accuracy at {ends[0]}: {with_interval(rise)}"
    return [*claims, Claim(f"accuracy at {named}", PAPER_ACCURACY, ours, verdict(rise), rise.n)]


def note_on_training(leak: float, one: pd.DataFrame, other: pd.DataFrame) -> str:
    """How far two trainings of one network are apart."""
    errors = differences(rows(one, measure=ERROR), rows(other, measure=ERROR))
    accuracy = with_interval(difference(rows(one, measure=ACCURACY), rows(other, measure=ACCURACY)))
    return (
        "There is one network for each leak. The intervals show how much images differ, not how much trainings differ. "
        f"Two trainings from different seeds at λ = {leak:g} differ in error by {errors}, in accuracy by {accuracy}."
    )


def draw(study: Study, table: pd.DataFrame) -> None:
    """Accuracy, and the error of every layer, against leak."""
    points = table.rename(columns={"measure": "panel", "leak": "x"})
    points = points.assign(curve=points["layer"].where(points["layer"] != "", ACCURACY)).sort_values("panel")
    title, y = "Localisation error and accuracy against leak", {ACCURACY: "share of images", ERROR: "nats"}
    subtitle = "mean over images and 95 % interval; one training for each leak"
    draw_curves(study.out / "table1.png", title, subtitle, points, "leak λ", y)
