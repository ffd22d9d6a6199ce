"""Three bundled networks and the spikes that their answers rest on: a transformer, sound, and an
event camera.

    python examples/bundled_networks.py [transformer|sound|events] …

Downloads nothing, and trains nothing.
"""

import sys
from pathlib import Path

import spikesam

SAMPLES = 4
NETWORKS = {
    "transformer": "spikformer-digits",
    "sound": "chirps",
    "events": "saccade-digits",
}
LAYERS = {"sound": ("input", "fc1")}  # if not given, those that have places

for name in sys.argv[1:] or NETWORKS:
    raster = spikesam.simulate(NETWORKS[name], samples=SAMPLES)
    maps = spikesam.explain(
        raster, method="relevance", network=NETWORKS[name], layers=LAYERS.get(name, ())
    )
    picture = Path("runs", name, "maps.png")
    picture.parent.mkdir(parents=True, exist_ok=True)
    maps.plot().savefig(picture, dpi=110)
    print(picture)
