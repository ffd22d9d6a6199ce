"""Damage to bytes, whatever they mean."""

from collections.abc import Callable
from random import Random

SIGNATURES = (  # of the structures of HDF5, and of zip, PNG, JPEG and safetensors
    *(
        b"GCOL OHDR OCHK FRHP FHDB FHIB BTHD BTLF BTIN FAHD FADB EAHD EAIB TREE SNOD HEAP FSHD "
        b"FSSE SMTB SMLI".split()
    ),
    *(b"\x89HDF", b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"IHDR", b"IDAT", b"PLTE", b"IEND"),
    *(b"\xff\xc0", b"\xff\xc4", b"\xff\xda", b"\xff\xe1", b'{"', b'":'),
)
BORDERS = (
    0,
    1,
    2,
    *((1 << bits) - below for bits in (7, 8, 15, 16, 31, 32, 63, 64) for below in (0, 1)),
)
SIZES = (1, 2, 4, 8, 16, 64, 512, 4096)
Damage = Callable[[Random, bytes, bytes], bytes]


def flip_bits(random: Random, data: bytes, other: bytes) -> bytes:
    """One to eight bits."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 4, 8))):
        changed[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(changed)


def rewrite(random: Random, data: bytes, other: bytes) -> bytes:
    """Some bytes are written over others, put between them, or missing.

    They are zeros, as a disk leaves that lost a block, ones, anything, a number that programs
    stumble over, or a piece of the file, as a block written to the wrong place.
    """
    place, start, size = _place(random, data), random.randrange(len(data)), random.choice(SIZES)
    width, order = min(size, 8), random.choice(("little", "big"))
    number = random.choice((*BORDERS, random.getrandbits(64))) % (1 << 8 * width)
    blank = random.choice((bytes(size), b"\xff" * size, random.randbytes(size)))
    piece = random.choice((blank, number.to_bytes(width, order), data[start : start + size], b""))
    over = random.choice((len(piece), len(piece), 0)) if piece else size
    return data[:place] + piece + data[place + over :]


def _place(random: Random, data: bytes) -> int:
    """Anywhere, or behind a signature, where structures keep their sizes and addresses."""
    present = [signature for signature in SIGNATURES if signature in data]
    if not present or random.random() < 0.7:
        return random.randrange(len(data))
    signature = random.choice(present)
    places = [at for at in range(len(data)) if data.startswith(signature, at)]
    return (
        random.choice(places)
        + len(signature)
        + random.choice((0, 1, 2, 4, 8, 12, 16, 24, random.randrange(64)))
    )


def truncate(random: Random, data: bytes, other: bytes) -> bytes:
    """The end is missing."""
    return data[
        : random.choice(
            (0, 1, len(data) - 1, random.randrange(len(data)), random.randrange(len(data)))
        )
    ]


def append(random: Random, data: bytes, other: bytes) -> bytes:
    """More at the end."""
    return data + random.choice((bytes(16), random.randbytes(64), data, other))


def splice(random: Random, data: bytes, other: bytes) -> bytes:
    """The beginning of one file, the rest of another."""
    place = random.randrange(len(data))
    return data[:place] + other[random.choice((place, random.randrange(max(1, len(other))))) :]


DAMAGES: tuple[Damage, ...] = (flip_bits, flip_bits, *(rewrite,) * 10, truncate, append, splice)


def damage(random: Random, data: bytes, other: bytes) -> tuple[bytes, str]:
    """One kind of damage, or seldom two; also says which."""
    done = []
    for _ in range(random.choice((1, 1, 1, 1, 2))):
        if data:
            kind = random.choice(DAMAGES)
            data = kind(random, data, other)
            done.append(kind.__name__)
    return data, ", ".join(done)
