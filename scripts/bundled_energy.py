"""Print the table of docs/energy.md, bundled networks beside their ANN twins: python
scripts/bundled_energy.py [ZIP].

ZIP has images of Tiny-ImageNet, for the networks that need them. An ANN's effective MACs leave out
values of 0, as NeuroBench does: what ReLU made 0, and windows of zeros where a layer pools.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import torch

import spikesam
from spikesam.backends.base import unpacked
from spikesam.backends.network import Input, Network, Readout, Weighted
from spikesam.pipeline.cost.energy import in_short
from spikesam.pipeline.measures.synaptic_operations import Connection, connections, passes_on
from spikesam.pipeline.networks.differentiable import DifferentiableNetwork
from spikesam.pipeline.networks.samples import choose_samples

TWINS = {
    "chirps": None,
    "cluttered-digits": "cluttered-digits-ann",
    "contrast-digits": "contrast-digits-ann",
    "residual-digits": None,
    "saccade-digits": None,
    "spikformer-digits": "",  # not trained: its dense MACs alone
    "tiny-imagenet-10": "tiny-imagenet-10-ann",
    "tiny-imagenet-10-vgg11": "tiny-imagenet-10-vgg11-ann",
}
SAMPLES = 50
PICOJOULES = (
    (0.9, 4.6),
    (0.03, 0.23),
    (0.1, 0.3),
)  # of an addition, of a MAC: float32; int8; int8, sums of 32 bits


def main() -> None:
    """Simulate, count and print."""
    print(
        "| network | steps | sparsity | SynOps | MACs: dense, effective | rated | µJ: SNN, dense, "
        "effective | int8 |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, twin in TWINS.items():
        data = sys.argv[1] if name.startswith("tiny") and len(sys.argv) > 1 else None
        if name.startswith("tiny") and data is None:
            continue
        with spikesam.simulate(name, data, samples=SAMPLES) as raster:
            found = spikesam.energy(raster, name)
            cells = [
                f"`{name}`",
                f"{raster.timesteps}",
                f"{found.sparsity:.1%}",
                in_short(found.operations),
            ]
        macs = [] if twin is None else [found.layers["ann_macs"].sum()]
        macs += [effective_macs(twin, data)] if twin else []
        cells += [", ".join(map(in_short, macs)) or "–", f"{1e6 * found.rated_joules:.3g}"]
        for addition, mac in PICOJOULES:
            snn = found.operations * addition + found.layers["macs"].sum() * mac
            cells.append(
                " / ".join(f"{each / 1e6:.3g}" for each in (snn, *(mac * each for each in macs)))
            )
        print("|", " | ".join(cells), "|", flush=True)


def effective_macs(name: str, data: str | None) -> float:
    """Mean over samples of the MACs of values that are not 0."""
    checkpoint = spikesam.load(name)
    network = checkpoint.network
    model, images = (
        DifferentiableNetwork(network),
        choose_samples(data, checkpoint, SAMPLES, 0, False),
    )
    total = 0
    for sample in range(len(images)):
        (inputs,) = images.encoded([sample], network, 0, 1)
        encoded = torch.from_numpy(unpacked(inputs)).float()
        with torch.no_grad():
            _, outputs = model(encoded)
        values = [encoded.numpy(), *(each.numpy() for each in outputs)]
        for way, of_layer in zip(ways(network), values, strict=True):
            total += int(way.operations(of_layer.reshape(1, *way.shape) != 0)[0].sum())
    return total / len(images)


def ways(network: Network) -> list[Connection]:
    """Of an ANN, in which a window of average pooling is one value."""
    chosen = []
    for way in connections(network):
        of_layer = isinstance(way.synapses, Input)
        synapse = way.synapses.synapse if of_layer else way.synapses
        if isinstance(synapse, Weighted | Readout) and passes_on(synapse.weight):
            continue
        if isinstance(synapse, Weighted):
            of_maxima = replace(synapse, pooling="max")
            way = replace(way, synapses=replace(way.synapses, synapse=of_maxima))
        chosen.append(way)
    return chosen


if __name__ == "__main__":
    main()
