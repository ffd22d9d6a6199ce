"""Damage to bytes, whatever they mean."""

from collections.abc import Callable
from random import Random

SIGNATURES = (  # of the structures of HDF5, and of zip, PNG, JPEG and safetensors
    *(b"GCOL OHDR OCHK FRHP FHDB FHIB BTHD BTLF BTIN FAHD FADB EAHD EAIB TREE SNOD HEAP FSHD FSSE SMTB SMLI".split()),
    *(b"\x89HDF", b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"IHDR", b"IDAT", b"PLTE", b"IEND"),
    *(b"\xff\xc0", b"\xff\xc4", b"\xff\xda", b"\xff\xe1", b'{"', b'":'),
)
BORDERS = (0, 1, 2, *((1 << bits) - below for bits in (7, 8, 15, 16, 31, 32, 63, 64) for below in (0, 1)))
Damage = Callable[[Random, bytes, bytes], bytes]


def flip_bits(random: Random, data: bytes, other: bytes) -> bytes:
    """One to eight bits."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 4, 8))):
        changed[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(changed)


def overwrite(random: Random, data: bytes, other: bytes) -> bytes:
    """A range of zeros, as a disk leaves that lost a block; of ones; or of anything."""
    place, kind = random.randrange(len(data)), random.choice("01x")
    size = min(random.choice((1, 2, 4, 8, 16, 64, 512, 4096)), len(data) - place)
    new = {"0": bytes(size), "1": b"\xff" * size}.get(kind) or random.randbytes(size)
    return data[:place] + new + data[place + size :]


def integer(random: Random, data: bytes, other: bytes) -> bytes:
    """A number that programs stumble over, in any width and byte order."""
    width, order = random.choice((1, 2, 4, 8)), random.choice(("little", "big"))
    place = random.randrange(max(1, len(data) - width))
    return data[:place] + (random.choice(BORDERS) % (1 << 8 * width)).to_bytes(width, order) + data[place + width :]


def truncate(random: Random, data: bytes, other: bytes) -> bytes:
    """The end is missing."""
    return data[: random.choice((0, 1, len(data) - 1, random.randrange(len(data)), random.randrange(len(data))))]


def append(random: Random, data: bytes, other: bytes) -> bytes:
    """More at the end."""
    return data + random.choice((bytes(16), random.randbytes(64), data, other))


def remove(random: Random, data: bytes, other: bytes) -> bytes:
    """A range is missing."""
    place = random.randrange(len(data))
    return data[:place] + data[place + random.choice((1, 2, 8, 64, 512)) :]


def insert(random: Random, data: bytes, other: bytes) -> bytes:
    """Bytes are inserted: random ones, or some from elsewhere in the file."""
    place, start, size = random.randrange(len(data)), random.randrange(len(data)), random.choice((1, 2, 8, 64, 512))
    return data[:place] + random.choice((random.randbytes(size), data[start : start + size])) + data[place:]


def duplicate(random: Random, data: bytes, other: bytes) -> bytes:
    """A range overwrites another, as a block written to the wrong place."""
    start, place = random.randrange(len(data)), random.randrange(len(data))
    piece = data[start : start + random.choice((8, 16, 64, 512, 4096))]
    return (data[:place] + piece + data[place + len(piece) :])[: len(data)]


def splice(random: Random, data: bytes, other: bytes) -> bytes:
    """The beginning of one file, the rest of another."""
    place = random.randrange(len(data))
    return data[:place] + other[random.choice((place, random.randrange(max(1, len(other))))) :]


def behind_signature(random: Random, data: bytes, other: bytes) -> bytes:
    """A number right behind a signature, where structures keep their sizes and addresses."""
    present = [signature for signature in SIGNATURES if signature in data]
    if not present:
        return overwrite(random, data, other)
    signature = random.choice(present)
    places = [at for at in range(len(data)) if data.startswith(signature, at)]
    place = random.choice(places) + len(signature) + random.choice((0, 1, 2, 4, 8, 12, 16, 24, random.randrange(64)))
    size = random.choice((1, 2, 4, 8, 16))
    value = random.choice((0, 1, 255, 0xFFFF, (1 << 31) - 1, (1 << 64) - 1, random.getrandbits(64))) % (1 << 8 * size)
    return data[:place] + value.to_bytes(size, "little") + data[place + size :]


DAMAGES: tuple[Damage, ...] = (
    *(flip_bits, flip_bits, overwrite, overwrite, overwrite, integer, truncate, append, remove, insert, duplicate),
    *(splice, behind_signature, behind_signature, behind_signature),
)


def damage(random: Random, data: bytes, other: bytes) -> tuple[bytes, str]:
    """One kind of damage, or seldom two; also says which."""
    done = []
    for _ in range(random.choice((1, 1, 1, 1, 2))):
        if data:
            kind = random.choice(DAMAGES)
            data = kind(random, data, other)
            done.append(kind.__name__)
    return data, ", ".join(done)
