"""Files that are small and ask for much."""

import struct
import zlib

ZEROS = bytes(1 << 20)


def repeated_deflate(piece: bytes, times: int) -> bytes:
    """The deflate stream of `piece`, `times` times over, without ever holding that: each piece ends on a full flush."""
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
        stream = b"\x78\xda" + repeated_deflate(bytes(row * per_piece), times) + struct.pack(">I", adler)
    head = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + png_chunk(b"IDAT", stream) + png_chunk(b"IEND", b"")


def zip_bomb(names: list[str], size: int, declared: int | None = None) -> bytes:
    """A zip whose members hold `size` zeros each, and share nothing; `declared` is what it says instead."""
    times, crc = -(-size // len(ZEROS)), 0
    for _ in range(times):
        crc = zlib.crc32(ZEROS, crc)
    stream, declared = repeated_deflate(ZEROS, times), times * len(ZEROS) if declared is None else declared
    body, directory = b"", b""
    for name in names:
        raw = name.encode()
        common = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 33, crc, len(stream), declared, len(raw), 0)
        directory += b"PK\x01\x02" + struct.pack("<H", 20) + common + struct.pack("<HHHII", 0, 0, 0, 0, len(body)) + raw
        body += b"PK\x03\x04" + common + raw + stream
    end = struct.pack("<HHHHIIH", 0, 0, len(names), len(names), len(directory), len(body), 0)
    return body + directory + b"PK\x05\x06" + end


def share_chunks(data: bytes) -> bytes:
    """Let every chunk of the largest fixed array of an HDF5 file have the bytes of its first: they were equal before.

    A fixed array of at most 1024 filtered chunks lies in one block: signature, version, client, address of the header,
    then for each chunk address, stored size and filter mask; then a checksum (HDF5 File Format 3.0, VII.D).
    """
    places = [at for at in range(len(data)) if data.startswith(b"FADB", at)]
    for place in places:
        header = int.from_bytes(data[place + 6 : place + 14], "little")
        entry, count = data[header + 6], int.from_bytes(data[header + 8 : header + 16], "little")
        begin, end = place + 14, place + 14 + entry * count
        if count < 64 or lookup3(data[place:end]) != int.from_bytes(data[end : end + 4], "little"):
            continue
        block = data[place:begin] + data[begin : begin + entry] * count
        data = data[:place] + block + lookup3(block).to_bytes(4, "little") + data[end + 4 :]
    return data


def lookup3(data: bytes) -> int:
    """Bob Jenkins' hash, the checksum of HDF5's metadata (public domain, http://burtleburtle.net/bob/c/lookup3.c)."""
    mask = 0xFFFFFFFF

    def rotated(value: int, bits: int) -> int:
        return (value << bits | value >> (32 - bits)) & mask

    a = b = c = (0xDEADBEEF + len(data)) & mask
    for at in range(0, len(data), 12):
        words = struct.unpack("<III", data[at : at + 12].ljust(12, b"\0"))
        a, b, c = ((word + more) & mask for word, more in zip((a, b, c), words, strict=True))
        if at + 12 < len(data):
            for bits in (4, 6, 8, 16, 19, 4):
                a, b, c = b, (c + b) & mask, (a - c) & mask ^ rotated(c, bits)
    for bits in (14, 11, 25, 16, 4, 14, 24):
        a, b, c = b, ((c ^ b) - rotated(b, bits)) & mask, a
    return b
