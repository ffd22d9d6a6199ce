"""Files that are not what they should be: each is one line naming file, path in the file, finding
and expectation.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from spikesam.recordings import reader
from spikesam.recordings.chunks import compress
from spikesam.recordings.errors import RasterError
from spikesam.recordings.raster.reader import RasterReader
from tests.campaign.structured import again
from tests.recordings.conftest import KINDS, MAPS, RASTER, Kind
from tests.recordings.rasters import HEADER, record, seal

Spoil = Callable[[h5py.File], object]
SPIKES, SAM, SUM = RASTER.values, MAPS.values, "layers/001_conv1/sum"
LABEL = "samples/label"


def rebuild(path: str, data: Any = None, **changes: object) -> Spoil:
    """Write a dataset again with other properties."""
    return lambda file: again(file, path, **changes if data is None else changes | {"data": data})


def declare(path: str, shape: tuple[int, ...], chunks: tuple[int, ...]) -> Spoil:
    """A dataset of any declared size that takes no space."""

    return lambda file: again(
        file, path, shape=shape, chunks=chunks, compression=None, fletcher32=True
    )


def instead(path: str, new: object) -> Spoil:
    """Put something else in the place of a dataset or group: a value, or what a function makes of
    (file, path).
    """

    def spoil(file: h5py.File) -> None:
        del file[path]
        if callable(new) and not isinstance(new, np.dtype):
            new(file, path)
        else:
            file[path] = new

    return spoil


def virtual(file: h5py.File, path: str) -> None:
    layout = h5py.VirtualLayout((3,), "i4")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "labels", (3,))
    file.create_virtual_dataset(path, layout)


def chunk(path: str, content: bytes, filter_mask: int = 0) -> Spoil:
    """Store these bytes as the values of the second sample."""
    return lambda file: file[path].id.write_direct_chunk(
        (1, *[0] * (file[path].ndim - 1)), content, filter_mask
    )


def pop(path: str) -> Spoil:
    return lambda file: file.pop(path)


def shared_bytes(file: h5py.File, later: int) -> None:
    """Let the second sample's chunk begin so many bytes behind the first's; the oldest index has no
    checksum.
    """
    path = Path(file.filename)
    values = RASTER.values if RASTER.values in file else MAPS.values
    with h5py.File.in_memory(libver="earliest") as old:
        old.attrs.update(file.attrs)
        for name in file:
            file.copy(name, old)
        rebuild(values)(old)
        first, second = (old[values].id.get_chunk_info(number).byte_offset for number in (0, 1))
        old.flush()
        content = old.id.get_file_image()
    file.close()
    assert content.count(second.to_bytes(8, "little")) == 1
    path.write_bytes(
        content.replace(second.to_bytes(8, "little"), (first + later).to_bytes(8, "little"))
    )


def element(path: str, value: object) -> Spoil:
    return lambda file: file[path].__setitem__((1,) * file[path].ndim, value)


def turned(path: str, place: Any, function: Callable[[Any], Any]) -> Spoil:
    """Change some values to what a function makes of them."""
    return lambda file: file[path].__setitem__(place, function(file[path][place]))


def attribute(path: str, **values: object) -> Spoil:
    return lambda file: file[path].attrs.update(values)


def no_attribute(name: str) -> Spoil:
    return lambda file: file.attrs.pop(name)


def sealed(spoil: Spoil) -> Spoil:
    return lambda file: (spoil(file), seal(file, HEADER))


CHANGED = "its texts, tables or attributes were changed after it was written"


def of_both(kind: Kind) -> dict[str, Spoil]:
    """What is wrong with either kind of file."""
    values, layer = kind.values, "layers/001_conv1"
    version = kind.header.STAMP.version
    shape = kind.header.one_sample[f"/{values}"].shape[1:]
    step, size = (
        (1, *shape),
        int(np.prod(shape)) * kind.header.one_sample[f"/{values}"].dtype.itemsize,
    )
    return {
        f"/{values}: a soft link, expected a hard link": instead(values, h5py.SoftLink("/samples")),
        f"/{layer}: an external link, expected a hard link": instead(
            layer, h5py.ExternalLink("/etc/passwd", "/")
        ),
        f"/{LABEL}: virtual storage, expected data in this file": instead(LABEL, virtual),
        f"/{LABEL}: external storage, expected data in this file": instead(
            LABEL,
            lambda file, path: file.create_dataset(
                path, (3,), "<i4", external=[("/etc/passwd", 0, 12)]
            ),
        ),
        f"/{LABEL}: contiguous storage, expected chunks in this": instead(
            LABEL, np.zeros(3, np.int32)
        ),
        f"/{LABEL}: not a dataset, expected a dataset": instead(LABEL, h5py.File.create_group),
        "/samples: not a group, expected a group": instead("samples", np.zeros(3)),
        "/samples/index: not a dataset, expected a dataset": instead(
            "samples/index", np.dtype("<i8")
        ),
        "/samples: missing, expected / to hold layers, ": pop("samples"),
        f"/{LABEL}: missing, expected /samples to hold index, label, prediction": pop(LABEL),
        f"/{values}: missing, expected /{layer} to hold ": pop(values),
        "/more: an unknown path, expected / to hold": lambda file: file.create_group("more"),
        f"/{layer}/more: an unknown path, expected /{layer} to": lambda file: file.create_group(
            f"{layer}/more"
        ),
        "/layers/conv1: an unknown path, expected a layer such as 001": lambda file: file.move(
            layer, "layers/conv1"
        ),
        " entries, expected at most 1000": lambda file: [
            file.create_group(f"layers/{n:03d}_x") for n in range(3, 1004)
        ],
        f"/{LABEL}: dtype uint32, expected dtype int32": rebuild(LABEL, dtype="<u4"),
        "/samples/index: dtype >i8, expected dtype int64": rebuild("samples/index", dtype=">i8"),
        f"/{LABEL}: dtype |S4, expected": rebuild(LABEL, np.array(["a"] * 3, "S4"), dtype="S4"),
        f"/{values}: dtype float64, expected dtype ": rebuild(values, dtype="<f8"),
        f"/{values}: ": rebuild(values, np.zeros((3, 2)), chunks=(1, 2)),
        f"/{values}: chunks (2, {step[1]}": rebuild(values, chunks=(2, *shape)),
        f"/{values}: filters filter 32000, expected": rebuild(
            values, fletcher32=False, compression="lzf"
        ),
        f"/{LABEL}: filters none, expected filters fletcher32": rebuild(LABEL, fletcher32=False),
        "number of samples is 1099511627776, expected 1 to": declare(
            "samples/index", (1 << 40,), (1 << 20,)
        ),
        f"/{LABEL}: 0 stored chunks, expected 1": declare(LABEL, (3,), (3,)),
        f"filter mask 3, expected 4 to {2 * size + 1024:,} bytes within": chunk(
            values, bytes(size), filter_mask=3
        ),
        f"/{values}: chunk {(1, *[0] * len(shape))} of 5,000 bytes": chunk(values, bytes(5000)),
        f"/{values}: a chunk shares bytes with one of /{values}, expected": lambda file: (
            shared_bytes(file, 1)
        ),
        f"a chunk shares bytes with one of /{values}": lambda file: shared_bytes(file, 0),
        "/@T: empty, expected a value": attribute("/", T=h5py.Empty("<i8")),
        "/@T: int64 of shape (100000,), expected": attribute("/", T=np.zeros(100_000, int)),
        "/@T: text of shape (), expected one int64": attribute("/", T="six"),
        "/@T: missing, expected an attribute": no_attribute("T"),
        "timesteps is 0, expected 1 to 65,536": attribute("/", T=0),
        "timesteps is 1099511627776, expected 1 to 65,536": attribute("/", T=1 << 40),
        "/@complete: False, expected True": attribute("/", complete=np.False_),
        "/@format: 'sam', expected ": attribute("/", format="sam"),
        f"{version + 1}, expected {version}; read it": attribute("/", schema_version=version + 1),
        f"{version - 1}, expected {version}; read": attribute("/", schema_version=version - 1),
        f"/{values}@axes: unknown axes, expected '": attribute(values, axes="hwc"),
    }


OF_RASTERS: dict[str, Spoil] = {
    "/readout: an external link, expected a hard link": instead(
        "readout", h5py.ExternalLink("else.h5", "/readout")
    ),
    "/readout: missing, expected / to hold layers, readout, samples": pop("readout"),
    "/readout: an unknown path, expected / to hold layers, samples": attribute("/", K=0),
    "/layers: empty": lambda file: [file.pop(f"layers/{name}") for name in list(file["layers"])],
    "shape (3, 5, 8), expected shape (3, 6, 8)": rebuild(
        SPIKES, np.zeros((3, 5, 8), np.uint8), chunks=(1, 5, 8)
    ),
    f"/{SPIKES}: shape (3, 6, 8), expected shape (3, 6, 75)": attribute(
        SPIKES, shape=np.array([3, 4, 50])
    ),
    "1,073,741,824 neurons, expected at most 134,217,728": attribute(
        SPIKES, shape=np.array([1 << 30, 1, 1])
    ),
    "neurons, expected at most 134,217,728": attribute(SPIKES, shape=np.array([1 << 62] * 3)),
    "/readout: shape (3, 8589934592), expected shape (3, 3)": declare(
        "readout", (3, 1 << 33), (1, 1 << 20)
    ),
    "classes is 8589934592, expected 1 to 65,536": attribute("/", K=1 << 33),
    "spikes@leak: int64 of shape (), expected one float64": attribute(SPIKES, leak=1),
    "/: layer_delay is 2, expected 0 or 1 step": attribute("/", layer_delay=2),
    "/: window is 7, expected 1 to": attribute("/", window=7),
    "kind is 'lstm', expected one of input, conv, dense": attribute(SPIKES, kind="lstm"),
    "/: config: not valid JSON": attribute("/", config="{"),
    "/@dataset: 2,097,152 characters, expected at most": attribute("/", dataset="x" * (1 << 21)),
    "/: network_sha256 is '?', expected 64 hexadecimal digits": attribute("/", network_sha256="?"),
}
KEPT_STEPS = {"maxshape": (None,), "chunks": (3,)}
OF_MAPS: dict[str, Spoil] = {
    "/@method: missing": no_attribute("method"),
    r"/@method: 'cam\n', expected a name such as": attribute("/", method="cam\n"),
    "/@method: 'sum', expected a name such as": attribute("/", method="sum"),
    "/layers/000_input/grad-cam: missing": attribute("/", method="grad-cam"),
    "/: does not say what was explained, expected text": no_attribute("raster_digest"),
    "/: does not say what was explained": attribute("/", raster_digest=1),
    "raster_digest is 'cd', expected 64 hexa": attribute("/", raster_digest="cd"),
    "/@gamma: float64 of shape (2,)": attribute("/", gamma=[0.5, 1.0]),
    "/@gamma: uint8, expected one of text, ": attribute("/", gamma=np.uint8(1)),
    "gamma is -0.5, expected a finite number": attribute("/", gamma=-0.5),
    "gamma is nan, expected a finite number": attribute("/", gamma=np.nan),
    "/: 75 attributes, expected at most 64": attribute(
        "/", **{f"more{number}": 1 for number in range(64)}
    ),
    "layer 'conv1': 0 steps matter, expected 1 to 6": attribute(SUM, steps=0),
    f"/{SUM}: shape (2, 2, 3), expected shape (3, 2, 3)": rebuild(
        SUM, np.zeros((2, 2, 3), np.float32)
    ),
    "shape (2, 3, 2, 3), expected shape (2, 3, 3, 2)": rebuild(
        SUM, np.zeros((3, 3, 2), "f4"), chunks=(1, 3, 2)
    ),
    f"/{SUM}: shape (3, 2, 2, 3), expected (N, H, W)": rebuild(
        SUM, np.zeros((3, 2, 2, 3), np.float32), chunks=True
    ),
    f"/{SUM}: missing": pop(SUM),
    f"/{SUM}_digest: missing": pop(f"{SUM}_digest"),
    f"/{SUM}@axes: unknown axes, expected 'sample,": attribute(SUM, axes="sample, column, row"),
    "/steps: missing": pop("steps"),
    "/steps: an unknown path": attribute("/", stepped=0),
    "number of steps is 0, expected 1": rebuild("steps", [], **KEPT_STEPS),
    "/steps: shape (1, 3), expected (S,)": rebuild("steps", [[0, 2, 5]], chunks=(1, 3)),
    "/steps: contiguous storage": instead("steps", 2),
    "/steps: dtype int64, expected dtype int32": rebuild("steps", dtype="<i8"),
    "steps are [0, 5, 2], expected ascending": rebuild("steps", [0, 5, 2]),
    "steps are [0, 5, 5], expected ascending": rebuild("steps", [0, 5, 5]),
    "steps are [0, 2, 6], expected ascending numbers of 0 to 5": rebuild("steps", [0, 2, 6]),
    "steps are [-1, 2, 5], expected": rebuild("steps", [-1, 2, 5]),
    "shape (2, 3, 4, 5), expected shape (2, 4, 4, 5)": rebuild("steps", [0, 2, 4, 5], chunks=(4,)),
    "/@stepped: 4, expected 0 to 3, the number of samples": attribute("/", stepped=4),
    "/@stepped: -1, expected 0 to 3": attribute("/", stepped=-1),
    "sam: shape (2, 3, 4, 5), expected shape (1, 3, 4, 5)": attribute("/", stepped=1),
    "/@stepped: missing": no_attribute("stepped"),
}
AT_OPENING = {RASTER: of_both(RASTER) | OF_RASTERS, MAPS: of_both(MAPS) | OF_MAPS}

OTHER_TABLES = {"samples/index": 5, LABEL: 2, "samples/prediction": -1}
OTHER_VALUES = {
    RASTER: [
        *(element(path, value) for path, value in OTHER_TABLES.items()),
        *(
            element(path, value)
            for path, value in {"readout": 100, "layers/001_conv1/count": 0}.items()
        ),
        element("layers/001_conv1/digest", b"0" * 64),
        *(
            attribute("/", **{name: "f" * 64})
            for name in ("content_digest", "raster_digest", "network_sha256")
        ),
        *(
            attribute("/", **{name: "lava"})
            for name in ("backend", "device", "dataset", "run_uuid", "versions")
        ),
        *(
            attribute("/", **{name: value})
            for name, value in {"seed": 8, "dt": 2.0, "layer_delay": 0}.items()
        ),
        attribute("/", config='{"golden": 1}'),
        attribute(SPIKES, threshold=np.nextafter(4096.0, 5000)),
        attribute("readout", scale=0.25),
        pop("layers/001_conv1"),
    ],
    MAPS: [
        *(element(path, value) for path, value in OTHER_TABLES.items()),
        *(element(f"{path}_digest", b"0" * 64) for path in (SAM, SUM)),
        rebuild("steps", [0, 3, 5]),
        *(attribute("/", **{name: "f" * 64}) for name in ("content_digest", "raster_digest")),
        *(
            attribute("/", **{name: value})
            for name, value in {"gamma": 0.25, "variant": "b", "T": 7}.items()
        ),
        *(attribute("/", **{name: value}) for name, value in {"gamma": "0.5", "more": 1}.items()),
        no_attribute("gamma"),
        attribute(SUM, steps=4),
        pop("layers/001_conv1"),
    ],
}
WHEN_VERIFIED: dict[Kind, dict[str, Spoil]] = {
    RASTER: {
        "the number of spikes": turned(SPIKES, np.s_[1, 2, 0], lambda byte: byte ^ 1),
        "the SHA-256 of its spikes": turned(
            SPIKES, 1, lambda steps: steps[:, [1, 0, 2, 3, 4, 5, 6, 7]]
        ),  # as many
        f"/{SPIKES}[2]: pad bits that are set, expected zero": turned(
            SPIKES, np.s_[2, 5, 7], lambda byte: byte | 1
        ),
        f"/layers/001_conv1/digest[1]: {'0' * 64}, expected ": sealed(
            element("layers/001_conv1/digest", b"0" * 64)
        ),
        "/samples/prediction[1]: ": sealed(element("samples/prediction", 0)),
        f"/@raster_digest: {'f' * 64}, expected 32972015b193": sealed(
            attribute("/", raster_digest="f" * 64)
        ),
        f"/{SPIKES}[1]: damaged: its deflate stream does not hold": chunk(
            SPIKES, compress(bytes(100_000))
        ),
        f"/{SPIKES}[1]: damaged: its fletcher32 checksum": chunk(SPIKES, b"x" * 100),
    },
    MAPS: {
        f"/{SAM}_digest[1]: ": element(SAM, 0.5),
        f"/{SUM}_digest[1]: ": element(SUM, 0.5),
        f"/{SAM}[1]: negative or not finite, expected numbers ≥ 0": element(SAM, np.nan),
        f"/{SUM}[1]: negative or not finite, expected numbers ≥ 0": element(SUM, np.inf),
        f"/{SUM}[1]: negative or not finite": element(SUM, -1),
        f"/{SAM}[1]: damaged: its deflate stream does not hold exactly 72 bytes": chunk(
            SAM, compress(bytes(100_000))
        ),
        f"/{SUM}[1]: damaged: its deflate stream does not hold exactly 24 bytes": chunk(
            SUM, compress(bytes(100_000))
        ),
    },
}


def named(part: object) -> str:
    """Of a test: the kind of file, and the message."""
    return "" if callable(part) else getattr(part, "noun", str(part))


CASES = [
    *((kind, *case) for kind in KINDS for case in AT_OPENING[kind].items()),
    *((kind, CHANGED, spoil) for kind in KINDS for spoil in OTHER_VALUES[kind]),
]


@pytest.mark.parametrize(("kind", "message", "spoil"), CASES, ids=named)
def test_a_spoiled_file(kind: Kind, file: Path, message: str, spoil: Spoil) -> None:
    with h5py.File(file, "r+") as opened:
        spoil(opened)
    for source, name in ((file, file), (file.read_bytes(), f"{kind.noun} in memory")):
        with pytest.raises(RasterError) as caught:
            kind.reader(source)
        assert str(caught.value).startswith(f"{name}: ") and message in str(caught.value)


VERIFIED = [(kind, message) for kind in KINDS for message in WHEN_VERIFIED[kind]]


@pytest.mark.parametrize(("kind", "message"), VERIFIED, ids=named)
def test_spoiled_values_are_found(kind: Kind, file: Path, message: str) -> None:
    with h5py.File(file, "r+") as opened:
        WHEN_VERIFIED[kind][message](opened)
    with kind.reader(file) as opened, pytest.raises(RasterError) as caught:
        opened.verify()
    assert str(caught.value).startswith(f"{file}: ") and message in str(caught.value)


def test_what_is_no_such_file_at_all(kind: Kind, tmp_path: Path) -> None:
    text, pipe = tmp_path / "text.h5", tmp_path / "pipe.h5"
    text.write_text("hello")
    os.mkfifo(pipe)
    other = next(each for each in KINDS if each != kind).golden
    for path, finding in (
        (tmp_path / "none.h5", "no such file, expected a "),
        (tmp_path, "a directory, expected a "),
        (pipe, "not a file, expected a "),
        (text, "is not HDF5, expected"),
        (
            other,
            "is a file of maps, expected a raster"
            if kind == RASTER
            else "is a raster, expected a file of maps",
        ),
    ):
        with pytest.raises(RasterError, match=f"^{re.escape(str(path))}: {finding}[^\n]*$"):
            kind.reader(path)


def test_the_folder_of_a_run_stands_for_its_file(kind: Kind, tmp_path: Path) -> None:
    shutil.copy(kind.golden, tmp_path / kind.reader.IN_FOLDER)
    with kind.reader(tmp_path) as opened:
        assert opened.path == tmp_path / kind.reader.IN_FOLDER


def test_every_truncation_is_refused(kind: Kind, file: Path) -> None:
    content = file.read_bytes()
    for size in range(0, len(content), 500):
        file.write_bytes(content[:size])
        for source, name in ((file, file.name), (content[:size], f"^{kind.noun} in memory")):
            with pytest.raises(
                RasterError, match=rf"{name}: cannot be read as HDF5 .* is it truncated\?"
            ):
                kind.reader(source)


def test_damaged_bytes_are_refused_or_harmless(kind: Kind, file: Path) -> None:
    """A flipped byte anywhere gives one RasterError, or, in parts of the file that hold nothing,
    the same values.
    """
    content, random, refused = file.read_bytes(), np.random.default_rng(0), 0
    with kind.reader(file) as intact:
        expected = [intact[layer][1] for layer in intact]
    for number, at in enumerate(random.integers(0, len(content), 120)):
        damaged = bytearray(content)
        damaged[at] ^= random.integers(1, 256)
        file.write_bytes(damaged)
        try:
            with kind.reader(bytes(damaged) if number % 2 else file) as found:
                found.verify()
                for layer, values in zip(found, expected, strict=True):
                    assert np.array_equal(found[layer][1], values)
        except RasterError:
            refused += 1
    assert refused > 30


def test_attributes_that_other_programs_add_are_ignored(kind: Kind, file: Path) -> None:
    with h5py.File(file, "r+") as opened:
        opened.attrs.update(
            {"CLASS": np.bytes_("GROUP"), "_NCProperties": "version=2", "TITLE": ""}
        )
    with kind.reader(file) as found:
        found.verify()


def test_spikes_are_checked_as_they_are_read_and_no_others(tmp_path: Path) -> None:
    (path := tmp_path / "raster.h5").write_bytes(RASTER.golden.read_bytes())
    with h5py.File(path, "r+") as opened:
        WHEN_VERIFIED[RASTER]["the number of spikes"](opened)
    with RasterReader(path) as raster:
        assert raster.spikes("conv1", slice(0, 1)).any()
        assert raster.spikes("conv1", slice(1, 2), slice(3, 6)).shape == (3, 1, 3, 4, 5)
        assert raster.spikes("fc1").shape == (6, 3, 7, 1, 1)
        for read in (
            lambda: raster.spikes("conv1", slice(1, 2), slice(2, 3)),
            lambda: raster.packed("conv1", 1),
        ):
            with pytest.raises(RasterError, match=r"/layers/001_conv1/count\[1, 2\]"):
                read()


def test_tables_are_capped_in_total(
    kind: Kind, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "MAX_TABLES_BYTES", 300)
    with pytest.raises(
        RasterError, match=r"_?digest: tables of \d\d\d bytes or more in all, expected at most 300"
    ):
        kind.reader(file)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the memory that imports took")
def test_huge_declarations_cost_no_memory(kind: Kind, file: Path) -> None:
    """A file that declares as much as the caps allow, and more than the process may have, is
    refused for its holes.
    """
    with h5py.File(file, "r+") as opened:
        for name in ("index", "label", "prediction"):
            declare(f"samples/{name}", (1 << 24,), (8192,))(opened)
    code = """
import re, resource, sys
from spikesam.recordings.file_format import open_recording
imported = re.search(r"VmData:\\s+(\\d+) kB", open("/proc/self/status").read())
limit = (int(imported[1]) << 10) + (128 << 20)  # here, and in the process that opens files first
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
open_recording(sys.argv[1])
"""
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    run = [sys.executable, "-c", code, str(file)]
    ran = subprocess.run(run, capture_output=True, text=True, check=False, env=os.environ | threads)
    assert ran.returncode == 1
    assert "/samples/index: 0 stored chunks, expected 2,048" in ran.stderr


def test_a_rate_is_of_the_steps_of_the_model(tmp_path: Path) -> None:
    path = record(tmp_path, 3, replace(HEADER, window=4))
    with RasterReader(path) as raster:
        rate = raster.rate("conv1")
        assert rate == raster["conv1"][:].sum() / (3 * 4 * raster.layer("conv1").neurons)
