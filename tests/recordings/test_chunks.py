"""Chunks and their checksum, against HDF5's own filters; packed spikes,
and how they are counted.
"""

import zlib

import h5py
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from spikesam.common.errors import InputError
from spikesam.recordings.chunks import (
    SPIKE_WINDOW_BITS,
    ChunkError,
    compress,
    decompress,
    fletcher32,
    largest_stored,
)
from spikesam.recordings.digests import pad_bits_clear, spike_counts
from spikesam.recordings.raster.batch import PackedSpikes


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
    # Words 0x0102 and 0x0300: low half 0x0402; high half 2 · 0x0102 + 0x0300 = 0x0504;
    # little-endian.
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


def test_spikes_take_little_more_than_their_entropy() -> None:
    # A bit that is set with probability 0.1 is worth 0.469 bits; a code for whole bytes needs 0.48.
    spikes = np.random.default_rng(0).random(1 << 20) < 0.1
    assert len(compress(np.packbits(spikes).tobytes(), SPIKE_WINDOW_BITS)) < 0.49 * len(spikes) / 8
    assert len(compress(bytes(1 << 20), SPIKE_WINDOW_BITS)) < 1 << 13  # silence


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


@given(arrays(np.bool_, array_shapes(min_dims=5, max_dims=5, max_side=5)))
def test_unpacked_is_what_was_packed(spikes):
    packed = PackedSpikes.of(spikes)
    assert (packed.timesteps, len(packed)) == spikes.shape[:2]
    assert np.array_equal(packed.unpacked(), spikes)


def test_bits_by_hand():
    # Two samples of one step, nine neurons: the first and the last fire, then all.
    spikes = np.ones((1, 2, 1, 3, 3), np.bool_)
    spikes[0, 0] = np.reshape([1, 0, 0, 0, 0, 0, 0, 0, 1], (3, 3))
    assert PackedSpikes.of(spikes).bits.tolist() == [
        [[0b10000000, 0b10000000]],
        [[0b11111111, 0b10000000]],
    ]


@pytest.mark.parametrize(
    ("bits", "message"),
    [
        (
            np.zeros((1, 4, 3), np.uint8),
            r"got \(1, 4, 3\) uint8, expected \(B, T, 2\) uint8 for .* \(1, 3, 3\)",
        ),
        (np.zeros((4, 2), np.uint8), r"got \(4, 2\) uint8, expected \(B, T, 2\)"),
        (np.zeros((1, 4, 2), np.int8), r"got \(1, 4, 2\) int8, expected \(B, T, 2\) uint8"),
        (np.full((1, 4, 2), 1, np.uint8), "got pad bits that are set, expected zeros"),
    ],
)
def test_other_bits_are_refused(bits, message):
    with pytest.raises(InputError, match=message):
        PackedSpikes(bits, (1, 3, 3))


def test_every_byte_has_as_many_spikes_as_bits() -> None:
    every = np.arange(256, dtype=np.uint8)
    assert spike_counts(every[:, None]).tolist() == [bin(byte).count("1") for byte in range(256)]
    assert spike_counts(np.full((2, 3, 1000), 255, np.uint8)).tolist() == [[8000] * 3] * 2


@given(arrays(np.uint8, array_shapes(min_dims=1, max_dims=3, max_side=40)))
def test_spikes_are_counted_along_the_last_axis(packed: NDArray[np.uint8]) -> None:
    counts = spike_counts(packed)
    assert counts.dtype == np.uint32
    np.testing.assert_array_equal(counts, np.unpackbits(packed, axis=-1).sum(axis=-1))


@given(st.integers(1, 40), st.integers(0, 7))
def test_a_pad_bit_is_noticed_in_any_step(neurons: int, bit: int) -> None:
    """Bits from the lowest on, as many as a last byte has to spare, belong to no neuron."""
    packed = np.zeros((3, -(-neurons // 8)), np.uint8)
    packed[1, -1] = 1 << bit
    assert pad_bits_clear(packed, neurons) == (bit >= -neurons % 8)
