"""From finished ranges to what a user looks at: merged files, summary, pictures, page, and what is printed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from backends.network import Network
from pipeline.cli.errors import message
from pipeline.cli.run_report import print_summary
from pipeline.cli.tracker import Tracker
from pipeline.config import RunSection
from pipeline.images.samples import ReadSamples
from pipeline.maps.method import method_of
from pipeline.maps.steps import kept_steps
from pipeline.ranges.files import PARTS
from pipeline.ranges.merge import Totals, merge, remove_parts
from pipeline.ranges.plan import Plan, refuse_other_origin
from pipeline.summary import LARGEST_SUMMARY, Summary, summarise
from recordings.errors import InputError
from recordings.files import read_file
from recordings.maps.reader import MapReader
from recordings.raster.reader import RasterReader
from recordings.raster.writer import RasterWriter

SHOWN = 1000  # samples whose images are read again for pictures and page


def finished_before(out: Path, plan: Plan, settings: RunSection) -> Summary | None:
    """The summary of a finished run that keeps no spikes; None if it is not finished, or not all of it is intact.

    It may have pictured more or fewer samples than are asked for: without spikes that would compute everything again.

    Raises
    ------
    InputError : if it is another run, which would be computed over what is there
    """
    if not plan.drops_spikes or (out / PARTS).exists():
        return None
    try:
        summary = Summary.model_validate_json(read_file(out / "summary.json", LARGEST_SUMMARY))
        with MapReader(out / "sam.h5") as maps:
            maps.verify()
            found = maps.header
    except (OSError, ValueError):  # of InputError and of pydantic, too
        return None
    refuse_other_origin(out / "sam.h5", found.method == "graph-sam", plan)
    count = len(plan.samples)
    steps, stepped = kept_steps(settings.steps, plan.header.timesteps, count, found.stepped)
    same = replace(plan, steps=steps, stepped=stepped)
    if summary.plan != same.results_identity or found != same.maps(range(count), summary.raster_digest):
        raise InputError(
            f"{out}: cannot resume: a run with other settings is finished there; use those of {out / 'config.toml'}, "
            "or another --out"
        )
    return summary


def print_finished(out: Path, summary: Summary, settings: RunSection, console: Console) -> None:
    """Print what :func:`finished_before` found."""
    pictures = sorted((out / "figures").glob("*.png"))
    notes = [f"{out}: was finished before; nothing is computed again"]
    drawn, wanted = sum(path.name != "overview.png" for path in pictures), min(settings.figures, summary.n_samples)
    if drawn < wanted:
        notes.append(
            f"{drawn} of {wanted} pictures are there: more need the spikes, which were dropped; use another --out"
        )
    print_summary(summary, out, pictures, notes, console)


def finish(
    out: Path,
    plan: Plan,
    network: Network,
    settings: RunSection,
    read: ReadSamples,
    tracker: Tracker,
    console: Console,
    recorder: RasterWriter | None = None,
) -> None:
    """Merge the ranges of a run, write what is made of them, and print it; `out` is locked.

    Parameters
    ----------
    network : in the run's precision
    read : positions from 0 on -> those samples, for pictures and the page
    recorder : of a run by this process alone, see :func:`pipeline.ranges.merge.merge`

    Raises
    ------
    InputError : if ranges are missing or damaged, or a file cannot be written; says what is kept
    """
    with _keeping(out, plan):
        with tracker.time("merge"), tracker.show("merging", len(plan.ranges)) as advance:
            found = merge(out, plan, advance, recorder)
        summary = summarise(found, found.seconds | tracker.seconds)
        summary.write(out / "summary.json")
        figures = _pictures(out, plan, network, settings, found, summary, read, tracker)
        expected = ["sam.h5"] * (plan.keep != "raster") + ["raster.h5"] * (not plan.drops_spikes)
        _expect_files(out, (*expected, "summary.json"))
        remove_parts(out)
    print_summary(summary, out, figures, tracker.notes, console)


def _pictures(
    out: Path,
    plan: Plan,
    network: Network,
    settings: RunSection,
    found: Totals,
    summary: Summary,
    read: ReadSamples,
    tracker: Tracker,
) -> list[Path]:
    """Draw what is wanted of the first samples, and write the page."""
    with_page = settings.report and not plan.drops_spikes
    if settings.report and not with_page:
        tracker.notes.append("no report.html: the page shows spikes, which --keep maps drops")
    if not (settings.figures or with_page):
        return []
    samples = read(range(min(len(plan.samples), SHOWN if with_page else settings.figures)))
    with ExitStack() as held:
        maps = held.enter_context(MapReader(out / "sam.h5", trusted=True))
        raster = None if plan.drops_spikes else held.enter_context(RasterReader(out / "raster.h5", trusted=True))
        figures = list[Path]()
        if settings.figures:
            from pipeline.drawing.figures import save_figures  # matplotlib takes a second to import
            from pipeline.drawing.subject import subjects_of

            with tracker.time("figures"), tracker.show("drawing"):
                subjects = subjects_of(samples, found.predictions[: settings.figures], plan.class_names)
                figures = save_figures(maps, method_of(maps.header), subjects, out / "figures", raster, network)
        if with_page and raster is not None:
            from pipeline.report.sources import Run, grad_cams
            from pipeline.report.write import write_page

            with tracker.time("page"), tracker.show("writing the page"):
                cams = tuple(grad_cams(out, raster, held))
                scores = list(found.scores.of_samples())
                about = (settings.gamma, settings.checkpoint, summary.answers, samples, network, scores, cams)
                write_page([Run(out.resolve().name, raster, *about)], out / "report.html")
    return figures


@contextmanager
def _keeping(out: Path, plan: Plan) -> Iterator[None]:
    """Say of a failure after the simulation that nothing has to be simulated again, where that is true."""
    try:
        yield
    except (InputError, OSError) as error:
        if not (out / "raster.h5").is_file():
            raise
        kept = f"the spikes of all {len(plan.samples)} samples are kept in {out / 'raster.h5'}"
        raise InputError(
            f"{message(error).removeprefix('error: ')}; {kept}, and --resume goes on from there"
        ) from error


def _expect_files(out: Path, names: tuple[str, ...]) -> None:
    """Refuse to call a run finished whose results somebody removed meanwhile."""
    if missing := [name for name in names if not (out / name).is_file()]:
        raise InputError(f"{out}: {', '.join(missing)} vanished while the run went on; did something else remove it?")
