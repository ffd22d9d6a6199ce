"""Cases of an ablation: each special path beside its plain form, end to end.

Either form runs in a process of its own, with compiled code of its own, and they take turns.
Figures are what the plain form takes beside the special path, turn by turn: seconds of the
processor, of all threads, which other work on the machine changes less, and seconds on the clock.
Both must compute the same bits. Whole commands are measured where no other workload gains a tenth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.common.environment import UP_TO, machine, missing_spikingjelly, new_process
from benchmarks.common.measurement import KEEP_FREED_MEMORY, Case, MeasuredRow, Options
from benchmarks.road import CHECKPOINT, RESULTS_ONLY, Command, tiny_imagenet
from scripts.ablation import arms
from scripts.ablation.arms import Turn, empty_cache
from scripts.ablation.plain_forms import PATHS, SpecialPath
from spikesam.common.errors import InputError, did_you_mean

PAYS = 1.1  # times the processor's seconds, of the plain form beside the special path
OF_SPIKINGJELLY = "transformer", "residual"  # whose models they are
SPECIAL, PLAIN = "special", "plain"
FILES, DIGITS = (300, 3), (10, 1)  # images of commands, and where the command is only tried

Turns = Mapping[str, Sequence[Turn]]


def cases(paths: Sequence[str], options: Options, scratch: Path) -> Iterator[Case]:
    """Cases of some special paths, or of all if none is named; the first makes the others' input.

    Raises
    ------
    InputError : if there is no special path of a name
    """
    unknown = [name for name in paths if name not in PATHS]
    if unknown:
        raise InputError(f"--paths: unknown {unknown[0]!r}{did_you_mean(unknown[0], [*PATHS])}")
    yield Case("inputs", partial(make_inputs, scratch, options), KEEP_FREED_MEMORY)
    for name in paths or PATHS:
        if PATHS[name].instructions == "all" or "avx2" in machine()["vectors"]:
            yield Case(name, partial(compare, name, scratch, options), KEEP_FREED_MEMORY)


def make_inputs(scratch: Path, options: Options) -> Iterator[MeasuredRow]:
    """Networks and spikes for the workloads, image files and a checkpoint for the commands."""
    arms.write_inputs(scratch / "inputs", options)
    tiny_imagenet(scratch / "files", options.pick(*FILES), options.seed)
    few = ("--samples", "1", "--conversion.timesteps", "64", "--conversion.calibration", "2")
    convert = "cluttered-digits-ann", *options.pick(("--samples", "2"), few), "--out", "made"
    Command(("-m", "spikesam.pipeline.convert", *convert), scratch / "converted")()
    yield from ()


def compare(name: str, scratch: Path, options: Options) -> Iterator[MeasuredRow]:
    """A special path and its plain form, on each workload that may use it."""
    path, limited = PATHS[name], UP_TO.get(PATHS[name].instructions, {})
    folders = {
        SPECIAL: scratch / "compiled" / path.instructions,
        PLAIN: scratch / "compiled" / name,
    }
    plain_of = {SPECIAL: None, PLAIN: name}
    with (
        new_process({**limited, **empty_cache(folders[SPECIAL])}) as special,
        new_process({**limited, **empty_cache(folders[PLAIN])}) as plain,
    ):
        processes = {SPECIAL: special, PLAIN: plain}
        first = {}
        for arm, process in processes.items():
            note = folders[arm] / "first.json"
            first[arm] = [process.submit(arms.compile_all, plain_of[arm], note).result()]
        rows = list(ratios(name, "first call, compiling", first))
        for workload in path.workloads:
            if workload in OF_SPIKINGJELLY and missing_spikingjelly():
                continue
            turns = take_turns(processes, workload, scratch / "inputs", options)
            check_same(name, workload, turns, path)
            rows += ratios(name, workload, turns)
        gains = any(pays(row) for row in rows[2:])
        for command, arguments in commands(scratch, options).items():
            if path.commands and not gains:
                turns = run_in_turns(processes, name, arguments, scratch / "runs", options)
                check_same(name, command, turns, path)
                rows += ratios(name, command, turns)
    yield from rows


def take_turns(
    processes: Mapping[str, ProcessPoolExecutor], workload: str, inputs: Path, options: Options
) -> Turns:
    """Do a workload in both processes, one after the other, again and again."""
    calls = min(
        process.submit(arms.prepare, workload, inputs, options).result()
        for process in processes.values()
    )
    turns: dict[str, list[Turn]] = {arm: [] for arm in processes}
    for _ in range(options.repeats):
        for arm, process in processes.items():
            turns[arm].append(process.submit(arms.turn, workload, calls).result())
    return turns


def run_in_turns(
    processes: Mapping[str, ProcessPoolExecutor],
    name: str,
    arguments: tuple[str, ...],
    folder: Path,
    options: Options,
) -> Turns:
    """Run a command with either form, again and again; the first time does not count."""
    turns: dict[str, list[Turn]] = {arm: [] for arm in processes}
    for number in range(1 + options.repeats):
        for arm, process in processes.items():
            plain = name if arm == PLAIN else None
            work = process.submit(arms.run_command, plain, arguments, folder / arm)
            if number:
                turns[arm].append(work.result())
            else:
                work.result()
    return turns


def commands(scratch: Path, options: Options) -> dict[str, tuple[str, ...]]:
    """Name of a command -> its arguments."""
    files, digits = options.pick(FILES[0], FILES[1]), options.pick(DIGITS[0], DIGITS[1])
    checkpoint = str(scratch / "converted/made/checkpoint.safetensors")
    chosen = {
        f"road, {files} JPEG files": (CHECKPOINT, str(scratch / "files"), files),
        f"converted digits, T = 500, {digits} images": (checkpoint, "cluttered-digits", digits),
    }
    return {
        name: (
            *("--checkpoint", network, "--data", data, "--samples", str(images)),
            *("--backend", "event", *RESULTS_ONLY),
        )
        for name, (network, data, images) in chosen.items()
    }


def check_same(name: str, workload: str, turns: Turns, path: SpecialPath) -> None:
    """Refuse to compare two forms that do not compute the same bits."""
    digests = {turn.digest for arm in turns.values() for turn in arm}
    if path.same_bits and len(digests) > 1:
        raise RuntimeError(f"{name}: on {workload}, the plain form gave other bits")


def ratios(name: str, workload: str, turns: Turns) -> Iterator[MeasuredRow]:
    """The time of the plain form, in units of what the special path takes in the same turn."""
    for unit, field in (("× processor", "processor"), ("× clock", "clock")):
        special, plain = (
            np.array([getattr(turn, field) for turn in turns[arm]]) for arm in (SPECIAL, PLAIN)
        )
        least, middle = plain.min() / special.min(), median(plain) / median(special)
        spent = f"{milliseconds(special)} → {milliseconds(plain)}"
        note = f"least {least:.2f}, median {middle:.2f}; {spent}"
        yield MeasuredRow(name, workload, unit, plain / special, note=note)


def milliseconds(seconds: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
    """The least and the median."""
    return f"{1000 * seconds.min():.3g} ({1000 * median(seconds):.3g}) ms"


def pays(row: MeasuredRow) -> bool:
    """True if a row says that the special path takes a tenth less of the processor."""
    return row.unit == "× processor" and row.median >= PAYS
