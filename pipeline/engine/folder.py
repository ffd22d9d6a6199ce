"""The folder of a run: the first process makes it; finished samples are saved in files of ranges,
which survive a kill.

To resume a run, :func:`begin` refuses a folder in which another run lies, or none, and
:class:`FolderStore` finds out which samples are missing. A finished run is not computed again.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from spikesam.backends.network import Network
from spikesam.backends.network.storage import read_network, write_network
from spikesam.common.disk import check_free, reason, remove_leftovers
from spikesam.common.errors import OTHER_OUT, ExistsError, InputError
from spikesam.common.files import refuse_links
from spikesam.common.lock import holds_files
from spikesam.common.text import printable
from spikesam.pipeline.config import Config, save_config
from spikesam.pipeline.engine._compute import SampleResult, StageTimer, compute
from spikesam.pipeline.engine.job import (
    CONTINUE,
    FREE_SPACE,
    RANGE,
    SAME_SETTINGS,
    Job,
    JobSpec,
    differences_of_runs,
    join,
    refuse_differences,
    refuse_other_origin,
)
from spikesam.pipeline.engine.merge import WholeRaster
from spikesam.pipeline.engine.range_file import (
    MADE,
    NAMES,
    PARTS,
    RangeFile,
    RangeRecord,
    check_range,
    range_files,
    write_range,
)
from spikesam.pipeline.engine.summary import Summary, read_summary
from spikesam.pipeline.images.pictures import refuse_other_zip
from spikesam.recordings.errors import RasterError
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.maps.writer import writing_maps
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.writer import SPEC, raster_image, remove_parts

# What `spikesam run` and `merge` write beside what every run has.
OF_COMMANDS = ("config.toml", "summary.json", "report.html", "figures")
FLUSH_BYTES = 64 << 20  # of finished samples in memory at most, beyond the batch at hand
# of work on finished samples: less than that is lost to a kill, beyond the samples at hand
FLUSH_SECONDS = 10.0
STORED_PER_PACKED = (
    0.75  # deflate leaves this much of rasters in which a fifth of all bits are set; usually less
)


def begin(
    folder: Path, job: Job, config: Config | None = None, *, resume: bool | None = None
) -> Job:
    """Write what everybody who takes part in a run needs, or join those who did; gives the job as
    it is there.

    Another run, changed samples and a folder that cannot be written are refused; nothing that was
    there changes then. `config` is stored as `config.toml`. With `resume`, True continues a run,
    and refuses if none was begun there; False begins one, and refuses one that has not finished;
    None does either, where several processes may come first.
    """
    raster, maps, spec = folder / MADE["raster"], folder / MADE["maps"], job.spec
    refuse_links(folder, NAMES)
    refuse_other_zip(folder)
    if resume and not any(path.exists() for path in (raster, maps, folder / PARTS)):
        raise InputError(f"{folder}: nothing is there to resume", "; start without {resume=True}")
    if resume is False and (folder / PARTS).exists():
        raise InputError(
            f"{folder / PARTS}: a run that has not finished left this",
            CONTINUE,
        )
    if raster.exists() and spec.keep.spikes:
        with RasterReader(raster) as finished:
            refuse_differences(
                raster,
                differences_of_runs(finished.header, finished.samples, spec.header, spec.samples),
            )
            _refuse_other_contents(folder, spec)
            if any(
                range_files(folder, range(0), everything=True)
            ):  # killed before they were removed
                finished.verify()
    if maps.is_file():
        with suppress(RasterError), MapReader(maps) as earlier_maps:  # a damaged one is made anew
            refuse_other_origin(maps, earlier_maps.header.method == "graph-sam", spec)
    _refuse_files_of_no_run(folder, job.network, config)
    with _writing(folder, 0, len(spec.samples)):
        (folder / PARTS).mkdir(parents=True, exist_ok=True)
        first = not (
            folder / PARTS / SPEC
        ).exists()  # or a finished run is explained anew, with other settings
        spec = join(folder / PARTS / SPEC, spec)
        if not _is_network(folder / "network.safetensors", job.network):
            write_network(job.network, folder / "network.safetensors")
        if config is not None and (first or not (folder / "config.toml").exists()):
            save_config(config, folder / "config.toml")
    if job.spec.contents and spec.contents != job.spec.contents:
        job.read(range(len(spec.samples))).refuse_changed(spec.contents)
    return replace(job, spec=spec)


def _refuse_files_of_no_run(folder: Path, network: Network, config: Config | None) -> None:
    """Refuse a folder in which no run was begun, but which has a file that this run replaces."""
    # These are looked for before the job: another process that begins the run writes the job first.
    names = (*(OF_COMMANDS if config is not None else ()), "network.safetensors")
    present = [folder / name for name in names if (folder / name).exists()]
    begun = (MADE["raster"], MADE["maps"], f"{PARTS}/{SPEC}")
    if any((folder / name).exists() for name in begun):
        return
    for path in present:
        if path.name != "network.safetensors" or not _is_network(path, network):
            raise InputError(f"{path}: no run wrote this file", OTHER_OUT)


def _refuse_other_contents(folder: Path, spec: JobSpec) -> None:
    """Refuse to go on with a finished run whose images were changed since."""
    earlier_contents = None
    with suppress(OSError, InputError):  # the summary was not written yet
        earlier_contents = read_summary(folder / "summary.json", len(spec.samples)).contents
    if (
        None not in (earlier_contents, spec.contents_digest)
        and earlier_contents != spec.contents_digest
    ):
        raise InputError(
            f"{folder}: images were changed since that run; restore what they were", OTHER_OUT
        )


def finished_before(folder: Path, spec: JobSpec, pictured: bool) -> Summary | None:
    """The summary of a finished run; None if it is not finished, or not all of it is intact.

    Another run without spikes, which would be computed over what is there, is refused. The number
    of samples that are `pictured`, and so keep maps of all steps, may differ: to draw more,
    everything would have to be computed again.
    """
    refuse_links(folder, NAMES)
    if (folder / PARTS).exists():
        return None
    try:
        summary = read_summary(folder / "summary.json", len(spec.samples))
        with MapReader(folder / MADE["maps"]) as maps:
            maps.verify()
            maps_header = maps.header
        if spec.keep.spikes:
            with RasterReader(folder / MADE["raster"]) as raster:
                if raster.raster_digest != summary.raster_digest:
                    return None
    except (OSError, InputError):
        return None
    refuse_other_origin(folder / MADE["maps"], maps_header.method == "graph-sam", spec)
    if pictured:
        spec = replace(spec, keep=spec.keep.pictured(maps_header.stepped, spec.header.timesteps))
    same = spec.maps(range(len(spec.samples)), summary.raster_digest or "")
    if summary.plan == spec.results_identity and maps_header == same:
        return summary
    if spec.keep.spikes:  # which can be explained in another way
        return None
    raise InputError(
        f"{folder}: cannot resume: a run with other settings is finished there, those of "
        f"{folder / 'config.toml'}",
        SAME_SETTINGS,
    )


def _is_network(path: Path, network: Network) -> bool:
    """True if the file holds this network; another one, or a damaged one, is none of this run's."""
    try:
        return read_network(path)[0].sha256 == network.sha256
    except InputError:
        return False


@contextmanager
def undone_if_refused(folder: Path) -> Iterator[None]:
    """Leave nothing in an empty folder if what was to come there is refused before a sample is
    finished.
    """
    refuse_links(folder, NAMES)
    empty = not (folder.is_dir() and holds_files(folder))
    try:
        yield
    except InputError:
        finished = (folder / MADE["raster"]).exists() or any(
            range_files(folder, range(0), everything=True)
        )
        if empty and not finished:
            remove_parts(folder / PARTS)
            for name in ("network.safetensors", "config.toml"):
                (folder / name).unlink(missing_ok=True)
        raise


class FolderStore:
    """Files of the ranges of a run; see :class:`spikesam.pipeline.engine._compute.Store`.

    Finished samples are safe on disk after 16 of them, 64 MB, or ten seconds of work, whichever
    comes first. So a kill loses at most 15 finished samples, which took less than ten seconds in
    all, and those at hand: what the backend is simulating, what threads explain, and up to 16 that
    wait for the disk.
    """

    def __init__(
        self,
        folder: Path,
        job: Job,
        positions: range | None = None,
        whole_raster: WholeRaster | None = None,
    ) -> None:
        """Of whole ranges, or all samples if no other process works here; `whole_raster` takes the
        spikes from memory, too.
        """
        self.timer = StageTimer()
        self.dropped = 0  # damaged files that were removed; their samples are missing
        self.checked = dict[
            int, str
        ]()  # first position -> digest, of files that this process wrote, or found good
        self._folder, self._job, self._whole = folder, job, whole_raster
        self._everything = positions is None
        spec, self._samples = job.spec, list[SampleResult]()
        if positions is None:
            remove_leftovers(folder / PARTS)
            positions = range(len(spec.samples))
        raster = folder / MADE["raster"]
        self.recorded = raster if spec.keep.spikes and raster.exists() else None
        self.sections = tuple(
            section
            for section in spec.keep.sections
            if section != "raster" or self.recorded is None
        )
        good = self._good(positions)
        self.missing = [position for position in positions if position not in good]
        self._kept = len(good)
        self._check_space()
        self._flushed_at = time.monotonic()

    @property
    def notes(self) -> list[str]:
        """Lines for the user."""
        return [f"{self.dropped} damaged files dropped; their samples are computed again"] * (
            self.dropped > 0
        )

    def add(self, sample: SampleResult) -> None:
        """Keep the next sample that is missing."""
        if self._samples and sample.position != self._samples[-1].position + 1:
            self.flush()  # a file holds consecutive samples
        self._samples.append(sample)
        ends_range = (sample.position + 1) % RANGE == 0
        slow = time.monotonic() - self._flushed_at >= FLUSH_SECONDS
        if ends_range or slow or sum(result.nbytes for result in self._samples) > FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Put the samples that are in memory safely on disk."""
        if samples := self._samples:
            with (
                _writing(self._folder, self._kept, len(self._job.spec.samples)),
                self.timer.time("write"),
            ):
                self._write(samples)
            self._kept, self._samples = self._kept + len(samples), []
        self._flushed_at = time.monotonic()

    def _write(self, samples: list[SampleResult]) -> None:
        sections, record = self._sections(samples), self._record(samples)
        try:
            digest = write_range(self._folder, record, sections)
        except OSError:
            if self._whole is None or not self._whole.added:
                raise
            self._whole.close()  # what it takes of a full disk may be all that is missing
            self._whole = None
            digest = write_range(self._folder, record, sections)
        self.checked[record.first] = digest
        if self._whole is not None and "raster" in sections:
            try:
                self._whole.add([sample.record for sample in samples])
            except (OSError, RuntimeError):  # merging tries again
                self._whole.close()
                self._whole = None

    def _sections(self, samples: list[SampleResult]) -> dict[str, bytes]:
        """Spikes and maps of consecutive samples, each as a file of its own."""
        spec, first, sections = self._job.spec, samples[0].position, dict[str, bytes]()
        table = spec.samples[first : first + len(samples)]
        if "raster" in self.sections:
            sections["raster"] = raster_image(
                spec.header, table, spec.run_uuid, [sample.record for sample in samples]
            )
        if "maps" in self.sections:
            header = spec.maps(
                range(first, first + len(samples)), spec.digest(_digests(spec, samples))
            )
            with writing_maps(image := io.BytesIO(), header, table) as writer:
                writer.add(0, [sample.maps for sample in samples if sample.maps is not None])
            sections["maps"] = image.getvalue()
        return sections

    def _record(self, samples: list[SampleResult]) -> RangeRecord:
        spec, records = self._job.spec, [sample.record for sample in samples]
        return RangeRecord(
            job=spec.identity,
            first=samples[0].position,
            count=len(samples),
            # a file's name need not be UTF-8
            names=[printable(sample.name) for sample in samples],
            predictions=[record.prediction for record in records],
            readout=[record.rows["/readout"].tolist() for record in records],
            spikes={
                layer.name: [
                    int(record.rows[layer.path("count")].sum(dtype=int)) for record in records
                ]
                for layer in spec.recorded
            },
            digests=_digests(spec, samples),
            scores=[score for sample in samples for score in sample.scores],
            backend=self._job.backend.name,
            device=self._job.backend.device,
            seconds={stage: round(taken, 6) for stage, taken in self.timer.take().items()},
            sections={},
        )

    def _good(self, positions: range) -> set[int]:
        """The samples whose files are there and hold what they say; files that are damaged are
        removed.
        """
        spec, good = self._job.spec, set[int]()
        for path in range_files(self._folder, positions, self._everything):
            try:
                file = RangeFile(path, spec)
                check_range(file, spec, recorded=self.recorded is not None)
                if good.isdisjoint(file.record.positions):
                    good.update(file.record.positions)
                    self.checked[file.record.first] = file.digest
                    continue
            except RasterError:
                pass
            path.unlink(missing_ok=True)
            self.dropped += 1
        return good

    def _check_space(self) -> None:
        """Files of what is missing, then the merged one beside them."""
        header = self._job.spec.header
        if "raster" in self.sections:
            packed = header.timesteps * sum(layer.step_bytes for layer in header.layers)
            merged = len(self._job.spec.samples) if self._everything else 0
            needed = int(packed * STORED_PER_PACKED * (len(self.missing) + merged))
            check_free(
                self._folder, needed, "; free space, record fewer samples, or choose another {out}"
            )


def compute_range(
    folder: Path,
    job: Job,
    number: int,
    advance: Callable[[int], None] = lambda samples: None,
    workers: int | None = None,
) -> None:
    """Compute what is missing of one range of a run, whether another process computes it or not;
    see `compute`.
    """
    positions, n_counted = job.spec.ranges[number], 0

    def count(samples: int) -> None:
        nonlocal n_counted
        n_counted += samples
        advance(samples)

    store = FolderStore(folder, job, positions)
    while True:
        count(len(positions) - len(store.missing) - n_counted)
        try:
            compute(job, store, count, workers)
            return
        except ExistsError:  # of two processes, the other was faster
            missing_before, store = store.missing, FolderStore(folder, job, positions)
            if store.missing == missing_before:
                raise


def _digests(spec: JobSpec, samples: list[SampleResult]) -> dict[str, list[str]]:
    return {
        layer.name: [sample.record.rows[layer.path("digest")].decode() for sample in samples]
        for layer in spec.recorded
    }


@contextmanager
def _writing(folder: Path, n_kept: int, count: int) -> Iterator[None]:
    """Turn a full or unwritable disk into one line that says what is kept."""
    try:
        yield
    except InputError:
        raise
    except (OSError, RuntimeError) as error:
        says = f"{folder}: cannot write there ({reason(error)})"
        if n_kept:
            says = f"{says}; {n_kept} of {count} samples are kept in {folder / PARTS}"
            raise InputError(says, FREE_SPACE) from error
        raise InputError(f"{says}; nothing was recorded", OTHER_OUT) from error
