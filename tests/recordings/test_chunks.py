"""Chunks and their checksum, against HDF5's own filters."""

import zlib

import h5py
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spikesam.recordings.chunks import SPIKE_WINDOW_BITS, ChunkError, compress, decompress, fletcher32, largest_stored


def fletcher32_of_hdf5(data: bytes) -> bytes:
    """Let the HDF5 library checksum a chunk."""
    with h5py.File("checksum", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("x", (len(data),), "u1", chunks=(len(data),), fletcher32=True)
        dataset[:] = np.frombuffer(data, np.uint8)
        file.flush()
        return dataset.id.read_direct_chunk((0,))[1][-4:]


@given(st.binary(min_size=1, max_size=1500))
@example(b"\0" * 1000)
@example(b"\xff" * 1441)
@example(b"\0\0\xff\xff")  # a sum of 65535, which HDF5 does not write as 0
@example(bytes(range(251)) * 41)  # rows of words, the last one begun and of an odd number of bytes
@example(b"\xff" * 5000)
def test_checksum_equals_that_of_hdf5(data: bytes) -> None:
    assert fletcher32(data) == fletcher32_of_hdf5(data)


def test_checksum_by_hand() -> None:
    # Words 0x0102 and 0x0300: low half 0x0402; high half 2 · 0x0102 + 0x0300 = 0x0504; little-endian.
    assert fletcher32(b"\1\2\3") == bytes([0x02, 0x04, 0x04, 0x05])


@given(st.binary(min_size=1, max_size=5000), st.sampled_from([SPIKE_WINDOW_BITS, 8, 15]))
def test_decode_undoes_encode(chunk: bytes, window_bits: int) -> None:
    stored = compress(chunk, window_bits)
    assert decompress(stored, len(chunk)) == chunk
    assert zlib.decompress(stored[:-4]) == chunk
    assert len(stored) <= largest_stored(len(chunk))


def test_noise_of_a_whole_chunk_stays_below_the_cap() -> None:
    noise = np.random.default_rng(0).bytes(1 << 20)
    assert len(compress(noise)) <= largest_stored(1 << 20)
    assert decompress(compress(noise), 1 << 20) == noise


def test_random_spikes_take_little_more_than_their_entropy() -> None:
    # A bit that is set with probability 0.1 is worth 0.469 bits; a code for whole bytes needs 0.48.
    spikes = np.random.default_rng(0).random(1 << 20) < 0.1
    assert len(compress(np.packbits(spikes).tobytes(), SPIKE_WINDOW_BITS)) < 0.49 * len(spikes) / 8


def test_silence_takes_next_to_nothing() -> None:
    assert len(compress(bytes(1 << 20), SPIKE_WINDOW_BITS)) < 1 << 13


def test_every_flipped_bit_is_noticed() -> None:
    chunk = np.random.default_rng(1).bytes(40)
    stored = bytearray(compress(chunk))
    for at in range(len(stored)):
        stored[at] ^= 4
        with pytest.raises(ChunkError):
            decompress(bytes(stored), len(chunk))
        stored[at] ^= 4


@pytest.mark.parametrize("size", [99, 101, 1])
def test_a_stream_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(ChunkError, match=f"does not hold exactly {size} bytes"):
        decompress(compress(b"x" * 100), size)


def test_a_stream_cut_short_or_no_stream_at_all_is_refused() -> None:
    whole = zlib.compress(b"x" * 100)
    for stream in (whole[:-6], b"", b"not deflate"):
        with pytest.raises(ChunkError):
            decompress(stream + fletcher32(stream), 100)
