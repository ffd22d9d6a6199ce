"""A file is there when it holds every sample, however many there are, or else not at all: on disk
and in memory.
"""

import io
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from spikesam.common.errors import InputError
from spikesam.recordings.chunks import read_table, stored_chunks
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.maps.writer import make_map_record, writing_maps
from spikesam.recordings.raster.arrays import write_raster
from spikesam.recordings.raster.batch import joined
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.writer import (
    GrowingWriter,
    check_batch,
    encode_samples,
    raster_image,
)
from spikesam.recordings.writer import writing_samples
from tests.recordings import maps
from tests.recordings.conftest import RASTER, Kind
from tests.recordings.rasters import HEADER, batch, grown, record, samples

UNKNOWN = replace(HEADER, classes=0, readout_scale=1.0, network_sha256="")


def image(count: int) -> bytes:
    """A raster of so many samples in memory."""
    records = encode_samples(HEADER, batch(HEADER, range(count)), range(count))
    return raster_image(HEADER, samples(count), "a run", list(records))


@pytest.mark.parametrize("wrap", [bytes, io.BytesIO])
def test_a_raster_in_memory_is_the_raster_on_disk(tmp_path: Path, wrap: type) -> None:
    with RasterReader(record(tmp_path, 20)) as on_disk, RasterReader(wrap(image(20))) as in_memory:
        in_memory.verify()
        assert in_memory.raster_digest == on_disk.raster_digest
        assert in_memory.header == on_disk.header
        for name in ("readout", "predictions", "labels"):
            assert np.array_equal(getattr(in_memory, name), getattr(on_disk, name))


def test_maps_in_memory_are_the_maps_on_disk() -> None:
    memory = io.BytesIO(b"something longer than what was there before" * 1000)
    with writing_maps(memory, maps.HEADER, maps.SAMPLES) as writer:
        other = image(3)  # several files may be written at once
        for first in (1, 0):
            positions = range(first, first + first + 1)
            writer.add(first, [maps.map_record(maps.HEADER, sample) for sample in positions])
    RasterReader(other).close()
    for source in (memory, memory.getvalue()):
        with MapReader(source) as in_memory, MapReader(maps.GOLDEN) as on_disk:
            in_memory.verify()
            assert (in_memory.header, in_memory.content_digest) == (
                on_disk.header,
                on_disk.content_digest,
            )


def test_equal_parameters_of_other_types_are_kept_apart() -> None:
    for gamma in (1, 1.0, True):
        header = replace(maps.SUMS_ALONE, parameters={"gamma": gamma})
        with writing_maps(memory := io.BytesIO(), header, maps.SAMPLES) as writer:
            writer.add(0, [maps.map_record(header, sample) for sample in range(3)])
        with MapReader(memory) as found:
            assert type(found.header.parameters["gamma"]) is type(gamma)


def test_the_samples_of_parts_are_copied_as_they_are_stored(kind: Kind, tmp_path: Path) -> None:
    """What is copied of a file whose bytes are those that were written is what its reader
    verifies.
    """
    content, more = (
        kind.golden.read_bytes(),
        {"run_uuid": "a run"} if kind == RASTER else {"raster_digest": "cd" * 32},
    )
    with kind.reader(content) as part, h5py.File(io.BytesIO(content)) as plain:
        header, table = part.header, part.samples
        for dataset in header.datasets(3):
            if dataset.digests:
                found = [
                    [bytes(each) for each in row]
                    for row in stored_chunks(plain, content, dataset.path)
                ]
                place = plain[dataset.path].id
                starts = (0,) * (len(dataset.shape) - 1)
                assert found == [
                    [place.read_direct_chunk((row, *starts))[1]] for row in range(dataset.shape[0])
                ]
            else:
                np.testing.assert_array_equal(
                    read_table(plain, dataset.path), plain[dataset.path][:]
                )
    with writing_samples(tmp_path / "copy.h5", header, table, **more) as writer:
        writer.copy(0, content)
    with kind.reader(tmp_path / "copy.h5") as copied, kind.reader(kind.golden) as original:
        copied.verify()
        assert copied.header == original.header
        for name in original:
            assert np.array_equal(copied[name][1], original[name][1])


def test_several_chunks_of_a_sample_are_in_order_of_time(tmp_path: Path) -> None:
    layer = replace(HEADER.layers[1], shape=(64, 128, 128))  # 128 KiB a step, so 8 steps a chunk
    content = record(tmp_path, 2, replace(HEADER, timesteps=20, layers=(layer,))).read_bytes()
    with h5py.File(io.BytesIO(content)) as plain:
        place = plain[layer.path("spikes")].id
        expected = [
            [place.read_direct_chunk((row, step, 0))[1] for step in (0, 8, 16)] for row in range(2)
        ]
        found = stored_chunks(plain, content, layer.path("spikes"))
        assert [[bytes(each) for each in row] for row in found] == expected


def test_what_is_unknown_of_a_network_stays_unknown_and_predictions_are_kept(
    tmp_path: Path,
) -> None:
    with RasterReader(record(tmp_path, 20, UNKNOWN)) as raster:
        raster.verify()
        assert raster.header == UNKNOWN
        assert raster.readout.shape == (20, 0)
        assert raster.predictions.tolist() == [-1] * 20
    parts = [
        replace(batch(UNKNOWN, range(at, at + 2)), predictions=np.array([at, -1], np.int32))
        for at in (0, 2)
    ]
    records = encode_samples(UNKNOWN, joined(parts), range(4))
    with RasterReader(raster_image(UNKNOWN, samples(4), "a run", list(records))) as raster:
        raster.verify()
        assert raster.predictions.tolist() == [0, -1, 2, -1]


def test_batches_that_do_not_fit_the_header_are_refused(tmp_path: Path) -> None:
    made = batch(HEADER, range(2))
    padded = batch(HEADER, range(2))
    padded.spikes["conv1"][1, 3, -1] |= 1
    three = replace(batch(UNKNOWN, range(2)), predictions=np.zeros(3, np.int32))
    for header, wrong, message in (
        (HEADER, batch(replace(HEADER, timesteps=5), range(2)), "the header says"),
        (
            HEADER,
            batch(replace(HEADER, layers=HEADER.layers[:2]), range(2)),
            "input, conv1; the header has",
        ),
        (HEADER, padded, "conv1: pad bits are set"),
        (HEADER, replace(made, predictions=np.zeros(2, np.int32)), "which the readout of the hea"),
        (UNKNOWN, three, r"predictions: \(3,\) int32, the header says \(2,\) int32"),
    ):
        with pytest.raises(ValueError, match=message):
            GrowingWriter(tmp_path / "c.h5", header).append(wrong, samples(2))
    check_batch(HEADER, made)


def test_maps_that_do_not_fit_the_header_are_refused(tmp_path: Path) -> None:
    header, layers = maps.HEADER, maps.LAYERS
    sums = {layer.name: maps.made_up_sum(layer, 0) for layer in layers}
    made = {layer.name: maps.made_up(header, layer, 0) for layer in layers}
    for error, wrong_sums, wrong_maps, message in (
        (
            ValueError,
            sums,
            made | {"conv1": made["conv1"][0]},
            r"maps of shape \(2, 3\), the header says \(3, 2, 3",
        ),
        (
            ValueError,
            sums | {"conv1": sums["conv1"][0]},
            made,
            r"sum: maps of shape \(3,\), the header says \(2, 3\)",
        ),
        (
            InputError,
            sums | {"conv1": sums["conv1"] / 0},
            made,
            "'conv1': map of sample 0 is not finite, it leaves",
        ),
    ):
        with np.errstate(all="ignore"), pytest.raises(error, match=message):
            make_map_record(header, 0, 0, wrong_sums, wrong_maps)
    with pytest.raises(ValueError, match="4 of 3 samples have maps step by step"):
        maps.write(tmp_path / "sam.h5", replace(header, stepped=4))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "message"),
    [(ZeroDivisionError("here"), "here"), (None, "1 samples were written, expected 3")],
)
def test_a_failure_changes_nothing_there(
    tmp_path: Path, error: Exception | None, message: str
) -> None:
    def fail(target: Path | io.BytesIO) -> None:
        with writing_maps(target, maps.HEADER, maps.SAMPLES, overwrite=True) as writer:
            writer.add(1, [maps.map_record(maps.HEADER, 1)])
            if error is not None:
                raise error

    path, memory = maps.write(tmp_path / "sam.h5"), io.BytesIO()
    before = path.read_bytes()
    for target in (path, memory):
        with pytest.raises((ZeroDivisionError, ValueError), match=message):
            fail(target)
    assert path.read_bytes() == before
    with pytest.raises(InputError, match="/@complete: False, expected True"):
        MapReader(memory.getvalue())
    assert [file.name for file in tmp_path.iterdir()] == ["sam.h5"]


@pytest.mark.parametrize("kilobytes", [0, 2, 6, 8])
def test_full_disk(tmp_path: Path, kilobytes: int) -> None:
    """HDF5 itself would crash the process; the limit on file sizes stands in for the disk."""
    code = (
        "import sys; from pathlib import Path; from tests.recordings.maps import write; "
        "write(Path(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, str(tmp_path / "sam.h5")],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes << 10,) * 2),
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"spikesam.common.errors.InputError: {tmp_path}/sam.h5: cannot be written (File too "
        "large); free space or choose another out"
    )
    assert not list(tmp_path.iterdir())


def test_a_target_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    for write in (maps.write, lambda path: grown(path, 1, 1).finalize()):
        with pytest.raises(
            InputError,
            match=r"file/a\.h5: cannot be written \(.*\); free space or choose another name",
        ):
            write(tmp_path / "file" / "a.h5")


def test_nothing_is_seen_of_a_file_that_is_not_finished(tmp_path: Path) -> None:
    writer = grown(tmp_path / "new" / "raster.h5", 40, 20)
    assert writer.n_samples == 40
    assert not any((tmp_path / "new").iterdir())
    writer.discard()
    assert not any((tmp_path / "new").iterdir())


def test_earlier_work_is_replaced_only_if_asked_and_only_by_a_whole_file(tmp_path: Path) -> None:
    path = grown(tmp_path / "raster.h5", 3, 3).finalize()
    before = path.read_bytes()
    with pytest.raises(
        InputError, match=r"raster\.h5: already exists; choose another .* with overwrite=True"
    ):
        GrowingWriter(path, HEADER)
    grown(path, 20, 20, overwrite=True).discard()
    assert path.read_bytes() == before
    path.unlink()
    parts = tmp_path / "raster.parts"
    parts.mkdir()  # of a run that was killed
    for name in ("job.json", "00000016.range", ".00000032.range.claim"):
        (parts / name).touch()
    with pytest.raises(
        InputError, match=r"raster\.parts: a run that has not finished left this; .* overwrite=True"
    ):
        GrowingWriter(path, HEADER)
    with RasterReader(grown(path, 17, 17, overwrite=True).finalize()) as raster:
        raster.verify()
        assert raster.n_samples == 17
    assert [file.name for file in tmp_path.iterdir()] == ["raster.h5"]


def test_a_folder_that_no_run_left_is_neither_in_the_way_nor_removed(tmp_path: Path) -> None:
    thesis = tmp_path / "c.parts" / "thesis.txt"
    thesis.parent.mkdir()
    thesis.write_text("mine")
    grown(tmp_path / "c.h5", 3, 3).finalize()
    grown(tmp_path / "c.h5", 3, 3, overwrite=True).finalize()
    write_raster(tmp_path / "c.h5", {"a": np.ones((1, 1, 1))}, overwrite=True)
    assert thesis.read_text() == "mine"


def test_a_file_of_the_users_among_what_a_run_left_stays(tmp_path: Path) -> None:
    parts = tmp_path / "raster.parts"
    parts.mkdir()
    for name in ("job.json", "00000016.range", "thesis.range", "notes.txt"):
        (parts / name).touch()
    grown(tmp_path / "raster.h5", 3, 3, overwrite=True).finalize()
    assert {path.name for path in parts.iterdir()} == {"thesis.range", "notes.txt"}


@pytest.mark.alone
def test_memory_stays_flat_as_samples_grow(tmp_path: Path) -> None:
    code = """
import resource, sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from spikesam.recordings.raster.batch import RasterBatch
from spikesam.recordings.raster.writer import GrowingWriter
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.schema import LayerSpec
from spikesam.recordings.schema import SampleTable
from tests.recordings.rasters import HEADER
layer = LayerSpec("input", 0, (8, 64, 64), "input", 0.0, 0.0)  # 40 kB per sample
header = replace(HEADER, layers=(layer,), timesteps=10)
count = int(sys.argv[2])
writer = GrowingWriter(Path(sys.argv[1]) / "raster.h5", header)
spikes = np.random.default_rng(0).integers(0, 256, (10, 10, 4096), dtype=np.uint8)
for first in range(0, count, 10):
    table = SampleTable(np.arange(first, first + 10), np.arange(10) % 3)
    writer.append(RasterBatch({"input": spikes}, np.zeros((10, 3), np.int32)), table)
with RasterReader(writer.finalize()) as raster:
    raster.verify()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    peaks = {}
    for count in (10, 1000):
        run = [sys.executable, "-c", code, str(tmp_path / str(count)), str(count)]
        peaks[count] = int(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
    assert (tmp_path / "1000" / "raster.h5").stat().st_size > 40e6
    assert peaks[1000] - peaks[10] < 8_000  # kB; 990 more samples are 40,000
