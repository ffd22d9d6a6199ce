"""python -m paper NAME ...: reproduce figures and tables of Kim & Panda 2021, and test what it
claims.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from paper.common.settings import PaperConfig, PaperSection, load_paper_config
from paper.pages.fill import experiments_page, write_pages
from paper.pages.folder import in_order
from spikesam import InputError
from spikesam.commands import (
    ConfigFile,
    Flat,
    PlainConsole,
    Positional,
    exit_codes,
    listing,
    out_lock,
    parse_with_config,
    shell_command,
    some_or_all,
    summary_of,
    write_file,
)
from spikesam.errors import printable
from spikesam.settings import Section, save_config

if TYPE_CHECKING:
    from paper.common.result import Result
    from paper.common.setup import Setup  # torch is slow to import, --help need not wait


def all_experiments() -> dict[str, str]:
    """Modules of the package with a function run(setup) -> Result: name,
    summary of its docstring.
    """
    files = {path.stem: path for path in Path(__file__).parent.glob("[a-z]*.py")}
    return {
        name: summary_of(files[name].read_text().split('"""')[1])
        for name in sorted(files, key=in_order)
    }


PROG = "python -m paper"
EXPERIMENTS = all_experiments()
PAGES, DOCS = "pages", Path("docs")
FIGURES, PUBLISHED = "figures", "checkpoint"
DESCRIPTION = """Reproduce experiments of Kim & Panda 2021: a table, a figure, and what was found.

{names}

examples:
  python -m paper fig6 fig8 --config configs/paper/digits.toml
  python -m paper all --config configs/paper/tiny_imagenet_10.toml --data tiny-imagenet-200.zip
  python -m paper all --out docs/results/digits --cache runs/paper/digits && python -m paper pages
  python -m paper checkpoint MODEL.pth.tar --data tiny-imagenet-200.zip

What is trained, converted or recorded for one experiment serves the others, and is kept for later
runs.""".format(
    names=listing(
        EXPERIMENTS
        | {
            "all": "every one of them",
            PAGES: "no experiment: write the pages of docs/ from docs/results/*/*.csv",
            FIGURES: "no experiment: draw those figures of docs/ again that need no more than "
            "these tables",
            PUBLISHED: "the VGG11 that the paper's authors publish, a FILE: its gains, and with "
            "--data Fig. 5 and 6b",
        }
    )
)


class PaperCommand(Section):
    """Options of the command."""

    name: Positional[tuple[str, ...]] = Field(
        min_length=1, description="experiments, all, pages, figures, or checkpoint FILE"
    )
    paper: Annotated[PaperSection, Flat] = PaperSection()
    config: ConfigFile = None
    data: str | None = Field(
        None, description="data set to use in place of the configuration's data.source"
    )
    out: Path | None = Field(
        None, description="folder for tables, figures and page; runs/paper/CONFIG if not given"
    )
    cache: Path | None = Field(
        None, description="folder for networks, recordings and maps; OUT/stages if not given"
    )


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Parse and run."""
    command, config = parse_with_config(
        PaperCommand, load_paper_config, argv, prog=PROG, description=DESCRIPTION
    )
    if command.name == (PAGES,):
        for path in write_pages(DOCS):
            PlainConsole(soft_wrap=True).print(path)
        return
    if command.name == (FIGURES,):
        from paper.pages.figures import draw_figures

        for name in draw_figures(DOCS):
            PlainConsole(soft_wrap=True).print(name)
        return
    for name in (PAGES, FIGURES):
        if name in command.name:
            raise InputError(
                f"NAME: {name} goes alone, since it takes its tables from {DOCS}/results, not from "
                "--out"
            )
    if command.name[0] == PUBLISHED:
        show_published(command, config)
        return
    names = some_or_all(command.name, EXPERIMENTS)
    if command.data is not None:
        config = config.model_copy(
            update={"data": config.data.model_copy(update={"source": command.data})}
        )
    out = command.out or Path("runs/paper") / (command.config.stem if command.config else "digits")
    cache = command.cache or out / "stages"
    terminal, console = PlainConsole(stderr=True), PlainConsole(soft_wrap=True)
    typed = shell_command(*PROG.split(), *(sys.argv[1:] if argv is None else argv))
    from paper.common.setup import Setup  # torch is slow to import, --help need not wait
    from spikesam.training import keep_freed_memory

    keep_freed_memory()
    with out_lock(out), out_lock(cache):
        setup = Setup(config, out, terminal, cache)
        console.print(f"{len(setup.subjects)} samples of {setup.subjects.name}")
        impossible = []
        for number, name in enumerate(names, 1):
            console.print(f"{number}/{len(names)} {name}: {EXPERIMENTS[name]}")
            try:
                result = run_experiment(name, setup, typed)
            except InputError as error:
                if len(names) == 1:
                    raise
                # These data or settings do not allow it; the others may still be possible.
                console.print(f"  not done: {error}")
                impossible.append(name)
                continue
            for claim in result.claims:
                told = f"{claim.what} (paper: {claim.paper}): {claim.ours}; n = {claim.n}"
                console.print(f"  {claim.same}: {printable(told)}")
        write_file(out / "results.md", experiments_page(out).encode())
        console.print(str(out / "results.md"))
        if impossible:
            raise InputError(
                f"{len(impossible)} of {len(names)} experiments not done, see above: "
                f"{', '.join(impossible)}"
            )


def run_experiment(name: str, setup: Setup, command: str) -> Result:
    """Run one experiment and write what it found, with the configuration and the command, into the
    setup's folder.

    Its claims are judged together, see :func:`paper.common.result.over_family`.
    """
    from paper.common.result import over_family, write_result

    setup.cache.found.clear()
    begun = time.perf_counter()
    found = importlib.import_module(f"paper.{name}").run(setup)
    seconds = time.perf_counter() - begun
    for part, result in {name: found, **found.beside}.items():
        digests = setup.networks.digests if result.networks is None else result.networks
        about = {
            "images": result.samples or setup.subjects.name,
            "seed": str(setup.settings.seed),
            "command": command,
            "seconds": f"{seconds:.0f}",
            "seconds before": f"{sum(setup.cache.found.values()):.0f}",
            **{f"network, {network}": digest for network, digest in digests.items()},
        }
        write_result(part, replace(result, claims=over_family(result.claims)), about, setup.out)
    save_config(setup.config, setup.out / "config.toml")
    return replace(found, claims=over_family(found.claims))


def show_published(command: PaperCommand, config: PaperConfig) -> None:
    """Print the gains in the authors' file, and with a data set import it and draw."""
    if len(command.name) != 2:
        raise InputError(f"NAME: {PUBLISHED} takes one file, got {len(command.name) - 1}")
    from paper.common.published import figures, gains, imported, published_model
    from paper.common.setup import Setup
    from spikesam import save

    console, model = PlainConsole(soft_wrap=True), published_model(Path(command.name[1]))
    for line in gains(model):
        console.print(line)
    if command.data is None:
        console.print("no figures: they need images, give --data tiny-imagenet-200.zip")
        return
    checkpoint, out = imported(model, command.data), command.out or Path("runs/paper") / PUBLISHED
    saved = out / "checkpoint.safetensors"
    paper = config.paper.model_copy(
        update={"checkpoint": str(saved), "layers": ("conv4", "conv6", "conv8")}
    )
    data = config.data.model_copy(update={"source": command.data})
    with out_lock(out):
        save(checkpoint, saved)
        setup = Setup(
            config.model_copy(update={"paper": paper, "data": data}), out, PlainConsole(stderr=True)
        )
        for line in figures(setup):
            console.print(printable(line))
    for path in (saved, *(out / f"{name}.png" for name in ("fig5", "fig6_rate"))):
        console.print(str(path))


if __name__ == "__main__":
    main()
