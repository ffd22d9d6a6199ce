"""Files that are not what they should be: each is one line naming file, path in the file, finding and expectation."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from spikesam.recordings import reader
from spikesam.recordings.chunks import encode
from spikesam.recordings.errors import InputError, RasterError
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.validate import main
from tests.recordings.rasters import GOLDEN, HEADER, batch, seal

SPIKES, LABEL = "layers/001_conv1/spikes", "samples/label"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A valid file to spoil: the golden one, with 3 samples, 6 steps, 3 classes."""
    path = tmp_path / "raster.h5"
    path.write_bytes(GOLDEN.read_bytes())
    return path


def rebuild(file: h5py.File, path: str, data: object = None, **changes: object) -> h5py.Dataset:
    """Write a dataset again with other properties; spikes keep their attributes."""
    old = file[path]
    keep = {"chunks": old.chunks, "compression": old.compression, "fletcher32": old.fletcher32, "dtype": old.dtype}
    content, attributes = old[:], dict(old.attrs)
    del file[path]
    new = file.create_dataset(path, data=content if data is None else data, **{**keep, **changes})
    new.attrs.update(attributes)
    return new


def declare(file: h5py.File, path: str, shape: tuple[int, ...], chunks: tuple[int, ...]) -> None:
    """A dataset of any declared size that takes no space."""
    attributes, dtype = dict(file[path].attrs), file[path].dtype
    del file[path]
    file.create_dataset(path, shape, dtype, chunks=chunks, fletcher32=True).attrs.update(attributes)


def instead(path: str, new: object) -> Callable[[h5py.File], None]:
    """Put something else in the place of a dataset or group: a value, or what a function makes of (file, path)."""

    def spoil(file: h5py.File) -> None:
        del file[path]
        if callable(new) and not isinstance(new, np.dtype):
            new(file, path)
        else:
            file[path] = new

    return spoil


def chunk(content: bytes, filter_mask: int = 0) -> Callable[[h5py.File], None]:
    """Store these bytes as the spikes of the second sample."""
    return lambda file: file[SPIKES].id.write_direct_chunk((1, 0, 0), content, filter_mask)


def sealed(spoil: Callable[[h5py.File], None]) -> Callable[[h5py.File], None]:
    def both(file: h5py.File) -> None:
        spoil(file)
        seal(file, HEADER)

    return both


def other_spikes(file: h5py.File) -> None:
    file[SPIKES][1, 2, 0] ^= 1


def moved_spike(file: h5py.File) -> None:
    """As many spikes as before, so only the digest can tell."""
    file[SPIKES][1] = file[SPIKES][1][:, [1, 0, 2, 3, 4, 5, 6, 7]]


def pad_bit(file: h5py.File) -> None:
    file[SPIKES][2, 5, 7] |= 1


def virtual_dataset(file: h5py.File) -> None:
    attributes = dict(file[SPIKES].attrs)
    del file[SPIKES]
    layout = h5py.VirtualLayout((3, 6, 8), "u1")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "spikes", (3, 6, 8))
    file.create_virtual_dataset(SPIKES, layout).attrs.update(attributes)


def overlapping_chunks(file: h5py.File) -> None:
    """Let the second sample's chunk begin inside the first one's; the oldest kind of index has no checksum."""
    path = Path(file.filename)
    with h5py.File.in_memory(libver="earliest") as old:
        old.attrs.update(file.attrs)
        for name in file:
            file.copy(name, old)
        rebuild(old, SPIKES)
        first, second = (old[SPIKES].id.get_chunk_info(number).byte_offset for number in (0, 1))
        old.flush()
        content = old.id.get_file_image()
    file.close()
    assert content.count(second.to_bytes(8, "little")) == 1
    path.write_bytes(content.replace(second.to_bytes(8, "little"), (first + 1).to_bytes(8, "little")))


def element(path: str, value: object) -> Callable[[h5py.File], None]:
    def spoil(file: h5py.File) -> None:
        file[path][(1,) * file[path].ndim] = value

    return spoil


def attribute(path: str, name: str, value: object) -> Callable[[h5py.File], None]:
    def spoil(file: h5py.File) -> None:
        file[path].attrs[name] = value

    return spoil


AT_OPENING: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "soft link": (
        instead(SPIKES, h5py.SoftLink("/layers/000_input/spikes")),
        "/layers/001_conv1/spikes: a soft link, expected a hard link",
    ),
    "external link": (
        instead("layers/002_fc1", h5py.ExternalLink("/etc/passwd", "/")),
        "/layers/002_fc1: an external link, expected a hard link",
    ),
    "external link at the root": (
        instead("readout", h5py.ExternalLink("elsewhere.h5", "/readout")),
        "/readout: an external link, expected a hard link",
    ),
    "virtual dataset": (virtual_dataset, "/layers/001_conv1/spikes: virtual storage, expected data in this file"),
    "external storage": (
        instead(LABEL, lambda file, path: file.create_dataset(path, (3,), "<i4", external=[("/etc/passwd", 0, 12)])),
        "/samples/label: external storage, expected data in this file",
    ),
    "contiguous": (
        instead(LABEL, np.zeros(3, np.int32)),
        "/samples/label: contiguous storage, expected chunks in this file",
    ),
    "group for dataset": (instead(LABEL, h5py.File.create_group), "/samples/label: not a dataset, expected a dataset"),
    "dataset for group": (instead("samples", np.zeros(3)), "/samples: not a group, expected a group"),
    "named type": (instead("readout", np.dtype("<i4")), "/readout: not a dataset, expected a dataset"),
    "missing path": (
        lambda file: file.pop("readout"),
        "/readout: missing, expected / to hold layers, readout, samples",
    ),
    "unknown path": (lambda file: file.create_group("more"), "/more: an unknown path, expected / to hold"),
    "unknown path in a layer": (
        lambda file: file.create_group("layers/001_conv1/sam"),
        "/layers/001_conv1/sam: an unknown path, expected /layers/001_conv1 to hold count, digest, spikes",
    ),
    "unknown layer name": (
        lambda file: file.move("layers/001_conv1", "layers/conv1"),
        "/layers/conv1: an unknown path, expected a layer such as 001_conv1",
    ),
    "gap in the layers": (lambda file: file.pop("layers/001_conv1"), "/@content_digest"),
    "no layers": (lambda file: [file.pop(f"layers/{name}") for name in list(file["layers"])], "/layers: empty"),
    "many layers": (
        lambda file: [file.create_group(f"layers/{number:03d}_x{number}") for number in range(3, 300)],
        "/layers: 300 entries, expected at most 256",
    ),
    "dtype": (
        lambda file: rebuild(file, "layers/001_conv1/count", dtype="<u8"),
        "/layers/001_conv1/count: dtype uint64, expected dtype uint32",
    ),
    "byte order": (
        lambda file: rebuild(file, "samples/index", dtype=">i8"),
        "/samples/index: dtype >i8, expected dtype int64",
    ),
    "text for numbers": (
        lambda file: rebuild(file, "samples/label", np.array(["a", "b", "c"], "S4"), dtype="S4"),
        "/samples/label: dtype |S4, expected dtype int32",
    ),
    "shape": (
        lambda file: rebuild(file, SPIKES, np.zeros((3, 5, 8), np.uint8), chunks=(1, 5, 8)),
        "/layers/001_conv1/spikes: shape (3, 5, 8), expected shape (3, 6, 8)",
    ),
    "shape attribute": (
        attribute(SPIKES, "shape", np.array([3, 4, 50])),
        "/layers/001_conv1/spikes: shape (3, 6, 8), expected shape (3, 6, 75)",
    ),
    "chunks": (
        lambda file: rebuild(file, SPIKES, chunks=(3, 6, 8)),
        "/layers/001_conv1/spikes: chunks (3, 6, 8), expected chunks (1, 6, 8)",
    ),
    "filters": (
        lambda file: rebuild(file, SPIKES, fletcher32=False, compression="lzf"),
        "/layers/001_conv1/spikes: filters filter 32000, expected filters deflate + fletcher32",
    ),
    "no filters": (
        lambda file: rebuild(file, "readout", fletcher32=False),
        "/readout: filters none, expected filters fletcher32",
    ),
    "samples beyond the cap": (
        lambda file: declare(file, "samples/index", (1 << 40,), (1 << 20,)),
        "/samples/index: number of samples is 1099511627776, expected 1 to 16,777,216",
    ),
    "steps beyond the cap": (attribute("/", "T", 1 << 40), "/@T: timesteps is 1099511627776, expected 1 to 65,536"),
    "neurons beyond the cap": (
        attribute(SPIKES, "shape", np.array([1 << 30, 1, 1])),
        "layer 'conv1': 1,073,741,824 neurons, expected at most 134,217,728",
    ),
    "overflowing neurons": (
        attribute(SPIKES, "shape", np.array([1 << 62, 1 << 62, 1 << 62])),
        "neurons, expected at most 134,217,728",
    ),
    "classes beyond the cap": (
        lambda file: declare(file, "readout", (3, 1 << 33), (1, 1 << 20)),
        "/readout: shape (3, 8589934592), expected shape (3, 3)",
    ),
    "declared classes beyond the cap": (attribute("/", "K", 1 << 33), "classes is 8589934592, expected 1 to 65,536"),
    "no classes": (attribute("/", "K", 0), "/readout: an unknown path, expected / to hold layers, samples"),
    "missing chunk": (
        lambda file: declare(file, "layers/001_conv1/count", (3, 6), (3, 6)),
        "/layers/001_conv1/count: 0 stored chunks, expected 1",
    ),
    "unfiltered chunk": (chunk(bytes(48), filter_mask=3), "filter mask 3, expected 4 to 1,120 bytes within the file"),
    "oversized chunk": (
        chunk(np.random.default_rng(0).bytes(5000)),
        "/layers/001_conv1/spikes: chunk (1, 0, 0) of 5,000 bytes",
    ),
    "overlapping chunks": (
        overlapping_chunks,
        "/layers/001_conv1/spikes: a chunk shares bytes with one of /layers/001_conv1/spikes, expected chunks apart",
    ),
    "empty attribute": (attribute("/", "T", h5py.Empty("<i8")), "/@T: empty, expected a value"),
    "long attribute": (attribute("/", "seed", np.zeros(100_000, int)), "/@seed: int64 of shape (100000,), expected"),
    "incomplete": (attribute("/", "complete", False), "/@complete: False, expected True"),
    "another format": (attribute("/", "format", "sam"), "/@format: 'sam', expected 'spike-raster'"),
    "a later version": (attribute("/", "schema_version", 4), "/@schema_version: 4, expected 3; read it with"),
    "an earlier version": (attribute("/", "schema_version", 2), "/@schema_version: 2, expected 3; read it with"),
    "missing attribute": (lambda file: file.attrs.__delitem__("seed"), "/@seed: missing, expected an attribute"),
    "attribute type": (attribute("/", "T", "six"), "/@T: text of shape (), expected one int64"),
    "attribute shape": (attribute("/", "T", np.arange(3)), "/@T: int64 of shape (3,), expected one int64"),
    "attribute float": (attribute(SPIKES, "leak", 1), "spikes@leak: int64 of shape (), expected one float64"),
    "delay": (attribute("/", "layer_delay", 2), "/: layer_delay is 2, expected 0 or 1 step"),
    "window": (attribute("/", "window", 7), "/: window is 7, expected 1 to"),
    "no steps": (attribute("/", "T", 0), "/@T: timesteps is 0, expected 1 to 65,536"),
    "kind": (attribute(SPIKES, "kind", "lstm"), "kind is 'lstm', expected one of input, conv, dense"),
    "axes": (attribute(SPIKES, "axes", "hwc"), "/layers/001_conv1/spikes@axes: unknown axes"),
    "config": (attribute("/", "config", "{"), "/: config: not valid JSON"),
    "long text": (attribute("/", "dataset", "x" * (1 << 21)), "/@dataset: 2,097,152 characters, expected at most"),
    "network": (attribute("/", "network_sha256", "?"), "/: network_sha256 is '?', expected 64 hexadecimal digits"),
}

CHANGED = "its texts, tables or attributes were changed after it was written"
CONTENT: dict[str, Callable[[h5py.File], object]] = {
    "another backend": attribute("/", "backend", "lava"),
    "another configuration": attribute("/", "config", '{"golden": 1}'),
    "another seed": attribute("/", "seed", 8),
    "another raster digest": attribute("/", "raster_digest", "f" * 64),
    "another threshold": attribute(SPIKES, "threshold", np.nextafter(4096.0, 5000)),
    "another scale": attribute("readout", "scale", 0.25),
    "another sample": element("samples/index", 4),
    "another label": element("samples/label", 2),
    "another prediction": element("samples/prediction", -1),
    "another readout": element("readout", 100),
    "another count": element("layers/001_conv1/count", 0),
    "another digest": element("layers/001_conv1/digest", b"0" * 64),
    "another content digest": attribute("/", "content_digest", "0" * 64),
}
AT_OPENING |= {case: (spoil, CHANGED) for case, spoil in CONTENT.items()}

WHEN_VERIFIED: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "other spikes": (other_spikes, "the number of spikes"),
    "moved spike": (moved_spike, "the SHA-256 of its spikes"),
    "pad bit": (pad_bit, "/layers/001_conv1/spikes[2]: pad bits that are set, expected zero behind the last neuron"),
    "bomb": (
        chunk(encode(bytes(100_000))),
        "/layers/001_conv1/spikes[1]: damaged: its deflate stream does not hold exactly 48 bytes",
    ),
    "digest": (sealed(CONTENT["another digest"]), f"/layers/001_conv1/digest[1]: {'0' * 64}, expected "),
    "prediction": (sealed(element("samples/prediction", 0)), "/samples/prediction[1]: "),
    "raster digest": (
        sealed(CONTENT["another raster digest"]),
        f"/@raster_digest: {'f' * 64}, expected 32972015b193",
    ),
}


@pytest.mark.parametrize("case", [*AT_OPENING, *WHEN_VERIFIED])
def test_a_spoiled_file_is_one_clear_line(file: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    spoil, message = (AT_OPENING | WHEN_VERIFIED)[case]
    with h5py.File(file, "r+") as opened:
        spoil(opened)
    if case in AT_OPENING:
        for source, name in ((file, file), (file.read_bytes(), "raster in memory")):
            with pytest.raises(RasterError) as caught:
                RasterReader(source)
            assert str(caught.value).startswith(f"{name}: ") and message in str(caught.value)
    assert main([str(file)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1
    assert shown.err.startswith(f"error: {file}: ")
    assert message in shown.err


def test_what_is_not_a_raster_at_all(tmp_path: Path) -> None:
    text, pipe = tmp_path / "text.h5", tmp_path / "pipe.h5"
    text.write_text("hello")
    os.mkfifo(pipe)
    for path, finding in (
        (tmp_path / "none.h5", "no such file"),
        (tmp_path, "a directory"),
        (pipe, "not a file"),
        (text, "cannot be read as HDF5"),
    ):
        with pytest.raises(RasterError, match=finding) as caught:
            RasterReader(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "expected a raster file (raster.h5) that a run has finished" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_every_truncation_is_refused(file: Path) -> None:
    content = file.read_bytes()
    for size in range(0, len(content), 500):
        file.write_bytes(content[:size])
        for source, name in ((file, "raster\\.h5"), (content[:size], "^raster in memory")):
            with pytest.raises(RasterError, match=rf"{name}: cannot be read as HDF5 .* is it truncated\?"):
                RasterReader(source)


@pytest.mark.parametrize("in_memory", [False, True])
def test_damaged_bytes_are_refused_or_harmless(file: Path, in_memory: bool) -> None:
    """A flipped byte anywhere gives one RasterError, or, in parts of the file that hold nothing, the same spikes."""
    content = file.read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for at in random.integers(0, len(content), 150):
        damaged = bytearray(content)
        damaged[at] ^= random.integers(1, 256)
        file.write_bytes(damaged)
        try:
            with RasterReader(bytes(damaged) if in_memory else file) as raster:
                raster.verify()
                for layer, packed in batch(HEADER, range(3)).spikes.items():
                    assert np.array_equal([raster.packed(layer, sample) for sample in range(3)], packed)
        except RasterError:
            refused += 1
    assert refused > 50


def test_spikes_are_checked_as_they_are_read_and_no_others(file: Path) -> None:
    with h5py.File(file, "r+") as opened:
        other_spikes(opened)
    with RasterReader(file) as raster:
        assert raster.spikes("conv1", slice(0, 1)).any()
        assert raster.spikes("conv1", slice(1, 2), slice(3, 6)).shape == (3, 1, 3, 4, 5)
        assert raster.spikes("fc1").shape == (6, 3, 7, 1, 1)
        with pytest.raises(RasterError, match=r"/layers/001_conv1/count\[1, 2\]"):
            raster.spikes("conv1", slice(1, 2), slice(2, 3))
        with pytest.raises(RasterError, match=r"/layers/001_conv1/count\[1, 2\]"):
            raster.packed("conv1", 1)


def test_a_file_cannot_steer_the_terminal(file: Path) -> None:
    with h5py.File(file, "r+") as opened:
        opened.create_group("\x1b[2Jgone\n")
    with pytest.raises(InputError) as caught:
        RasterReader(file)
    assert "/?[2Jgone : an unknown path" in str(caught.value)


def test_tables_are_capped_in_total(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_TABLES_BYTES", 500)
    with pytest.raises(RasterError, match="/layers/001_conv1/digest: tables of 612 bytes or more in all, expected"):
        RasterReader(file)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the memory that imports took")
def test_huge_declarations_cost_no_memory(file: Path) -> None:
    """A file that declares as much as the caps allow, and more than the process may have, is refused for its holes."""
    with h5py.File(file, "r+") as opened:
        for path, width in (
            ("samples/index", ()),
            ("samples/label", ()),
            ("samples/prediction", ()),
            ("readout", (3,)),
        ):
            declare(opened, path, (1 << 24, *width), (8192, *width))
    code = """
import re, resource, sys
from spikesam.recordings.validate import main
imported = re.search(r"VmData:\\s+(\\d+) kB", open("/proc/self/status").read())
limit = (int(imported[1]) << 10) + (128 << 20)  # here, and in the process that opens files first
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
sys.exit(main(sys.argv[1:]))
"""
    ran = subprocess.run(
        [sys.executable, "-c", code, str(file)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    assert ran.returncode == 2
    assert "/samples/index: 0 stored chunks, expected 2,048" in ran.stderr


def test_validate_describes_a_valid_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(GOLDEN), str(GOLDEN)]) == 0
    shown = capsys.readouterr().out
    assert shown.count("\nvalid\n") == 2
    assert "3 samples of made-up, T = 6, seed 7; fixed precision on torch (cpu)" in shown
    assert "predicted as labelled: 1 of 3" in shown
    assert "raster digest 32972015b193" in shown
    for row in ("input  input  2 × 4 × 5", "conv1  conv   3 × 4 × 5       4096  0.99", "20.09%"):
        assert row in shown


def test_validate_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    assert "spikesam validate out/raster.h5" in capsys.readouterr().out
    assert main([]) == 2
    assert "the following arguments are required: FILE.h5" in capsys.readouterr().err
