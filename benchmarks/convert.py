"""Conversion of trained ANNs to spikes, its accuracy and seconds, beside SpikingJelly's `ann2snn`
and sinabs.

The ANNs are those of examples/own_ann.py. Every way gets the same 200 images to calibrate on, and
the same 500 others to answer, as a constant current. SpikingJelly's recipes are those of its
example for ResNet-18; its answers count from the first step or after the delay that it estimates,
whichever is better at each T. sinabs' neurons fire several spikes a step, as is its default; so do
this project's where a row says how many. Which images each has right is kept in the folder of the
results, unless code was changed and not committed, so a run that was broken off goes on; seconds
are measured anew, and alone with `--only seconds`.
"""

from __future__ import annotations

import copy
import hashlib
import json
import runpy
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

import spikesam
from benchmarks.common.environment import commit, missing_peer, missing_spikingjelly, versions
from benchmarks.common.measurement import (
    KEEP_FREED_MEMORY,
    Case,
    MeasuredRow,
    Options,
    race,
    ratio,
    timings,
)
from spikesam import Network
from spikesam.data import encode
from spikesam.simulators import make_backend

EXAMPLE = Path(__file__).parents[1] / "examples" / "own_ann.py"
ENVIRONMENT = KEEP_FREED_MEMORY | {"TQDM_DISABLE": "1"}
OURS = "spikesam"
PRECISIONS = {"float32": "", "fixed": ", integers"}
RULES = ("ftbc", "percentile", "max", "scaled", "balanced")
SPIKES = 4
SEVERAL = f"{OURS}, up to {SPIKES} spikes a step"
OWN = (*RULES, SEVERAL)
TIMED = ("SpikingJelly, 99.9 %", "sinabs")
MILESTONES = (8, 16, 32, 64, 128)
LONG = 500  # steps that are timed, too
BATCH = 8
CHUNK = 64  # steps that peers take at once: of 1, 4, 16 and 64 the fastest, or nearly so
RECIPES: dict[str, Callable[[Any, Any], Any]] = {
    "max": lambda library, images: library.RateCodingRecipe(images.split(50), mode="Max"),
    "99.9 %": lambda library, images: library.RateCodingRecipe(images.split(50), mode="99.9%"),
    "99.9 % by channel, half threshold": lambda library, images: library.RateCodingRecipe(
        images.split(50),
        mode="99.9%",
        channel_wise=True,
        pre_spike_maxpool=True,
        half_threshold=True,
    ),
    # Its thresholds grow from batch to batch: four of fifty images leave them far too low.
    "local balancing": lambda library, images: library.LocalThresholdBalancingRecipe(
        images.split(1)
    ),
}
missing_sinabs = partial(missing_peer, "sinabs")
PEERS = (missing_spikingjelly, missing_sinabs)


@dataclass(frozen=True)
class Subject:
    """An ANN, images to calibrate on, (N, 3, H, W), and others to answer, with their labels."""

    model: Any
    calibration: Any
    images: Any
    labels: Any


@dataclass(frozen=True)
class Converted:
    """A peer's network: images and T -> what each step adds to the answer, (T, B, 10); and the
    first step to count.
    """

    run: Callable[[Any, int], Any]
    delay: Callable[[int], int] = lambda timesteps: 0


def cases(options: Options, scratch: Path) -> Iterator[Case]:
    """Cases of this benchmark; the ANN of photographs is left out where these are not given."""
    steps, folder = (4, 8) if options.tiny else MILESTONES, scratch.parent / "convert"
    for name in ("resnet18", "vgg") if options.data or options.tiny else ("vgg",):
        if options.only != "seconds":
            for way in ("ANN", *OWN, *peers()):
                yield Case(
                    f"{name}, {way}",
                    partial(accuracy, name, way, steps, options, folder),
                    ENVIRONMENT,
                )
            yield Case(
                f"{name}, in pairs", partial(in_pairs, name, steps, options, folder), ENVIRONMENT
            )
        if options.only != "accuracy":
            yield Case(
                f"{name}, converting", partial(converting, name, steps[-1], options), ENVIRONMENT
            )
            for timesteps in steps[-1:] if options.tiny else (MILESTONES[-1], LONG):
                yield Case(
                    f"{name}, {timesteps} steps",
                    partial(evaluating, name, timesteps, options),
                    ENVIRONMENT,
                )


@lru_cache(maxsize=1)
def subject(name: str, options: Options) -> Subject:
    """A trained ANN; in tiny runs few images, of random pixels, with its own answers as their
    labels.
    """
    import torch

    example = runpy.run_path(str(EXAMPLE))
    model, size = example["trained"](name), example["SIZES"][name]
    if options.tiny:
        images = (
            4
            * torch.rand((4, 3, size, size), generator=torch.Generator().manual_seed(options.seed))
            - 2
        )
        with torch.inference_mode():
            return Subject(model, images, images, model(images).argmax(1))
    calibration, _ = example["images"](name, "train", options.data, 200)
    split = "val" if name == "vgg" else "held-out"  # there are 250 photographs for validation
    return Subject(model, calibration, *example["images"](name, split, options.data, 500))


def peers() -> dict[str, Callable[[Subject], Converted]]:
    """What converts in other libraries, by name."""
    found: dict[str, Callable[[Subject], Converted]] = {}
    if not missing_spikingjelly():
        found |= {f"SpikingJelly, {recipe}": partial(spikingjelly, recipe) for recipe in RECIPES}
    if not missing_sinabs():
        found["sinabs"] = sinabs
    return found


def spikingjelly(recipe: str, given: Subject) -> Converted:
    """What `ann2snn` makes of a model, with all steps of a layer at once and channels last, which
    is fastest.
    """
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # about torch.jit, which it uses
        from spikingjelly.activation_based import ann2snn, functional
    from loguru import logger

    logger.disable("spikingjelly")
    converter = ann2snn.FXConverter(RECIPES[recipe](ann2snn, given.calibration))
    model = converter.convert(copy.deepcopy(given.model)).eval()
    model = model.to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def run(images: Any, timesteps: int) -> Any:
        functional.set_step_mode(model, "m")
        functional.reset_net(model)
        images = images.contiguous(memory_format=torch.channels_last)
        return in_chunks(lambda steps: model(images.expand(steps, *images.shape)), timesteps)

    def delay(timesteps: int) -> int:
        functional.set_step_mode(model, "s")
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", RuntimeWarning
            )  # that there are too few steps for a delay
            return int(
                ann2snn.estimate_delay_start(model, given.calibration.split(50), "cpu", timesteps)
            )

    return Converted(run, delay)


def sinabs(given: Subject) -> Converted:
    """What `from_model` makes of a model; its function to normalise weights is for layers without
    biases.
    """
    import torch
    from sinabs import from_torch, reset_states, utils

    model = from_torch.from_model(copy.deepcopy(given.model), batch_size=BATCH).spiking_model

    @torch.inference_mode()
    def run(images: Any, timesteps: int) -> Any:
        utils.set_batch_size(model, len(images))
        reset_states(model)

        def some(steps: int) -> Any:
            return (
                model(images.repeat_interleave(steps, 0)).unflatten(0, (-1, steps)).transpose(0, 1)
            )

        return in_chunks(some, timesteps)

    return Converted(run)


def in_chunks(run: Callable[[int], Any], timesteps: int) -> Any:
    """All steps of a peer, some at a time: its states go on."""
    import torch

    return torch.cat([run(min(CHUNK, timesteps - begin)) for begin in range(0, timesteps, CHUNK)])


def accuracy(
    name: str, way: str, steps: tuple[int, ...], options: Options, folder: Path
) -> Iterator[MeasuredRow]:
    """Right answers after some numbers of steps, in %."""
    for each, by_step in answered(name, way, steps, options, folder).items():
        sweep = (
            f"T of {name}, rules" if way in RULES and not each.startswith(OURS) else f"T of {name}"
        )
        for step, right in by_step.items():
            share, note = 100 * right.count("1") / len(right), f"{len(right)} images"
            yield MeasuredRow(
                f"{name}, T {step}", each, "%", (share,), note=note, sweep=sweep, x=int(step)
            )


def answered(
    name: str, way: str, steps: Sequence[int], options: Options, folder: Path
) -> dict[str, dict[str, str]]:
    """By curve and number of steps, a 1 for each image answered rightly, else a 0.

    Kept while nothing has changed: weights, data by their path, libraries, and here the code, if it
    is committed.
    """
    weights, code = (
        EXAMPLE.parent / "weights" / f"{name}.safetensors",
        commit() if way in OWN else "",
    )
    data = options.data and str(Path(options.data).absolute())
    about = way, steps, options.tiny, options.seed, data, versions(), code, weights.read_bytes()
    path = folder / f"{name}-{hashlib.sha256(repr(about).encode()).hexdigest()[:12]}.json"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        given = subject(name, options)
        found = of_rule(way, given, steps) if way in OWN else {way: of_peer(way, given, steps)}
        text = {
            each: {
                str(step): "".join(map(str, right.astype(int))) for step, right in by_step.items()
            }
            for each, by_step in found.items()
        }
        if code == "unknown" or code.endswith("-dirty"):
            return text
        path.write_text(json.dumps(text))
    return json.loads(path.read_text())


def in_pairs(
    name: str, steps: tuple[int, ...], options: Options, folder: Path
) -> Iterator[MeasuredRow]:
    """By how many images this project is more often right than the peer that is best at T, and if
    that says anything.

    Exact test of McNemar, two-sided, of the images that only one of the two has right. The best of
    several is better than each by chance, so a difference against it says less than its p.
    """
    rivals = {way: answered(name, way, steps, options, folder)[way] for way in peers()}
    ours = {
        curve: right
        for way in (RULES[0], SEVERAL)
        for curve, right in answered(name, way, steps, options, folder).items()
        if curve.startswith(OURS)
    }
    for step in map(str, steps if rivals else ()):
        best = max(rivals, key=lambda way: rivals[way][step].count("1"))
        for way in ours:
            pairs = Counter(zip(ours[way][step], rivals[best][step], strict=True))
            more, fewer = pairs["1", "0"], pairs["0", "1"]
            p = binomtest(more, more + fewer).pvalue if more + fewer else 1
            note = f"right alone: {more} and {fewer} of {len(ours[way][step])} images; p = {p:.2g}"
            yield MeasuredRow(
                f"{name}, T {step}", f"{way} − {best}", "images", (more - fewer,), 0, note=note
            )


def of_rule(rule: str, given: Subject, steps: Sequence[int]) -> dict[str, dict[int, Any]]:
    """This project's answers in both precisions, (N,) bool by the number of steps T: whether they
    are right.

    By its usual rule, of one spike a step or several, it converts for each T anew, as a user would
    who wants T steps.
    """
    found: dict[str, dict[int, Any]] = defaultdict(dict)
    anew, names = rule in (RULES[0], SEVERAL), (rule, OURS) if rule == RULES[0] else (rule,)
    for timesteps in steps if anew else steps[-1:]:  # thresholds of the others do not depend on T
        conversion = spikesam.convert(
            given.model,
            given.calibration,
            timesteps=timesteps,
            rule=RULES[0] if anew else rule,
            spikes=SPIKES if rule == SEVERAL else 1,
            validation=(given.images, given.labels),
            samples=len(given.labels),
        )
        for kind, end in PRECISIONS.items():
            right = conversion.answers[kind] == given.labels.numpy()[:, None]
            for name in names:
                for step in (timesteps,) if anew else steps:
                    found[f"{name}{end}"][step] = right[:, step - 1]
    return found


def of_peer(way: str, given: Subject, steps: Sequence[int]) -> dict[int, Any]:
    """A peer's answers, (N,) bool by the number of steps: whether they are right; the ANN's are the
    same at all.
    """
    import torch

    ann = Converted(lambda images, timesteps: given.model(images).expand(timesteps, -1, -1))
    converted = ann if way == "ANN" else peers()[way](given)
    begins = {step: {0, converted.delay(step)} for step in steps}
    found: dict[tuple[int, int], list[Any]] = {
        (step, begin): [] for step in steps for begin in begins[step]
    }
    with torch.inference_mode():
        for images, labels in zip(
            given.images.split(BATCH), given.labels.split(BATCH), strict=True
        ):
            each = converted.run(images, max(steps))
            for step, begin in found:
                found[step, begin].append(each[begin:step].sum(0).argmax(1) == labels)
    right = {way: torch.cat(each).numpy() for way, each in found.items()}
    return {
        step: max((right[step, begin] for begin in sorted(begins[step])), key=np.sum)
        for step in steps
    }


def converting(name: str, timesteps: int, options: Options) -> Iterator[MeasuredRow]:
    """Seconds to convert; here with the proof that the network read is the model."""
    given, case, limit = (
        subject(name, options),
        f"{name}, converting",
        {"resnet18": 20.0, "vgg": 2.0}[name],
    )
    ways: dict[str, Callable[[], Any]] = {OURS: partial(converted_here, given, timesteps)}
    ways |= {way: partial(convert, given) for way, convert in peers().items()}
    for way, found in race(ways, options.repeats).items():
        wanted = limit if way == OURS else None
        yield MeasuredRow(
            case, way, "s", found.seconds, at_most=wanted, note=f"{len(given.calibration)} images"
        )


def converted_here(given: Subject, timesteps: int, spikes: int = 1) -> Network:
    """This project's network, by its usual rule."""
    return spikesam.convert(
        given.model, given.calibration, timesteps=timesteps, spikes=spikes
    ).network


def evaluating(name: str, timesteps: int, options: Options) -> Iterator[MeasuredRow]:
    """Seconds that a batch takes."""
    given, case = subject(name, options), f"{name}, {timesteps} steps, batch {BATCH}"
    network, images = converted_here(given, timesteps), given.images[:BATCH]
    ours = {
        f"{OURS}, integers": simulating(spikesam.quantise(network), images),
        OURS: simulating(network, images),
    }
    several = spikesam.quantise(converted_here(given, timesteps, SPIKES))
    ours[f"{SEVERAL}, integers"] = simulating(several, images)
    rivals = {
        way: partial(peers()[way](given).run, images, timesteps) for way in peers() if way in TIMED
    }
    timed = race(ours | rivals, options.repeats)
    yield from timings(case, timed, "s", 1)
    yield from (ratio(case, timed, rival, way, at_least=3.0) for rival in rivals for way in ours)


def simulating(network: Network, images: Any) -> Callable[[], Any]:
    """A way to simulate a batch of images, all spikes of which are handed over."""
    array, numbers = images.numpy(), np.arange(len(images))
    backend = make_backend("event")  # lays the network out once, as a model of torch is built once
    return lambda: list(backend.run(network, [encode(network, array, 0, numbers)], len(images)))
