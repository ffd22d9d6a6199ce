"""The localisation error with either kernel, with and without the authors' floor, against Grad-CAM
and the object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from paper.common.ann import reference_maps
from paper.common.heatmaps import COUNT, Maps, score_maps, swept
from paper.common.result import with_interval
from paper.common.setup import Setup
from paper.measures.maps import AUTHORS_FLOOR, lowest_errors
from paper.measures.tables import summary_of_shares, values
from spikesam.maps import Variant
from spikesam.statistics import mean_with_interval

EQUATIONS, SCRIPT = "equations", "authors' script"
KERNELS: Mapping[str, Variant] = {EQUATIONS: "paper", SCRIPT: "authors-code"}
ERROR = "localisation error"
GRAD_CAM, OBJECT = "Grad-CAM", "object"
NO_KERNEL = 1e3  # γ at which nothing is left of an earlier spike: e⁻¹⁰⁰⁰ is 0 in double precision
POINTS, ENERGY = "pointing game", "energy in object"


def maps_by_kernel(
    setup: Setup, path: Path, gammas: Sequence[float]
) -> Iterator[tuple[str, int, str, Maps]]:
    """SAM with both kernels, and the spike count (G = 1): kernel, image, layer, (G, T', H, W) at
    steps that matter.
    """
    for kernel, variant in KERNELS.items():
        for image, layer, maps in swept(setup, path, gammas, variant):
            yield kernel, image, layer, maps
    for image, layer, maps in swept(setup, path, [NO_KERNEL]):
        yield COUNT, image, layer, maps


def gammas_of(kernel: str, gammas: Sequence[float]) -> Sequence[float]:
    """The γ of :func:`maps_by_kernel`: infinite for the spike count."""
    return [np.inf] if kernel == COUNT else gammas


def targets(setup: Setup) -> list[tuple[str, float, Sequence[NDArray[Any]]]]:
    """References of errors, the floor, and one reference for each image; the object where all have
    one.
    """
    images = setup.images
    reference = list(reference_maps(setup, images))
    objects = [mask.astype(np.float32) for mask in images.masks if mask is not None]
    found: list[tuple[str, float, Sequence[NDArray[Any]]]] = [
        (GRAD_CAM, 0.0, reference),
        (GRAD_CAM, AUTHORS_FLOOR, reference),
    ]
    return [*found, (OBJECT, 0.0, objects)] if len(objects) == len(images) else found


def lowest_by_case(setup: Setup, path: Path) -> pd.DataFrame:
    """The errors of every image and layer, minimum over steps, at the settings' γ: by kernel, floor
    and reference.

    The measure names what is not the paper's own: "localisation error, authors' script, floor
    0.001".
    """
    found, measured_against = [], targets(setup)
    for kernel, image, layer, (maps,) in maps_by_kernel(setup, path, [setup.settings.gamma]):
        for against, floor, references in measured_against:
            parts = [
                *([kernel] if kernel != EQUATIONS else []),
                *([f"floor {floor:g}"] if floor else []),
                *([f"against the {OBJECT}"] if against == OBJECT else []),
            ]
            error = float(lowest_errors(maps, references[image], floor=floor))
            found.append((image, ", ".join([ERROR, *parts]), layer, error))
    return pd.DataFrame(found, columns=["image", "measure", "layer", "value"])


def reference_scores(setup: Setup) -> pd.DataFrame:
    """How well the reference, Grad-CAM of the ANN, points at the object itself: image, measure,
    value.
    """
    images = setup.images
    known = [image for image, mask in enumerate(images.masks) if mask is not None and mask.any()]
    if not known:
        return pd.DataFrame(columns=["image", "measure", "value"])
    return score_maps(reference_maps(setup, images), images, known)


def with_reference(setup: Setup, table: pd.DataFrame) -> pd.DataFrame:
    """A summary, and below it how well the reference points; what does not apply to a row is ""."""
    found = summary_of_shares(reference_scores(setup))
    if found.empty:
        return table
    found = found.assign(
        measure=found["measure"] + " of the reference", network="ANN", against=OBJECT
    )
    columns = list(dict.fromkeys([*table.columns, *found.columns]))
    return pd.concat([table, found.reindex(columns=columns, fill_value="")])


def note_on_reference(setup: Setup) -> str:
    """How well the reference points, for the page."""
    scores = reference_scores(setup)
    if scores.empty:
        return (
            "How well Grad-CAM of the ANN points itself is not known: no image has a box or mask."
        )
    points, energy = (
        with_interval(mean_with_interval(values(scores, measure=measure)))
        for measure in (POINTS, ENERGY)
    )
    return (
        f"The reference, Grad-CAM of the ANN, has its maximum on the object in a share of {points} "
        "of the images, and "
        f"{energy} of its energy. The error says how near a map comes to this reference; against "
        "the object it is "
        "measured beside it, where all images have a box or mask."
    )
