"""A range file whose digests and seals all fit, but that no run has written: it is refused, and
computed again.
"""

import io
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import pytest

from spikesam.pipeline.engine._compute import compute
from spikesam.pipeline.engine.folder import FolderStore, begin
from spikesam.pipeline.engine.job import Job, Keep
from spikesam.pipeline.engine.merge import merge
from spikesam.pipeline.engine.range_file import RangeFile, RangeRecord, write_range
from spikesam.pipeline.maps.localisation import OF_LAYERS, Score
from spikesam.pipeline.measures.localisation import MEASURES
from spikesam.recordings.errors import RasterError
from spikesam.recordings.raster.schema import LayerSpec
from tests.campaign.forge import reseal, unseal
from tests.pipeline.engine.jobs import COUNT, files, job
from tests.recordings.rasters import HEADER

Sections = dict[str, bytes]
Forge = Callable[
    [dict[str, Any], Sections, Sections], None
]  # record, its sections, those of another range
FORGED = "00000016.range"


def with_maps() -> Job:
    """A job whose files hold spikes and maps."""
    made = job()
    return replace(made, spec=replace(made.spec, keep=Keep(steps=(0, 3), stepped=COUNT)))


def computed(folder: Path) -> Job:
    """Compute all ranges, and merge none."""
    started = begin(folder, with_maps())
    compute(started, FolderStore(folder, started))
    return started


def forge(folder: Path, change: Forge) -> None:
    parts = folder / "raster.parts"
    record, sections = unseal(parts / FORGED)
    change(record, sections, unseal(parts / "00000000.range")[1])
    reseal(parts / FORGED, record, sections)


def field(name: str, value: Any) -> Any:
    return pytest.param(
        lambda record, *_: record.update({name: value(record[name])}), id=f"{name} {value(0)!r:.30}"
    )


def of(value: Any) -> Callable[[Any], Any]:
    return lambda _: value


def edited(section: str, edit: Callable[[h5py.File], object]) -> Any:
    def change(record: dict[str, Any], sections: Sections, other: Sections) -> None:
        with h5py.File(image := io.BytesIO(sections[section]), "r+") as file:
            edit(file)
        sections[section] = image.getvalue()

    return change


def outside_readout(file: h5py.File) -> None:
    readout = file["readout"]
    shape, dtype, attributes = readout.shape, readout.dtype, dict(readout.attrs)
    del file["readout"]
    made = file.create_dataset(
        "readout", shape, dtype, external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
    )
    made.attrs.update(attributes)


def zeroed_heap(record: dict[str, Any], sections: Sections, other: Sections) -> None:
    """Sixteen zero bytes behind its signature lead HDF5 into an endless loop."""
    content = bytearray(sections["raster"])
    at = content.index(b"GCOL")
    content[at + 8 : at + 24] = bytes(16)
    sections["raster"] = bytes(content)


def of_others(*names: str) -> Forge:
    def change(record: dict[str, Any], sections: Sections, other: Sections) -> None:
        sections.update({name: other[name] for name in names})

    return change


def without(name: str) -> Forge:
    return lambda record, sections, other: sections.pop(name) and None


def one_spike_more(record: dict[str, Any], sections: Sections, other: Sections) -> None:
    record["spikes"]["conv1"][3] += 1


def another_digest(text: str) -> Forge:
    return lambda record, sections, other: record["digests"]["conv1"].__setitem__(3, text)


def another_answer(record: dict[str, Any], sections: Sections, other: Sections) -> None:
    """Prediction and readout agree with each other, not with the raster."""
    record["readout"] = [[9, 0, 0] for _ in record["readout"]]
    record["predictions"] = [0 for _ in record["predictions"]]


FORGERIES = [
    field("count", of(10**30)),
    field("count", of(0)),
    field("first", of(-16)),
    field("predictions", of([2] * 16)),
    field("readout", of([[1e300, 0, 0]] * 16)),
    field("readout", of([[0, 0, 0]] * 15 + [[0]])),
    field("names", of(["\x1b[2J"] * 16)),
    field("names", of([])),
    field("backend", of("\x1b]0;owned\x07")),
    field("device", of("x" * 10**6)),
    field("seconds", of({"simulate": float("nan")})),
    field("seconds", of({"\x1b[2J": 1.0})),
    field("scores", of([[16, "conv1", "SAM", "pointing game", float("inf")]])),
    field("scores", of([[0, "conv1", "SAM", "no measure", 0.5]])),
    field("scores", of([0] * 10_000)),
    field("names", of([[0]] * 40_000)),
    field("spikes", of({})),
    field("digests", of({"input": ["no digest"] * 16})),
    pytest.param(one_spike_more, id="one spike more"),
    pytest.param(another_digest("0" * 64), id="another digest"),
    pytest.param(another_digest("é" * 64), id="no digest"),
    pytest.param(another_answer, id="another answer"),
    pytest.param(of_others("raster"), id="raster of others"),
    pytest.param(of_others("maps"), id="maps of others"),
    pytest.param(of_others("raster", "maps"), id="all of others"),
    pytest.param(without("maps"), id="no maps"),
    pytest.param(without("raster"), id="no raster"),
    pytest.param(
        lambda record, sections, other: sections.update(more=b"\0" * 99), id="one more section"
    ),
    pytest.param(lambda record, sections, other: sections.update(raster=b"no HDF5"), id="no HDF5"),
    pytest.param(zeroed_heap, id="endless loop"),
    pytest.param(edited("raster", outside_readout), id="readout from outside"),
    pytest.param(
        edited("raster", lambda file: file.attrs.modify("run_uuid", "another")), id="another run"
    ),
    pytest.param(edited("maps", lambda file: file.attrs.modify("gamma", 0.25)), id="another gamma"),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Job]:
    folder = tmp_path_factory.mktemp("whole")
    return folder, computed(folder)


@pytest.mark.parametrize("change", FORGERIES)
def test_a_forged_range_is_refused_and_computed_again(
    tmp_path: Path, change: Forge, whole: tuple[Path, Job]
) -> None:
    folder, started = Path(shutil.copytree(whole[0], tmp_path / "run")), whole[1]
    forge(folder, change)
    before = files(folder)
    with pytest.raises(RasterError, match=rf"{FORGED}: [ -~–×°é…]+$") as refused:
        merge(folder, started.spec)
    assert len(str(refused.value)) < 1000
    assert files(folder) == before
    assert not [path for path in folder.iterdir() if path.suffix == ".h5"]
    store = FolderStore(folder, started)
    assert (store.dropped, list(store.missing)) == (1, list(range(16, 32)))


def test_a_file_that_says_less_than_it_holds_is_not_read_at_all(tmp_path: Path) -> None:
    started = computed(tmp_path)
    path = tmp_path / "raster.parts" / FORGED
    record, sections = unseal(path)
    reseal(path, record, sections | {"maps": b""})
    with path.open("r+b") as file:
        file.truncate(1 << 40)  # without a block on the disk
    with pytest.raises(RasterError, match="its size does not fit"):
        merge(tmp_path, started.spec)
    assert FolderStore(tmp_path, started).dropped == 1


def test_the_largest_record_of_a_run_is_read_again(tmp_path: Path) -> None:
    """Long names of samples and layers, numbers of 24 characters, every score of every layer."""
    layers = tuple(
        LayerSpec(f"{number:03d}".rjust(64, "x"), number, (8, 8, 8), "conv", 1.0, 0.5)
        for number in range(1, 201)
    )
    header = replace(HEADER, layers=layers, classes=4096, precision="float32")
    spec = replace(job().spec, header=header, keep=Keep())
    number = -1.2345678901234567e-300
    record = RangeRecord(
        job=spec.identity,
        first=16,
        count=16,
        names=["\U0001f34e" * 900] * 16,
        predictions=[4095] * 16,
        readout=[[number] * 4096] * 16,
        spikes={layer.name: [6 * 512] * 16 for layer in layers},
        digests={layer.name: ["ab" * 32] * 16 for layer in layers},
        scores=[
            Score(16 + sample, layer.name, method, measure, number)
            for sample in range(16)
            for layer in layers
            for method in OF_LAYERS
            for measure in MEASURES
        ],
        backend="event",
        device="cpu",
        seconds={"simulate": number},
        sections={},
    )
    (tmp_path / "raster.parts").mkdir()
    write_range(tmp_path, record, {})
    assert RangeFile(tmp_path / "raster.parts" / FORGED, spec).record == record


def test_a_link_in_the_place_of_a_range_is_not_followed(tmp_path: Path) -> None:
    started = computed(tmp_path / "run")
    path, outside = tmp_path / "run" / "raster.parts" / FORGED, tmp_path / "outside"
    path.rename(outside)
    path.symlink_to(outside)
    with pytest.raises(RasterError, match="not an ordinary file"):
        merge(tmp_path / "run", started.spec)
    content, seen = outside.read_bytes(), os.stat(outside).st_mtime_ns
    compute(started, FolderStore(tmp_path / "run", started))
    assert (outside.read_bytes(), os.stat(outside).st_mtime_ns) == (content, seen)
    merge(tmp_path / "run", started.spec)
    assert not outside.is_symlink()


def test_a_record_that_no_raster_confirms_has_answers_of_the_run(tmp_path: Path) -> None:
    started = begin(tmp_path, replace(job(), spec=replace(job().spec, keep=Keep(spikes=False))))
    compute(started, FolderStore(tmp_path, started))
    forge(tmp_path, lambda record, *_: record.update(predictions=[-1] * 16))
    with pytest.raises(RasterError, match="expected its predictions to be those of its readout"):
        merge(tmp_path, started.spec)
    forge(
        tmp_path,
        lambda record, *_: record.update(
            readout=[[row[0] + 0.5, *row[1:]] for row in record["readout"]]
        ),
    )
    with pytest.raises(RasterError, match="expected a fixed readout"):
        merge(tmp_path, started.spec)


def test_who_computes_some_ranges_leaves_the_others_alone(
    tmp_path: Path, whole: tuple[Path, Job]
) -> None:
    folder = Path(shutil.copytree(whole[0], tmp_path / "run"))
    (folder / "raster.parts" / FORGED).write_bytes(b"damaged, and somebody else's")
    store = FolderStore(folder, whole[1], range(16))
    assert (store.dropped, list(store.checked), list(store.missing)) == (0, [0], [])
    assert (folder / "raster.parts" / FORGED).exists()


def test_float32_of_another_device_is_refused(tmp_path: Path) -> None:
    header = replace(HEADER, precision="float32")
    started = begin(tmp_path, job(header))
    compute(started, FolderStore(tmp_path, started))
    forge(tmp_path, lambda record, *_: record.update(device="cuda"))
    with pytest.raises(RasterError, match="expected torch on cpu"):
        merge(tmp_path, started.spec)
    forge(tmp_path, lambda record, *_: record.update(device="cpu"))
    assert merge(tmp_path, started.spec).readout.dtype == "float32"
