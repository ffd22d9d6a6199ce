"""Make the pictures of docs/gallery.md anew: python scripts/gallery.py [NAME] …

Runs the examples in a temporary folder, and says how long each took.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "gallery"
WIDTH = 900  # pixels, at most


class Entry(NamedTuple):
    """The parts that make a picture of the gallery."""

    example: str  # a script of examples/, with its arguments
    picture: str  # that it leaves under runs/


ENTRIES = {
    "cnn": Entry("snntorch_network.py", "snntorch/maps.png"),
    "residual": Entry("residual_network.py", "residual/maps.png"),
    "transformer": Entry("bundled_networks.py transformer", "transformer/maps.png"),
    "recurrent": Entry("recurrent_network.py", "recurrent/maps.png"),
    "sound": Entry("bundled_networks.py sound", "sound/maps.png"),
    "events": Entry("bundled_networks.py events", "events/maps.png"),
    "unet": Entry("pixels_and_angles.py pixels", "pixel/pixel.png"),
    "detector": Entry("spiking_detector.py", "spiking-detector/boxes.png"),
    "regression": Entry("pixels_and_angles.py angles", "angle/angle.png"),
}


def main(names: list[str]) -> None:
    """Run each example, and keep its picture with few colours."""
    PICTURES.mkdir(exist_ok=True)
    for name in names or ENTRIES:
        example, picture = ENTRIES[name]
        script, *arguments = example.split()
        with tempfile.TemporaryDirectory() as folder:
            begun = time.monotonic()
            subprocess.run(
                [sys.executable, str(ROOT / "examples" / script), *arguments],
                cwd=folder,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                check=True,
            )
            seconds = time.monotonic() - begun
            with Image.open(Path(folder, "runs", picture)) as made:
                small = made.convert("RGB")
                small.thumbnail((WIDTH, WIDTH))
                colours = small.quantize(128, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
                colours.save(PICTURES / f"{name}.png", optimize=True)
        print(f"{name}: {seconds:.0f} s, {(PICTURES / f'{name}.png').stat().st_size:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
