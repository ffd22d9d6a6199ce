"""From a merged run to what a user looks at: summary, pictures, page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from spikesam.backends.network import Network
from spikesam.common.errors import InputError, finding
from spikesam.common.progress import Tracker
from spikesam.pipeline.config import RunSection
from spikesam.pipeline.engine.merge import Totals
from spikesam.pipeline.engine.range_file import MADE, PARTS
from spikesam.pipeline.engine.summary import Summary, summarise
from spikesam.pipeline.images.pictures import MOST, Pictures, write_pictures
from spikesam.pipeline.images.samples import DatasetSamples
from spikesam.pipeline.maps.method import method_of
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.writer import remove_parts


def write_run_results(
    folder: Path,
    totals: Totals,
    network: Network,
    settings: RunSection,
    read: Callable[[range], DatasetSamples],
    tracker: Tracker,
) -> tuple[Summary, list[Path]]:
    """Write what is made of a merged run, then remove its ranges; gives the summary and the
    pictures drawn.
    """
    spec, figures = totals.spec, list[Path]()
    with _saying_what_is_kept(folder, totals), ExitStack() as stack:
        summary = summarise(totals, totals.seconds)
        summary.write(folder / "summary.json")
        with_page = settings.report and spec.keep.spikes
        if settings.report and not with_page:
            tracker.notes.append(
                "no report.html: the page shows spikes, and this run keeps maps alone"
            )
        samples = read(range(min(len(spec.samples), MOST)))
        # The folder may be somebody else's, who must not choose which pictures of this machine are
        # shown: without a digest that somebody knew when the run began, no file counts.
        samples.refuse_changed(spec.contents or ("",) * len(samples))
        pictures = Pictures.of(samples, summary.class_names)
        write_pictures(folder, totals.raster_digest or summary.network_sha256, pictures)
        raster = None
        if spec.keep.spikes and (settings.figures or with_page):
            raster = stack.enter_context(RasterReader(folder / "raster.h5", trusted=True))
        if settings.figures:
            from spikesam.pipeline.drawing.figures import (
                save_figures,
            )  # matplotlib takes a second to import
            from spikesam.pipeline.drawing.subject import subjects_of

            with tracker.time("figures"), tracker.show("drawing"):
                maps = stack.enter_context(MapReader(folder / "sam.h5", trusted=True))
                subjects = subjects_of(
                    samples,
                    totals.predictions[: settings.figures],
                    spec.class_names,
                    answers=spec.header.has_classes,
                )
                figures = save_figures(
                    maps, method_of(maps.header), subjects, folder / "figures", raster, network
                )
        if with_page and raster is not None:
            from spikesam.pipeline.page._shown_run import ShownRun, maps_beside
            from spikesam.pipeline.page.write import write_page

            with tracker.time("page"):
                beside = tuple(maps_beside(folder, raster, stack))
                scores = list(totals.scores.of_samples())
                run_fields = (spec.gamma, summary, pictures, network, scores, beside)
                write_page(
                    [ShownRun(folder.resolve().name, raster, *run_fields, brief=True)],
                    folder / "report.html",
                )
        expected = [*(MADE[section] for section in spec.keep.sections), "summary.json"]
        if missing := [name for name in expected if not (folder / name).is_file()]:
            missing_names = ", ".join(missing)
            raise InputError(
                f"{folder}: {missing_names} vanished while the run went on; did something else "
                "remove it?"
            )
        remove_parts(folder / PARTS)
    return summary, figures


@contextmanager
def _saying_what_is_kept(folder: Path, totals: Totals) -> Iterator[None]:
    """Say of a failure after the simulation that nothing has to be simulated again, where that is
    true.
    """
    try:
        yield
    except (InputError, OSError) as error:
        if not (folder / "raster.h5").is_file():
            raise
        kept_note = (
            f"the spikes of all {len(totals.spec.samples)} samples are kept in "
            f"{folder / 'raster.h5'}"
        )
        raise InputError(
            f"{finding(error)}; {kept_note}", ", and {resume=True} goes on from there"
        ) from error
