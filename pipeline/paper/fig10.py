"""Fig. 10: two objects in one image; which of them does the network attend to, and when?

The paper: neurons compete early, attending to both objects, and settle on one later: the one that is predicted.

Measured at every step: the map's mean energy on the predicted object as a share of its mean energy on both, so that
0.5 is even, however large the objects are. Objects are the halves of two images side by side, or the digits of a scene.
Early and late are the first and last third of the steps from the image's arrival to the last that can still change the
answer. Only images whose prediction is one of the two classes count. The plain spike count, SAM without its kernel, is
measured beside it; and two images side by side once more with left and right exchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.drawing.curves import draw_curves
from pipeline.drawing.grid import MapRow, draw_maps
from pipeline.drawing.steps import thinned
from pipeline.images.datasets import CLUTTERED_DIGITS
from pipeline.maps.sam import spike_activation_maps, spike_count_map
from pipeline.measures.maps import resize_map
from pipeline.measures.statistics import Estimate, bootstrap_mean, mean_with_interval, paired_difference
from pipeline.networks.widen import widen
from recordings.errors import InputError
from recordings.raster.reader import RasterReader

from .study.heatmaps import at_steps, sam_maps
from .study.pairs import Pairs, side_by_side, two_digit_scenes
from .study.result import Claim, Result, Verdict, verdict, with_interval
from .study.study import Study

NEAR = 0.05  # a share this close to one half is called even
SAM, COUNT = "SAM", "spike count"
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Attention:
    """One kind of map in one layer, from the image's arrival on.

    Parameters
    ----------
    first : step of arrival
    energies : (N, T', 2) — mean energy on the predicted object and on the other one
    """

    first: int
    energies: Floats

    def share(self, window: slice) -> Floats:
        """(N,) share of the energy on the predicted object, 0.5 where there is none at all."""
        return _share(self.energies[:, window].sum(axis=1))

    @property
    def early(self) -> Floats:
        """In the first third."""
        return self.share(slice(0, self._third))

    @property
    def late(self) -> Floats:
        """In the last third."""
        return self.share(slice(-self._third, None))

    @property
    def _third(self) -> int:
        return max(1, self.energies.shape[1] // 3)


def run(study: Study) -> Result:
    """Record images with two objects; see where the energy goes."""
    settings, surrogate = study.settings, study.surrogate
    scenes = study.config.data.source == CLUTTERED_DIGITS
    pairs = (
        two_digit_scenes(surrogate, settings.pairs)
        if scenes
        else side_by_side(study.images, settings.pairs, settings.seed)
    )
    network = widen(surrogate.network, *pairs.images.size)
    path = study.recording(network, pairs.images)
    with RasterReader(path) as raster:
        chosen, predicted = taken_for_one(pairs, raster.predictions)
        if not len(chosen):
            raise InputError(
                f"{pairs.images.name}: none of {len(pairs)} images with two objects is taken for one of the two; "
                "use a better network, or raise paper.images and paper.pairs"
            )
        found = attention(study, raster, pairs, chosen, predicted)
        _draw_maps(study, raster, pairs, chosen, predicted)
    _draw_curves(study, found)
    table = [
        {"map": kind, "layer": layer, "when": when} | bootstrap_mean(values)._asdict()
        for (kind, layer), each in found.items()
        for when, values in _moments(each)
    ]
    claims = [claim for layer in study_layers(found) for claim in judge(layer, found[SAM, layer], found[COUNT, layer])]
    notes = [f"{len(chosen)} of {len(pairs)} images are taken for one of their two classes; the others do not count."]
    if scenes:
        notes.append("Scenes of two digits cannot be exchanged left for right; that check is for images side by side.")
    else:
        claims += _exchange(study, pairs, chosen, predicted, found)
    return Result("Fig. 10: two objects in one image", table, claims, notes)


def taken_for_one(pairs: Pairs, predictions: NDArray[np.integer[Any]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Images that are taken for one of their two objects, and which of them: (n,) and (n,) of 0 or 1."""
    hits = pairs.labels == predictions[:, None]
    chosen = np.flatnonzero(hits.any(axis=1))
    return chosen, hits[chosen].argmax(axis=1)


def attention(
    study: Study, raster: RasterReader, pairs: Pairs, chosen: NDArray[np.int64], predicted: NDArray[np.int64]
) -> dict[tuple[str, str], Attention]:
    """Energy on both objects: (kind of map, layer) -> one value per image, step and object."""
    energies: dict[tuple[str, str], list[Floats]] = {}
    firsts = {}
    with study.progress("two objects", len(chosen)) as advance:
        for sample, side in zip(chosen.tolist(), predicted.tolist(), strict=True):
            objects = pairs.objects[sample][[side, 1 - side]]
            for layer in map(raster.layer, study.layers(raster)):
                steps = raster.steps_that_matter(layer.name)
                packed = raster.packed(layer, sample)[:steps]
                firsts[layer.name] = first = min(layer.number, steps - 1)
                (maps,) = spike_activation_maps(packed, layer.shape, [study.settings.gamma])
                for kind, of_kind in ((SAM, maps), (COUNT, spike_count_map(packed, layer.shape))):
                    energies.setdefault((kind, layer.name), []).append(energy_on(of_kind[first:], objects))
            advance(1)
    return {(kind, layer): Attention(firsts[layer], np.stack(each)) for (kind, layer), each in energies.items()}


def energy_on(maps: NDArray[np.float32], objects: NDArray[np.bool_]) -> Floats:
    """Mean over each object's pixels: maps (T, h, w), resized bilinearly, and (K, H, W) bool -> (T, K)."""
    resized = resize_map(np.moveaxis(maps, 0, -1), objects.shape[1:])
    return np.stack([resized[where].mean(axis=0) for where in objects], axis=1)


def judge(layer: str, sam: Attention, count: Attention) -> list[Claim]:
    """What the paper says of one layer, and whether the kernel has a part in it."""
    n = len(sam.energies)
    early, late = bootstrap_mean(sam.early), bootstrap_mean(sam.late)
    moved = paired_difference(sam.late, sam.early)
    final = Estimate(n, *mean_with_interval(sam.late > 0.5))
    kernel = paired_difference(sam.late, count.late)
    settled = f"{with_interval(late)} late, more by {with_interval(moved)}"
    return [
        Claim(f"{layer}: share on the predicted object, early", "even (0.5)", with_interval(early), _near(early), n),
        Claim(f"{layer}: its share late", "more than half", settled, _above_half(late), n),
        Claim(f"{layer}: the share grows", "from even to more than half", with_interval(moved), verdict(moved), n),
        Claim(
            f"{layer}: images whose predicted object has more than half of the energy late",
            "all that are shown",
            with_interval(final),
            _above_half(final),
            n,
        ),
        Claim(
            f"{layer}: late share of SAM above that of the spike count",
            "–",
            f"{with_interval(kernel)}; spike count {count.late.mean():.3g}",
            verdict(kernel),
            n,
        ),
    ]


def study_layers(found: dict[tuple[str, str], Attention]) -> list[str]:
    """Layers in order of depth."""
    return list(dict.fromkeys(layer for _, layer in found))


def _exchange(
    study: Study,
    pairs: Pairs,
    chosen: NDArray[np.int64],
    predicted: NDArray[np.int64],
    found: dict[tuple[str, str], Attention],
) -> list[Claim]:
    """Left and right exchanged: does the same object win, and does one side get more whatever it shows?"""
    swapped = pairs.swapped()
    network = widen(study.surrogate.network, *swapped.images.size)
    with RasterReader(study.recording(network, swapped.images)) as raster:
        again, winners = taken_for_one(swapped, raster.predictions)
        both = np.intersect1d(chosen, again)
        if not len(both):
            return []
        before, after = predicted[np.isin(chosen, both)], winners[np.isin(again, both)]
        same = Estimate(len(both), *mean_with_interval(before == after))
        others = attention(study, raster, swapped, again, winners)
    what = "left and right exchanged: the same object is predicted"
    claims = [Claim(what, "–", with_interval(same), _above_half(same), same.n)]
    for layer in study_layers(found):
        first, second = found[SAM, layer].late[np.isin(chosen, both)], others[SAM, layer].late[np.isin(again, both)]
        left = np.where(before == 0, first, 1 - first), np.where(after == 1, second, 1 - second)
        share = bootstrap_mean(np.mean(left, axis=0))
        what = f"{layer}: share of the left half late, both orders together"
        claims.append(Claim(what, "even (0.5)", with_interval(share), _near(share), share.n))
    return claims


def _share(energies: Floats) -> Floats:
    """(..., 2) -> the first as a share of both, 0.5 where both are zero."""
    total = energies.sum(axis=-1)
    return np.divide(energies[..., 0], total, out=np.full(total.shape, 0.5), where=total > 0)


def _moments(attention: Attention) -> list[tuple[str, Floats]]:
    steps = attention.energies.shape[1]
    by_step = [(f"step {attention.first + step}", _share(attention.energies[:, step])) for step in range(steps)]
    return [("early", attention.early), ("late", attention.late), *by_step]


def _near(share: Estimate) -> Verdict:
    if share.n < 2:
        return "cannot say"
    if abs(share.low - 0.5) <= NEAR and abs(share.high - 0.5) <= NEAR:
        return "yes"
    return "no" if share.low > 0.5 + NEAR or share.high < 0.5 - NEAR else "cannot say"


def _above_half(share: Estimate) -> Verdict:
    return verdict(Estimate(share.n, share.mean - 0.5, share.low - 0.5, share.high - 0.5))


def _draw_curves(study: Study, found: dict[tuple[str, str], Attention]) -> None:
    points = [
        {"panel": kind, "curve": layer, "x": step} | bootstrap_mean(_share(energies))._asdict()
        for (kind, layer), each in found.items()
        for step, energies in enumerate(each.energies.swapaxes(0, 1), each.first)
    ]
    n = len(found[SAM, study_layers(found)[0]].energies)
    subtitle = f"of the mean energy on both objects, at the steps that matter; {n} images, mean and 95 % interval"
    title, y = "Two objects: when does the predicted one win?", "share on the predicted object"
    draw_curves(study.out / "fig10.png", title, subtitle, pd.DataFrame(points), "step", y)


def _draw_maps(
    study: Study, raster: RasterReader, pairs: Pairs, chosen: NDArray[np.int64], predicted: NDArray[np.int64]
) -> None:
    layer = study.layers(raster)[-1]
    names = study.surrogate.class_names
    steps = thinned(raster.steps_that_matter(layer), first=raster.layer(layer).number)
    rows = []
    for sample, side in list(zip(chosen.tolist(), predicted.tolist(), strict=True))[: study.settings.shown]:
        first, other = (names[label].split(",")[0] for label in pairs.labels[sample])
        image = pairs.images.picture(sample) if study.settings.show_images else None
        maps = at_steps(sam_maps(raster, layer, sample, study.settings.gamma), steps)
        label = f"{first} and {other},\nanswer {(first, other)[side]}"
        rows.append(MapRow(label, maps, image))
    subtitle = f"SAM of {layer}, relative to the row's maximum"
    columns = [f"step {step}" for step in steps]
    draw_maps(study.out / "fig10_maps.png", "Two objects in one image", subtitle, columns, rows)
