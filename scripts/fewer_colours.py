"""Make the pictures of a folder smaller: 256 colours each, a quarter of the bytes.
scripts/fewer_colours.py FOLDER …
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image


def main(folders: list[str]) -> None:
    """Rewrite every PNG that has more colours."""
    for path in (path for folder in folders for path in Path(folder).glob("*.png")):
        with Image.open(path) as picture:
            if picture.mode != "P":
                fewer = picture.convert("RGB").quantize(
                    256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
                )
                fewer.save(path, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1:])
