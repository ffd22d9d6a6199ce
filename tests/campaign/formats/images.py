"""Images, one a file: read as the program reads them; they hold no digests."""

import io
import struct
import zlib
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from spikesam.pipeline.images.preprocessing import Preprocessing, read_image
from tests.campaign.damage import damage
from tests.campaign.formats.base import Content, Format, sha
from tests.campaign.inflated import png_bomb, png_chunk


def images(base: Path) -> list[Path]:
    """The usual formats, with a palette, with 16 bits, with two frames."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
    picture, exif = Image.fromarray(pixels), Image.Exif()
    exif[274], exif[270] = 6, "description"
    options = {"jpg": {"exif": exif}, "tiff": {"compression": "tiff_lzw", "exif": exif}}
    for kind in ("png", "jpg", "gif", "bmp", "tiff", "webp", "ppm"):
        picture.save(base / f"a.{kind}", **options.get(kind, {}))
    picture.convert("P").save(base / "palette.png", transparency=3)
    Image.fromarray(pixels[..., 0]).convert("I;16").save(base / "deep.png")
    picture.save(base / "two.gif", save_all=True, append_images=[picture.rotate(90)])
    return sorted(base.iterdir())


def read(path: Path) -> Content:
    """The pixels, as stored and as prepared for a network."""
    image = read_image(path)
    prepared = Preprocessing(8, 8, (0.5,) * 3, (0.25,) * 3).image(image)
    return {
        "mode": image.mode,
        "size": str(image.size),
        "pixels": sha(image.tobytes()),
        "prepared": sha(prepared),
    }


def edit(random: Random, path: Path) -> tuple[str, bool]:
    """A PNG that is large, or damaged with its checksum made anew; or broken EXIF."""
    data, choice = path.read_bytes(), random.random()
    if data.startswith(b"\x89PNG") and choice < 0.8:
        data, done = edit_chunk(random, data)
    elif choice < 0.9:
        side = random.choice((4000, 9000, 13300, 20000, 65500, (1 << 31) - 1))
        data, done = (
            png_bomb(side, side, random.choice((1, 8))),
            f"a PNG of {side}² pixels, all black",
        )
    else:
        data, done = exif_image(random), "EXIF that is broken"
    path.write_bytes(data)
    return done, False


def edit_chunk(random: Random, data: bytes) -> tuple[bytes, str]:
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
        extra = random.choice(
            (b"tEXt", b"zTXt", b"iCCP", b"eXIf", b"acTL", b"fcTL", b"PLTE", b"tRNS")
        )
        chunks.insert(
            1,
            (
                extra,
                random.choice(
                    (b"a\0\0" + zlib.compress(bytes(1 << 22)), random.randbytes(40), b"")
                ),
            ),
        )
        done += f"; {extra!r} added"
    return data[:8] + b"".join(png_chunk(*each) for each in chunks), f"in chunk {kind!r}: {done}"


def exif_image(random: Random) -> bytes:
    """A JPEG whose EXIF does not make sense: a wrong type for the orientation, or bytes of no
    order.
    """
    target = io.BytesIO()
    tag = struct.pack(
        "<HHI", 274, random.randrange(14), random.choice((0, 1, 2, 1 << 20))
    ) + random.randbytes(4)
    head = struct.pack("<IH", random.choice((8, 0, 1 << 30)), random.choice((1, 1, 500)))
    exif = b"Exif\0\0II*\0" + head + tag + random.randbytes(8)
    Image.new("RGB", (8, 9), "red").save(target, "JPEG", exif=exif)
    return target.getvalue()


IMAGES = Format(images, read, edit, damaged=0.7, checksummed=False)
