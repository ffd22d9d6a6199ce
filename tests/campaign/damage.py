"""Damage to bytes, whatever they mean."""

from __future__ import annotations

from random import Random

from .subject import Mutation

SIGNATURES = (  # of the structures of HDF5, and of zip, PNG, JPEG and safetensors
    *(
        b"GCOL",
        b"OHDR",
        b"OCHK",
        b"FRHP",
        b"FHDB",
        b"FHIB",
        b"BTHD",
        b"BTLF",
        b"BTIN",
        b"FAHD",
        b"FADB",
        b"EAHD",
        b"EAIB",
    ),
    *(
        b"TREE",
        b"SNOD",
        b"HEAP",
        b"FSHD",
        b"FSSE",
        b"SMTB",
        b"SMLI",
        b"\x89HDF",
        b"PK\x01\x02",
        b"PK\x03\x04",
        b"PK\x05\x06",
    ),
    *(b"IHDR", b"IDAT", b"PLTE", b"IEND", b"\xff\xc0", b"\xff\xc4", b"\xff\xda", b"\xff\xe1", b'{"', b'":'),
)
INTERESTING = (
    0,
    1,
    2,
    127,
    128,
    255,
    256,
    32767,
    32768,
    65535,
    65536,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    (1 << 63) - 1,
    (1 << 64) - 1,
)


def flip_bits(random: Random, data: bytes, other: bytes) -> tuple[bytes, str]:
    """One to eight bits."""
    changed, places = bytearray(data), [random.randrange(len(data)) for _ in range(random.choice((1, 1, 1, 2, 4, 8)))]
    for place in places:
        changed[place] ^= 1 << random.randrange(8)
    return bytes(changed), f"bits flipped at {places}"


def set_bytes(random: Random, data: bytes, other: bytes) -> tuple[bytes, str]:
    """A few bytes at random."""
    changed, place, size = bytearray(data), random.randrange(len(data)), random.choice((1, 2, 4, 8, 16, 64))
    changed[place : place + size] = random.randbytes(len(changed[place : place + size]))
    return bytes(changed), f"{size} random bytes at {place}"


def zero(random: Random, data: bytes, other: bytes) -> tuple[bytes, str]:
    """A range of zeros, as a disk leaves that lost a block."""
    place, size = random.randrange(len(data)), random.choice((1, 4, 8, 16, 64, 512, 4096))
    return data[:place] + bytes(len(data[place : place + size])) + data[place + size :], f"{size} zeros at {place}"


def fill(random: Random, data: bytes, other: bytes) -> tuple[bytes, str]:
    """A range of bytes 0xff."""
    place, size = random.randrange(len(data)), random.choice((1, 4, 8, 16, 64))
    return data[:place] + b"\xff" * len(data[place : place + size]) + data[place + size :], f"{size} × ff at {place}"


def integer(random: Random, data: bytes, other: bytes) -> tuple[bytes, str]:
    """A number that programs stumble over, in any width and byte order."""
    width, order = random.choice((1, 2, 4, 8)), random.choice(("little", "big"))
    value = random.choice(INTERESTING) % (1 << 8 * width)
    place = random.randrange(max(1, len(data) - width))
    return data[:place] + value.to_bytes(width, order) + data[place + width :], f"{value} in {width} bytes at {place}"


def truncate(random: Random, data: bytes, other: bytes) -> tuple[bytes, str]:
    """The end is missing."""
    size = random.choice((0, 1, len(data) - 1, random.randrange(len(data)), random.randrange(len(data))))
    return data[:size], f"cut to {size} bytes"


def append(random: Random, data: bytes, other: bytes) -> tuple[bytes, str]:
    """More at the end."""
    more = random.choice((bytes(16), random.randbytes(64), data, other))
    return data + more, f"{len(more)} bytes appended"


def remove(random: Random, data: bytes, other: bytes) -> tuple[bytes, str]:
    """A range is missing."""
    place, size = random.randrange(len(data)), random.choice((1, 2, 8, 64, 512))
    return data[:place] + data[place + size :], f"{size} bytes removed at {place}"


def insert(random: Random, data: bytes, other: bytes) -> tuple[bytes, str]:
    """Bytes are inserted: random ones, or some from elsewhere in the file."""
    place, start, size = random.randrange(len(data)), random.randrange(len(data)), random.choice((1, 2, 8, 64, 512))
    more = random.choice((random.randbytes(size), data[start : start + size]))
    return data[:place] + more + data[place:], f"{len(more)} bytes inserted at {place}"


def duplicate(random: Random, data: bytes, other: bytes) -> tuple[bytes, str]:
    """A range overwrites another, as a block written to the wrong place."""
    size = random.choice((8, 16, 64, 512, 4096))
    source, place = random.randrange(len(data)), random.randrange(len(data))
    piece = data[source : source + size]
    changed = data[:place] + piece + data[place + len(piece) :]
    return changed[: len(data)], f"{len(piece)} bytes of {source} at {place}"


def splice(random: Random, data: bytes, other: bytes) -> tuple[bytes, str]:
    """The beginning of one file, the rest of another."""
    place = random.randrange(len(data))
    start = random.choice((place, random.randrange(max(1, len(other)))))
    return data[:place] + other[start:], f"the first {place} bytes, then another file from {start} on"


def behind_signature(random: Random, data: bytes, other: bytes) -> tuple[bytes, str]:
    """Damage right behind a signature, where structures keep their sizes and addresses."""
    present = [signature for signature in SIGNATURES if signature in data]
    if not present:
        return set_bytes(random, data, other)
    signature = random.choice(present)
    places = [at for at in range(len(data)) if data.startswith(signature, at)]
    place = random.choice(places) + len(signature) + random.choice((0, 1, 2, 4, 8, 12, 16, 24, random.randrange(64)))
    size = random.choice((1, 2, 4, 8, 16))
    value = random.choice((0, 1, 255, 0xFFFF, (1 << 31) - 1, (1 << 64) - 1, random.getrandbits(64))) % (1 << 8 * size)
    changed = data[:place] + value.to_bytes(size, "little") + data[place + size :]
    return changed, f"{value:#x} in {size} bytes at {place}, {place - data.find(signature)} behind {signature!r}"


DAMAGES: tuple[Mutation, ...] = (
    *(flip_bits, flip_bits, set_bytes, zero, fill, integer, truncate, append, remove, insert, duplicate, splice),
    *(behind_signature, behind_signature, behind_signature),
)


def damage(random: Random, data: bytes, other: bytes) -> tuple[bytes, str]:
    """One kind of damage, or seldom two."""
    done = []
    for _ in range(random.choice((1, 1, 1, 1, 2))):
        if not data:
            break
        data, what = random.choice(DAMAGES)(random, data, other)
        done.append(what)
    return data, "; ".join(done)
