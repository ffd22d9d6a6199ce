"""Images, one a file: read as the program reads them."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from random import Random

import numpy as np

from .damage import damage
from .inflated import png_bomb
from .rasters import sha
from .subject import Content, FileSubject


class Images(FileSubject):
    """Damaged images of the usual formats; they hold no digests."""

    name = "images"
    weight = 2.0
    modules = ("pipeline.images.preprocessing", "PIL.Image")
    checksummed = False

    def originals(self, base: Path) -> list[Path]:
        """See :class:`FileSubject`."""
        from PIL import Image

        pixels = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
        picture = Image.fromarray(pixels)
        exif = Image.Exif()
        exif[274], exif[270] = 6, "description"
        kinds = {
            "png": {},
            "jpg": {"exif": exif},
            "gif": {},
            "bmp": {},
            "tiff": {"compression": "tiff_lzw", "exif": exif},
            "webp": {},
            "ppm": {},
        }
        paths = []
        for kind, options in kinds.items():
            paths.append(base / f"a.{kind}")
            picture.save(paths[-1], **options)
        picture.convert("P").save(base / "palette.png", transparency=3)
        Image.fromarray(pixels[..., 0]).convert("I;16").save(base / "deep.png")
        picture.save(base / "two.gif", save_all=True, append_images=[picture.rotate(90)])
        return [*paths, base / "palette.png", base / "deep.png", base / "two.gif"]

    def read(self, path: Path) -> Content:
        """See :class:`FileSubject`."""
        from pipeline.images.preprocessing import Preprocessing, read_image

        image = read_image(path)
        prepared = Preprocessing(8, 8, (0.5,) * 3, (0.25,) * 3).image(image)
        return {"mode": image.mode, "size": str(image.size), "pixels": sha(image.tobytes()), "prepared": sha(prepared)}

    def mutate(self, path: Path, random: Random, number: int, other: bytes) -> tuple[str, bool]:
        """See :class:`FileSubject`."""
        data = path.read_bytes()
        if random.random() < 0.03:
            side = random.choice((4000, 9000, 13300, 20000, 65500, (1 << 31) - 1))
            data, done = png_bomb(side, side, random.choice((1, 8))), f"a PNG of {side}² pixels, all black"
        elif data.startswith(b"\x89PNG") and random.random() < 0.4:
            data, done = png_chunk(random, data)
        elif random.random() < 0.05:
            data, done = exif_image(random), "EXIF that is broken"
        else:
            data, done = damage(random, data, other)
        path.write_bytes(data)
        return done, False


def png_chunk(random: Random, data: bytes) -> tuple[bytes, str]:
    """Damage inside one chunk of a PNG, with the chunk's checksum made anew."""
    chunks, at = [], 8
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += size + 12
    place = random.randrange(len(chunks))
    kind, content = chunks[place]
    changed, done = damage(random, content, content) if content else (b"x", "a byte")
    chunks[place] = (kind, changed)
    if random.random() < 0.2:
        extra = random.choice((b"tEXt", b"zTXt", b"iCCP", b"eXIf", b"acTL", b"fcTL", b"PLTE", b"tRNS"))
        more = random.choice((b"a\0\0" + zlib.compress(bytes(1 << 22)), random.randbytes(40), b""))
        chunks.insert(1, (extra, more))
        done += f"; {extra!r} added"
    pieces = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    return data[:8] + b"".join(pieces), f"in chunk {kind!r}: {done}"


def exif_image(random: Random) -> bytes:
    """A JPEG whose EXIF does not make sense: a wrong type for the orientation, or bytes of no order."""
    from PIL import Image

    target = io.BytesIO()
    tag = struct.pack("<HHI", 274, random.randrange(14), random.choice((0, 1, 2, 1 << 20))) + random.randbytes(4)
    block = (
        b"Exif\0\0II*\0"
        + struct.pack("<IH", random.choice((8, 0, 1 << 30)), random.choice((1, 1, 500)))
        + tag
        + random.randbytes(8)
    )
    Image.new("RGB", (8, 9), "red").save(target, "JPEG", exif=block)
    return target.getvalue()
