"""Commands that are killed, whose disk is full, that meet another, that lose a Lava process: each
can be continued.

Whatever lies under a final name is whole, little is lost, and the command, continued, ends with the
results of one that nobody disturbed and leaves nothing else.
"""

import os
import resource
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import spikesam
from tests.campaign.faults import Boundaries, log_samples, log_workers
from tests.campaign.isolated import LINUX, cases, only_long, tried
from tests.campaign.process import (
    SHARED_MEMORY,
    Command,
    adopt_orphans,
    aside,
    descendants,
    describe,
    mount_memory,
    nothing_runs,
    own_mounts,
    run,
    started,
)
from tests.campaign.workplace import (
    RECIPES,
    all_whole,
    files,
    finish,
    measured,
    none,
    read_range,
    results,
    same_results,
)

pytestmark = LINUX
fractions = st.floats(0, 1, exclude_max=True)

# finished samples, at most, of which a kill may cost the work, in each process that computes
LOST = 16
WORKERS = {"dask": 2}
LIBRARIES = {"dask": "distributed", "zarr": "zarr"}  # that recipes need
PATIENCE = 8.0  # seconds after which a worker of dask that was stopped is replaced
LOST_SECONDS = 10.0  # or so much work, and the batch at hand
BATCH = 2  # samples that the event backend hands over at a time
EARLY = 40  # calls that change the disk
SLOW = 1.5  # seconds that a sample seems to take where the clock runs ahead
PAUSE = 0.05  # seconds, at most, before each call that changes the disk, where commands shall meet
OWN = b"a file of the user's own"
DEADLINE = 8  # seconds without a finished sample after which the Lava backend gives up
SECONDS = 15.0  # more, in which a command must end after a fault
SIGNALS = ("SIGKILL", "SIGSTOP", "SIGSEGV", "SIGTERM", "SIGINT", "SIGABRT")


def disturb(workplace: Path, function: Callable[..., None], name: str, *plan: Any) -> None:
    """Call a function in a child process, with a folder to work in that stays if the test fails."""
    case = Path(tempfile.mkdtemp(prefix="case-", dir=workplace))
    shutil.copytree(workplace / "work", case / "work")
    tried(alone_with, function, workplace, case / "work", name, plan, seconds=120, memory=4 << 30)
    shutil.rmtree(case)


def alone_with(
    function: Callable[..., None], base: Path, work: Path, name: str, plan: tuple[Any, ...]
) -> str:
    """Call the function in a process with mounts of its own, to which all fall that lose their
    parents.
    """
    adopt_orphans()
    function(base, work, name, own_mounts(), *plan)
    return "identical"


def at_a_call(
    base: Path, work: Path, name: str, alone: bool, place: float, after: bool, slow: float
) -> None:
    """SIGKILL before or after a call that changes the disk: any, or one of the first, when samples
    are recorded.
    """
    calls = measured(base, name)["boundaries"]
    early = min(calls, EARLY * (3 if slow else 1))
    last = early if slow or place < 0.5 else calls
    boundaries = Boundaries(1 + int((2 * place % 1) * last), after)
    line = RECIPES[name].line + " --batch-size 1" * bool(slow)
    killed(
        base,
        work,
        name,
        alone,
        Command(line, work, lambda: prepare(boundaries, work, name, slow)),
        slow,
    )


def prepare(boundaries: Boundaries, work: Path, name: str, slow: float) -> None:
    """Called in the command's process."""
    boundaries.install()
    if name in WORKERS:
        log_workers(work.with_name("log"), slow, PATIENCE)
    elif RECIPES[name].line.startswith("run "):
        log_samples(work.with_name("log"), slow)


def at_a_moment(
    base: Path, work: Path, name: str, alone: bool, moment: float, everything: bool
) -> None:
    """SIGKILL to a command, or to all that it started, too."""
    seconds = moment * measured(base, name)["seconds"]
    end = time.monotonic() + seconds
    command = Command(RECIPES[name].line, work, lambda: prepare(Boundaries(), work, name, 0.0))
    while time.monotonic() < end and command.poll() is None:
        time.sleep(0.001)
    command.kill(everything)
    killed(base, work, name, alone, command, 0.0)


def killed(base: Path, work: Path, name: str, alone: bool, command: Command, slow: float) -> None:
    """What must hold after a kill."""
    ended, log = command.wait(), work.with_name("log")
    nothing_runs()
    all_whole(work)
    if ended.code != -signal.SIGKILL:
        ended.check(RECIPES[name].reports)
    finished = log.stat().st_size if log.exists() else 0
    allowed = int(LOST_SECONDS / SLOW) + BATCH if slow else LOST * WORKERS.get(name, 1)
    assert finished - aside(samples_kept, work / "out") <= allowed, (
        f"of {finished} finished samples too many were lost"
    )
    finish(work, base, name, alone)


def samples_kept(out: Path) -> int:
    """Samples in finished ranges, or in the finished raster."""
    if (out / "raster.h5").exists():
        with spikesam.open_raster(out / "raster.h5") as raster:
            return raster.n_samples
    return sum(read_range(path).count for path in (out / "raster.parts").glob("0*.range"))


def needs(name: str) -> list[pytest.MarkDecorator]:
    """Skip a recipe where a library that it needs is not installed."""
    if name not in LIBRARIES:
        return []
    library = LIBRARIES[name]
    return [pytest.mark.skipif(find_spec(library) is None, reason=f"{library} is not installed")]


def recipes(*short: str) -> Any:
    """All recipes; those that are not named are tried in a long run alone."""
    marks = {name: needs(name) + [only_long] * (name not in short) for name in RECIPES}
    every = [pytest.param(name, marks=marks[name]) for name in RECIPES]
    return pytest.mark.parametrize("name", every)


@recipes("event", "part")
@cases(short=0, long=12)
@example(place=0.3, after=True, slow=False)
@given(place=fractions, after=st.booleans(), slow=st.booleans())
def test_killed_at_a_call(
    workplace: Path, name: str, place: float, after: bool, slow: bool
) -> None:
    disturb(workplace, at_a_call, name, place, after, SLOW if slow and name == "event" else 0.0)


@recipes("event")
@cases(short=0, long=8)
@example(moment=0.6, everything=False)
@given(moment=fractions, everything=st.booleans())
def test_killed_at_any_moment(workplace: Path, name: str, moment: float, everything: bool) -> None:
    disturb(workplace, at_a_moment, name, moment, everything)


def limit_files(size: int) -> None:
    """Let no file of this process grow beyond so many bytes; writing more is an error."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def full(base: Path, work: Path, name: str, alone: bool, part: float, mounted: bool) -> None:
    """A disk with so many bytes left (root), or files that may not grow beyond them."""
    size = measured(base, name)["largest"]
    if mounted:
        if not alone:
            return  # mounting takes root
        inside = work.rename(work.with_name("inside"))
        work.mkdir()
        mount_memory(work, 1 << 30)
        shutil.copytree(inside, work, dirs_exist_ok=True)
        mount_memory(
            work, shutil.disk_usage(work).used + int(part * (2 * size + 300_000)), again=True
        )

    limit = (lambda: None) if mounted else (lambda: limit_files(int(part * size)))
    ended = run(RECIPES[name].line, work, limit)
    ended.check(RECIPES[name].reports)
    all_whole(work)
    if mounted:
        mount_memory(work, 1 << 30, again=True)
    finish(work, base, name, alone)
    os.chdir("/")


@only_long
@pytest.mark.parametrize(
    "name",
    [
        *("event", "torch", "train", "convert", "paper", "explain", "gradcam", "energy", "export"),
        pytest.param("zarr", marks=needs("zarr")),
    ],
)
@cases(short=0, long=8)
@example(part=0.0, mounted=True)
@given(part=fractions, mounted=st.booleans())
def test_a_full_disk(workplace: Path, name: str, part: float, mounted: bool) -> None:
    disturb(workplace, full, name, part, mounted)


def replaced(base: Path, work: Path, name: str, alone: bool, place: float, after: bool) -> None:
    """A store that is replaced: a kill, then a full disk."""
    recipe, user_file = RECIPES[name], work / ".out.zarr.old" / "mine"
    assert run(f"{recipe.line} --samples 4", work).code == 0
    user_file.parent.mkdir()
    user_file.write_bytes(OWN)
    contents = [aside(results, work, recipe), measured(base, name)["results"]]
    calls = int(1.5 * measured(base, name)["boundaries"])  # what is replaced is removed, too
    run(f"{recipe.line} --overwrite", work, Boundaries(1 + int(place * calls), after).install)
    nothing_runs()
    run(f"{recipe.line} --overwrite", work, lambda: limit_files(0)).check()
    assert aside(results, work, recipe) in contents, (
        "neither the old store is there nor the new one"
    )
    assert user_file.read_bytes() == OWN
    shutil.rmtree(user_file.parent)
    finish(work, base, name, alone)


@only_long
@pytest.mark.parametrize("name", [pytest.param("zarr", marks=needs("zarr"))])
@cases(short=0, long=20)
@example(place=0.6, after=True)
@given(place=fractions, after=st.booleans())
def test_a_store_is_replaced_or_kept(workplace: Path, name: str, place: float, after: bool) -> None:
    disturb(workplace, replaced, name, place, after)


def together(
    base: Path, work: Path, name: str, alone: bool, delay: float, again: bool, own: str
) -> None:
    """Two commands with one --out, beside a file of the user's own."""
    recipe, good = RECIPES[name], measured(base, name)
    mine = {"mine", "out.h5.tmp"} if own and not recipe.results.startswith("out/") else set()
    if mine:
        (work / "mine").write_bytes(OWN)
        (work / "out.h5.tmp").symlink_to("mine") if own == "link" else (
            work / "out.h5.tmp"
        ).write_bytes(OWN)
    first = Command(recipe.line, work, Boundaries(pause=PAUSE).install)
    time.sleep(delay * good["seconds"])
    second = Command(f"{recipe.line} {recipe.again * again}", work, Boundaries(pause=PAUSE).install)
    ended = first.wait(), second.wait()
    for each in ended:
        each.check(recipe.reports)
    assert not all(each.code for each in ended), f"both were refused: {ended}"
    same_results(work, base, name)
    assert {(work / file).read_bytes() for file in mine} <= {OWN}
    none("left, or lacking", files(work) ^ {*good["files"], *mine})
    nothing_runs()


@only_long
@pytest.mark.parametrize("name", ["explain", "event", "torch", "gradcam", "convert", "export"])
@cases(short=0, long=8)
@example(delay=0.0, again=False, own="link")
@given(
    delay=st.just(0.0) | fractions, again=st.booleans(), own=st.sampled_from(("", "file", "link"))
)
def test_two_commands_at_once(
    workplace: Path, name: str, delay: float, again: bool, own: str
) -> None:
    disturb(workplace, together, name, delay, again, own)


def signalled(
    command: Command, started: Callable[[int], list[int]], after: float, victim: float, number: str
) -> str:
    """Send a signal to a process that a command started, after seconds or when there is one; says
    to which.
    """
    end, victims = time.monotonic() + after, list[int]()
    while command.poll() is None and (time.monotonic() < end or not victims):
        time.sleep(0.002)
        victims = started(command.pid)
    if command.poll() is not None:
        return "nobody"
    pid = victims[int(victim * len(victims))]
    who = describe(pid)
    os.kill(pid, getattr(signal, number))
    return who


def lava_fault(
    base: Path,
    work: Path,
    name: str,
    alone: bool,
    moment: float,
    victim: float,
    number: str,
    then: bool,
) -> None:
    """A signal to one of Lava's processes; sometimes the command is killed after."""
    seconds = measured(base, name)["seconds"]
    command = Command(f"{RECIPES[name].line} --lava-deadline {DEADLINE}", work)
    who = signalled(command, descendants, moment * seconds, victim, number)
    if then:
        command.kill()
    ended = command.wait(DEADLINE + SECONDS + seconds)
    if not then:
        assert ended.code != -signal.SIGKILL, f"it had to be killed; the victim was {who}"
        ended.check()
    nothing_runs()
    finish(work, base, name, alone)


@only_long
@cases(short=0, long=20)
@example(moment=0.5, victim=0.5, number="SIGSTOP", then=False)
@given(moment=fractions, victim=fractions, number=st.sampled_from(SIGNALS), then=st.booleans())
def test_a_fault_in_lava(
    workplace: Path, moment: float, victim: float, number: str, then: bool
) -> None:
    disturb(workplace, lava_fault, "lava", moment, victim, number, then)


def dask_fault(
    base: Path, work: Path, name: str, alone: bool, moment: float, victim: float, number: str
) -> None:
    """A signal to a worker of dask: the run ends as if nothing had happened, or in one line if no
    worker had begun.
    """
    good = measured(base, name)
    command = Command(RECIPES[name].line, work, lambda: prepare(Boundaries(), work, name, 0.0))
    who = signalled(command, dask_workers, moment * good["seconds"], victim, number)
    ended = command.wait(12 * PATIENCE + 8 * good["seconds"])
    assert ended.code in (0, 2), (
        f"exit code {ended.code}: {ended.error[-300:]!r}; the victim was {who}"
    )
    ended.check()
    nothing_runs()
    if ended.code:
        finish(work, base, name, alone)
    same_results(work, base, name)
    none("left, or lacking", files(work) ^ set(good["files"]))
    none("temporary files are left", os.listdir(os.environ["TMPDIR"]))
    none("left in shared memory", os.listdir(SHARED_MEMORY) if alone else [])


def dask_workers(pid: int) -> list[int]:
    """Those that a command has started; not the process that watches over Python's shared
    memory.
    """
    return [each for each in started(pid) if "spawn_main" in describe(each)]


@pytest.mark.skipif(find_spec("distributed") is None, reason="dask.distributed is not installed")
@cases(short=0, long=20)
@example(moment=0.5, victim=0.5, number="SIGSTOP")
@given(
    moment=fractions,
    victim=fractions,
    number=st.sampled_from(("SIGSTOP", "SIGKILL", "SIGSEGV", "SIGTERM")),
)
def test_a_fault_in_dask(workplace: Path, moment: float, victim: float, number: str) -> None:
    disturb(workplace, dask_fault, "dask", moment, victim, number)
