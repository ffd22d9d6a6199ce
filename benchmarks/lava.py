"""Lava: a step of VGG11 through its processes, every spike recorded or maps alone, beside Lava's own models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.lava_maps import maps_instead
from benchmarks.lava_timing import simulate
from benchmarks.measurement import Case, Options, Row, scaled
from benchmarks.memory import MemoryWatch
from benchmarks.networks import TINY, VGG11, Design, additions, firing, random_network, random_spikes, spike_rates
from benchmarks.optional import missing_lava
from spikesam.backends.event.backend import EventBackend
from spikesam.backends.network.quantise import quantise

STOCK_RATE = 0.2


@dataclass(frozen=True)
class Sizes:
    """What is simulated; `targets` say by firing rate how many milliseconds a step may take.

    At the rates `of_maps`, maps that leave the graph are compared with spikes.
    """

    design: Design = VGG11
    rates: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2)
    targets: Mapping[float, float] = field(default_factory=lambda: {0.05: 10.0, 0.2: 20.0})
    of_maps: tuple[float, ...] = (0.05, 0.2)


TINY_SIZES = Sizes(TINY, (0.1, 0.2), {}, (0.2,))


def cases(options: Options, scratch: Path) -> Iterator[Case]:
    """What to measure; `scratch` is a folder for files. Nothing where Lava cannot run."""
    if missing_lava():
        return
    sizes = TINY_SIZES if options.tiny else Sizes()
    for rate in sizes.rates:
        yield Case(f"{rate:.0%} firing", partial(event_models, sizes, rate, options, scratch))
    for rate in sizes.of_maps:
        yield Case(f"maps at {rate:.0%} firing", partial(maps_instead, sizes.design, rate, options, scratch))
    yield Case("Lava's own models", partial(stock_models, sizes.design, options, scratch))


def event_models(sizes: Sizes, rate: float, options: Options, scratch: Path) -> Iterator[Row]:
    """This project's models: a step, and what there is before the first one."""
    network = quantise(random_network(sizes.design, rate, options.seed))
    timed = simulate(network, "event", rate, options.repeats + 1, options.seed, scratch)
    with MemoryWatch(0.2) as memory:  # in a run of its own, because looking takes time
        simulate(network, "event", rate, 2, options.seed, scratch)
    case, way = f"{rate:.0%} firing", "event-driven models"
    spikes = random_spikes(network.input_shape, network.timesteps, 1, rate, options.seed)
    rates = spike_rates(network, list(EventBackend().run(network, [spikes], 1)))
    work = additions(network, rates) / network.timesteps / 1e9
    about = f"recorded; {firing(rates)}; {work / median(timed.steps):.1f} G additions/s"
    steps = scaled(timed.steps, 1000)
    yield Row(case, way, "ms/step", steps, at_most=sizes.targets.get(rate), note=about)
    yield Row(case, way, "ms/step", steps, sweep="firing rate", x=rate)
    yield Row(case, way, "s to start", (timed.start,), note="until the first step is done")
    yield Row(case, way, "GB", (memory.largest / 1e9,), note="memory (PSS) of all processes")


def stock_models(design: Design, options: Options, scratch: Path) -> Iterator[Row]:
    """Lava's own models, over the two steps of a second sample; what they take does not depend on spikes."""
    network = quantise(random_network(design._replace(timesteps=2), STOCK_RATE, options.seed))
    timed = simulate(network, "stock", STOCK_RATE, 2, options.seed, scratch)
    about = f"mean of {network.timesteps} steps"
    yield Row("any firing", "Lava's models", "ms/step", scaled(timed.steps, 1000), note=about)
