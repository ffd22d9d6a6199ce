"""The whole road, from image files to checked maps on disk: commands in fresh processes, timed as a
user waits.

The first turn, which is not counted, takes few images: it compiles the kernels, and has the files
read once.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import spikesam
from benchmarks.common.measurement import Case, MeasuredRow, MemoryWatch, Options, race

NOW = "this project"
RESULTS_ONLY = ("--figures", "0", "--no-report")
SPIKESAM = "-m", "spikesam"
CHECKPOINT = "tiny-imagenet-10"
FIRST = 17  # images of the turn that does not count: more than a range
SIZE = 64  # rows and columns of an image of Tiny-ImageNet


FEW_STEPS = ("--samples", "1", "--conversion.timesteps", "64", "--conversion.calibration", "2")
RATE = 100.0  # images/s of many files, at least
FIRST_COMMANDS = (0.05, 0.3, 2.5)  # s, at most


@dataclass(frozen=True)
class Command:
    """A command of Python in a process of its own, run in a folder that is empty each time, and
    kept until the next.
    """

    arguments: Sequence[str]
    folder: Path

    def __call__(self) -> Path:
        """Run it to its end; returns the folder."""
        self._finish(self._start())
        return self.folder

    def peak(self) -> int:
        """Run it to its end; the most bytes that it and its descendants held, looked at now and
        then.
        """
        process = self._start()
        with MemoryWatch(0.05, process.pid) as watch:
            self._finish(process)
        return watch.largest

    def _start(self) -> subprocess.Popen[bytes]:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
        environment.pop(
            "PYTHONDONTWRITEBYTECODE", None
        )  # users have compiled modules from the second time on
        pipes: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            [sys.executable, *self.arguments], cwd=self.folder, env=environment, **pipes
        )

    def _finish(self, process: subprocess.Popen[bytes]) -> None:
        _, errors = process.communicate()
        if process.returncode:
            raise RuntimeError(
                f"{' '.join(self.arguments)}: exit code {process.returncode}: "
                f"{errors.decode()[-2000:]}"
            )


def cases(options: Options, scratch: Path) -> Iterator[Case]:
    """Cases of this benchmark."""
    yield Case("first commands", partial(first_commands, options, scratch))
    yield Case("a converted network", partial(converted, options, scratch))
    yield Case(
        "image files", partial(image_files, options.pick((250, 1000), (2, 6)), options, scratch)
    )


def first_commands(options: Options, scratch: Path) -> Iterator[MeasuredRow]:
    """Waits of a new user; the first of all runs, which compiles, is not counted."""
    ways = {
        "import spikesam": ("-c", "import spikesam"),
        "spikesam run --help": (*SPIKESAM, "run", "--help"),
        "spikesam run": (*SPIKESAM, "run"),
    }
    commands = {way: Command(arguments, scratch / way) for way, arguments in ways.items()}
    timed = race(commands, options.repeats)
    if not list((scratch / "spikesam run").glob("runs/*/report.html")):
        raise RuntimeError("spikesam run left no page")
    for (way, found), most in zip(timed.items(), FIRST_COMMANDS, strict=True):
        yield MeasuredRow("a fresh process", way, "s", found.seconds, at_most=most)


def converted(options: Options, scratch: Path) -> Iterator[MeasuredRow]:
    """A converted network over hundreds of steps."""
    converting, count = options.pick(("--samples", "2"), FEW_STEPS), options.pick(50, 2)
    convert = (*SPIKESAM, "convert", "cluttered-digits-ann", *converting, "--out", "made")
    checkpoint = Command(convert, scratch / "converted")() / "made/checkpoint.safetensors"
    few, every = (
        {NOW: run(scratch, checkpoint, "cluttered-digits", each)}
        for each in (min(FIRST, count), count)
    )
    found = race(every, options.repeats, first=few)[NOW]
    case = f"converted digits, T = {steps_of(found.result)}, {count} images"
    note = (
        "every spike, summed maps and their scores, digests of all; it can be stopped and resumed"
    )
    yield MeasuredRow(case, NOW, "s", found.seconds, at_most=8.0, note=note)


def image_files(files: tuple[int, int], options: Options, scratch: Path) -> Iterator[MeasuredRow]:
    """JPEG files in the layout of Tiny-ImageNet, few and many: images per second, and memory."""
    few, many = files
    data = tiny_imagenet(scratch / "tiny-imagenet", many, options.seed)
    ways = {f"{count}": run(scratch, CHECKPOINT, str(data), count) for count in files}
    timed = race(
        ways, options.repeats, first={NOW: run(scratch, CHECKPOINT, str(data), min(FIRST, few))}
    )
    seconds = [found.seconds for found in timed.values()]
    case = f"{CHECKPOINT}, T = {steps_of(timed[f'{many}'].result)}, {many} JPEG files"
    yield MeasuredRow(
        case, NOW, "images/s", many / seconds[1], at_least=RATE, note="the whole command"
    )
    beyond = seconds[1] - seconds[0]
    if min(beyond) > 0:  # not where so little is done that chance decides
        note = f"beyond {few} images: without the start of the process"
        yield MeasuredRow(
            case, f"{NOW}, more images", "images/s", (many - few) / beyond, at_least=RATE, note=note
        )
    peaks = [command.peak() for command in ways.values()]
    for count, peak in zip(files, peaks, strict=True):
        note = "the most that the command held"
        yield MeasuredRow(f"{CHECKPOINT}, {count} JPEG files", NOW, "MB", (peak / 1e6,), note=note)
    yield MeasuredRow(f"images {many} : {few}", NOW, "× MB", (peaks[1] / peaks[0],), at_most=1.1)


def run(scratch: Path, checkpoint: str | Path, data: str, count: int) -> Command:
    """A run that leaves its results, and no pictures."""
    options = (
        "--checkpoint",
        str(checkpoint),
        "--data",
        data,
        "--samples",
        str(count),
        "--backend",
        "event",
    )
    return Command(
        (*SPIKESAM, "run", *options, *RESULTS_ONLY, "--out", "run"),
        scratch / f"now-{count}",
    )


def steps_of(folder: Path) -> int:
    """T of a run."""
    return int(json.loads((folder / "run/summary.json").read_text())["timesteps"])


def tiny_imagenet(folder: Path, count: int, seed: int) -> Path:
    """Make a validation part in the official layout: smooth random images, each with a box, as many
    of every class.
    """
    checkpoint = spikesam.load(CHECKPOINT)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "val/images").mkdir(parents=True)
    (folder / "wnids.txt").write_text("".join(f"{wnid}\n" for wnid in checkpoint.classes))
    lines = []
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        name, wnid = f"val_{number}.JPEG", checkpoint.classes[number % len(checkpoint.classes)]
        smooth_image(rng).save(folder / "val/images" / name, quality=90)
        lines.append("\t".join([name, wnid, *map(str, random_box(rng))]) + "\n")
    (folder / "val/val_annotations.txt").write_text("".join(lines))
    return folder


def smooth_image(rng: np.random.Generator) -> Image.Image:
    """64×64 RGB: 8×8 random colours, enlarged."""
    coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
    return coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC)


def random_box(rng: np.random.Generator) -> Sequence[int]:
    """x0 y0 x1 y1, ends inclusive, at least 16 pixels wide and high."""
    x0, y0 = rng.integers(0, SIZE - 16, 2)
    return int(x0), int(y0), int(rng.integers(x0 + 15, SIZE)), int(rng.integers(y0 + 15, SIZE))
