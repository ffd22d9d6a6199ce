"""Fig. 5: SAM layer by layer and step by step, of a surrogate-trained and a converted network, beside Grad-CAM.

The paper: the surrogate-trained network is silent early, discriminative in between and silent again late; the converted
one keeps similar maps all the time.

Measured: activity, the spikes of a layer at each step relative to those at its busiest step, averaged over the early,
middle and late third of the steps from the image's arrival to the last that can still change the answer. A third counts
as silent, in the paper's sense, where it is less than half as active as the middle. And how alike the maps of a network
are at different steps: Pearson's correlation, where a map that is flat has nothing in common with any other. A single
step of the converted network holds few spikes, so the same is asked of eighths of the time.

Some images run on every backend, to show that maps do not depend on the backend.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.available import BACKENDS
from backends.base import BackendError
from backends.network.graph import Network
from pipeline.drawing.grid import MapRow, draw_maps
from pipeline.drawing.steps import thinned
from pipeline.measures.maps import is_flat
from pipeline.measures.statistics import bootstrap_mean, paired_difference
from recordings.raster.reader import RasterReader

from .study.heatmaps import at_steps
from .study.result import Claim, Result, verdict, with_interval
from .study.study import Study
from .study.sweep import swept

PARTS = ("early", "middle", "late")
CONSECUTIVE, ANY_TWO, EIGHTHS = "consecutive steps", "any two steps", "the first and last eighth"
Maps = NDArray[np.float32]
Shown = dict[tuple[str, str], list[Maps]]  # (network, layer) -> one (T', h, w) for each image drawn
Values = dict[tuple[str, str, str], NDArray[np.float64]]  # (network, layer, what) -> one value per image


def run(study: Study) -> Result:
    """Measure both networks, draw some images, and compare the backends."""
    networks = {"surrogate": study.surrogate.network, "converted": study.converted.network}
    values: Values = {}
    shown: Shown = {}
    for name, network in networks.items():
        _measure(study, name, network, values, shown)
    _draw(study, shown)
    table = [
        {"network": network, "layer": layer, "what": what} | bootstrap_mean(found)._asdict()
        for (network, layer, what), found in values.items()
    ]
    backends = [same_on_every_backend(study, name, network) for name, network in networks.items()]
    notes = (
        f"Silent: steps from the image's arrival on with no spike in the layer at all. Maps are SAM with γ = "
        f"{study.settings.gamma:g}.",
    )
    claims = [*_activity_claims(values), *_likeness_claims(values), *backends]
    return Result("Fig. 5: SAM by layer and step", table, claims, notes)


def activity(counts: NDArray[np.integer[Any]]) -> dict[str, NDArray[np.float64]]:
    """Activity of each third relative to the busiest step, and the share of silent steps.

    Parameters
    ----------
    counts : (N, T) — spikes of a layer at the steps looked at

    Returns
    -------
    "early", "middle", "late", "silent" -> (N,) in [0, 1]; no activity at all is 0
    """
    relative = counts / np.maximum(counts.max(axis=1, keepdims=True), 1)
    thirds = np.array_split(relative, len(PARTS), axis=1)
    found = {
        part: third.mean(axis=1) if third.size else relative.mean(axis=1)
        for part, third in zip(PARTS, thirds, strict=True)
    }
    return found | {"silent": (counts == 0).mean(axis=1)}


def likeness(maps: Maps) -> dict[str, float]:
    """Mean of Pearson's correlation between maps (T, h, w) of one network and image at different steps."""
    eighths = np.stack([part.sum(axis=0) for part in np.array_split(maps, min(8, len(maps)))])
    steps, parts = standardised(maps), standardised(eighths)
    pairs = max(1, len(steps) * (len(steps) - 1))
    return {
        CONSECUTIVE: float((steps[:-1] * steps[1:]).sum() / max(1, len(steps) - 1)),
        ANY_TWO: float((np.square(steps.sum(axis=0)).sum() - np.square(steps).sum()) / pairs),  # |Σ z|² - Σ |z|²
        EIGHTHS: float(parts[0] @ parts[-1]),
    }


def standardised(maps: Maps) -> NDArray[np.float64]:
    """Pixels with mean 0 and length 1, so that products are correlations; 0 where flat: (T, h, w) -> (T, h·w)."""
    pixels = maps.reshape(len(maps), -1).astype(np.float64)
    pixels -= pixels.mean(axis=1, keepdims=True)
    lengths = np.where(is_flat(maps), np.inf, np.linalg.norm(pixels, axis=1))
    return pixels / lengths[:, None]


def same_on_every_backend(study: Study, name: str, network: Network) -> Claim:
    """Whether every backend records the same spikes, and the same maps follow, bit for bit."""
    what = f"{name}: spikes and maps on {', '.join(BACKENDS)}"
    images = study.images.take(study.settings.both_backends)
    if not len(images):
        return Claim(what, "–", "not run: paper.both_backends is 0", "cannot say", 0)
    try:
        paths = [study.recording(network, images, backend=backend) for backend in BACKENDS]
    except BackendError as error:
        return Claim(what, "–", f"not run: {error}", "cannot say", 0)
    digests = []
    for path in paths:
        with RasterReader(path) as raster:
            digests.append(raster.raster_digest)
    found = zip(*(swept(study, path, [study.settings.gamma]) for path in paths), strict=True)
    equal = [
        all(np.array_equal(one[layer], other[layer]) for other in others) for one, *others in found for layer in one
    ]
    if len(set(digests)) == 1 and all(equal):
        ours = f"the same raster digest, {digests[0][:12]}…, and {len(equal)} of {len(equal)} series of maps bit-equal"
        return Claim(what, "–", ours, "yes", len(images))
    told = ", ".join(f"{digest[:12]}…" for digest in digests)
    ours = f"raster digests {told}; {sum(equal)} of {len(equal)} series of maps equal"
    return Claim(what, "–", ours, "no", len(images))


def _measure(study: Study, name: str, network: Network, values: Values, shown: Shown) -> None:
    path = study.recording(network, study.images)
    alike: dict[tuple[str, str, str], list[float]] = {}
    numbers = {layer.name: number for number, layer in enumerate(network.layers, 1)}
    for image, maps in enumerate(swept(study, path, [study.settings.gamma])):
        for layer, (of_layer,) in maps.items():
            for what, found in likeness(of_layer[min(numbers[layer], len(of_layer) - 1) :]).items():
                alike.setdefault((name, layer, what), []).append(found)
            if image < study.settings.shown:
                shown.setdefault((name, layer), []).append(of_layer)
    values |= {key: np.array(found) for key, found in alike.items()}
    with RasterReader(path) as raster:
        for spec in map(raster.layer, study.layers(raster)):
            matter = raster.steps_that_matter(spec.name)
            for suffix, steps in (("", matter), (", to the last step", raster.timesteps)):
                counts = raster.counts(spec)[:, min(spec.number, steps - 1) : steps]
                for what, active in activity(counts).items():
                    values[name, spec.name, what + suffix] = active


def _activity_claims(values: Values) -> list[Claim]:
    claims = []
    for network, layer, what in values:
        if (network, what) != ("surrogate", "middle"):
            continue
        for part, paper in (("early", "zero, then active"), ("late", "active, then zero")):
            for suffix, until in (("", ""), (", to the last step", ", to the last step of the recording")):
                if part == "early" and suffix:
                    continue
                other = values[network, layer, part + suffix]
                middle = values[network, layer, what + suffix]
                difference = with_interval(paired_difference(middle, other))
                ours = f"{other.mean():.2f} against {middle.mean():.2f} in the middle: less by {difference}"
                silent = verdict(paired_difference(middle / 2, other))
                claims.append(Claim(f"surrogate, {layer}: activity {part}{until}", paper, ours, silent, len(other)))
    return claims


def _likeness_claims(values: Values) -> list[Claim]:
    claims = []
    for what in (ANY_TWO, EIGHTHS):
        for network, layer, measured in values:
            if (network, measured) != ("converted", what):
                continue
            converted, surrogate = values[network, layer, what], values["surrogate", layer, what]
            difference = paired_difference(converted, surrogate)
            ours = f"{converted.mean():.3g} against {surrogate.mean():.3g}: more by {with_interval(difference)}"
            name = f"converted, {layer}: correlation of the maps of {what}"
            claims.append(Claim(name, "similar, more than the surrogate's", ours, verdict(difference), len(converted)))
    return claims


def _draw(study: Study, shown: Shown) -> None:
    reference = study.reference(study.images)
    numbers = {layer.name: number for number, layer in enumerate(study.surrogate.network.layers, 1)}
    arrival = min(numbers[layer] for _, layer in shown)
    steps = {}
    for network in dict.fromkeys(network for network, _ in shown):
        longest = max(len(maps[0]) for (owner, _), maps in shown.items() if owner == network)
        steps[network] = thinned(longest, first=arrival)
    columns = ["Grad-CAM", *(" | ".join(map(str, both)) for both in zip(*steps.values(), strict=False))]
    for image in range(min(study.settings.shown, len(study.images))):
        picture = study.images.picture(image) if study.settings.show_images else None
        rows: list[MapRow] = []
        for (name, layer), maps in shown.items():
            of_steps = at_steps(maps[image], steps[name])
            peak = max((float(each.max()) for each in of_steps if each is not None), default=0.0) or 1.0
            grad_cam = reference[image] * (peak / (float(reference[image].max()) or 1.0))
            first = len(rows) in (0, len(shown) // 2)
            rows.append(MapRow(f"{name}\n{layer}", [grad_cam if first else None, *of_steps], picture))
        label = study.images.labels[image]
        name = study.surrogate.class_names[label].split(",")[0] if label >= 0 else "class unknown"
        subtitle = "columns: step of the surrogate | of the converted network; blank: too late to change the answer"
        path = study.out / ("fig5.png" if image == 0 else f"fig5_{image + 1}.png")
        draw_maps(path, f"SAM by layer and step: {name}", subtitle, columns, rows)
