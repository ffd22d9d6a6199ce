"""Files that are small and ask for much."""

import struct
import zlib

ZEROS = bytes(1 << 20)


def repeated_deflate(piece: bytes, times: int) -> bytes:
    """The deflate stream of `piece`, `times` times over, without ever holding that: each piece ends
    on a full flush.
    """
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    return first + again * (times - 1) + packer.flush(zlib.Z_FINISH)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk of a PNG, with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_bomb(width: int, height: int, depth: int = 8) -> bytes:
    """A grey PNG, all black."""
    row = 1 + -(-width * depth // 8)
    rows = min(height, 1 << 17)  # of taller ones the rest is missing
    stream = b""
    if row <= 1 << 24:
        per_piece = max(1, min(rows, len(ZEROS) // row))
        times = -(-rows // per_piece)
        adler = (row * per_piece * times % 65521) << 16 | 1  # Adler-32 of so many zeros
        stream = (
            b"\x78\xda" + repeated_deflate(bytes(row * per_piece), times) + struct.pack(">I", adler)
        )
    head = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", head)
        + png_chunk(b"IDAT", stream)
        + png_chunk(b"IEND", b"")
    )


def zip_bomb(names: list[str], size: int, declared: int | None = None) -> bytes:
    """A zip whose members hold `size` zeros each, and share nothing; `declared` is what it says
    instead.
    """
    times, crc = -(-size // len(ZEROS)), 0
    for _ in range(times):
        crc = zlib.crc32(ZEROS, crc)
    stream, declared = (
        repeated_deflate(ZEROS, times),
        times * len(ZEROS) if declared is None else declared,
    )
    body, directory = b"", b""
    for name in names:
        raw = name.encode()
        common = struct.pack(
            "<HHHHHIIIHH", 20, 0, 8, 0, 33, crc, len(stream), declared, len(raw), 0
        )
        directory += (
            b"PK\x01\x02"
            + struct.pack("<H", 20)
            + common
            + struct.pack("<HHHII", 0, 0, 0, 0, len(body))
            + raw
        )
        body += b"PK\x03\x04" + common + raw + stream
    end = struct.pack("<HHHHIIH", 0, 0, len(names), len(names), len(directory), len(body), 0)
    return body + directory + b"PK\x05\x06" + end
