"""Pages that are made from the tables of the experiments: jinja2 templates, whose numbers are
looked up in tables.

In a template of `docs/_filled`, `results["digits"]` is a :class:`paper.pages.folder.Folder`:

    {{ digits("fig3", map="SAM", layer="conv1").mean | number(3) }}
    {{ digits.claims("fig6", "^conv2: error of the converted network$").mean | signed(2) }}
    {{ digits("fig5", network="surrogate") | map(attribute="mean") | min | number }}

`benchmark("agreement")` is what `python -m benchmarks` left, `docs/performance/agreement.json`.

A row that is missing, or not the only one, is an error. `results.md.jinja` beside this file is the
page of a folder.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError

from paper.common.result import LONGEST_NOTE
from paper.common.settings import PAPER_SUM
from paper.pages.folder import Folder
from spikesam import InputError
from spikesam.commands import parse_json, write_file
from spikesam.errors import at, printable

TEMPLATES, RESULTS = "_filled", "results"


def pages(docs: Path) -> dict[Path, str]:
    """Every page that is made from results, and its text: those of the templates, and one in each
    folder of results.
    """
    environment = environment_of(docs)
    made = {path / "results.md": experiments_page(path, tables=True) for path in folders_of(docs)}
    return made | {
        docs / name: _filled(environment, name) for name in environment.list_templates(["md"])
    }


def environment_of(docs: Path) -> Environment:
    """Where templates are filled in, which know the folders of results by name."""
    environment = _environment(docs / TEMPLATES)
    results = {path.name: Folder(path) for path in folders_of(docs)}
    environment.globals |= {"results": results, "without_values": without_values(results)}

    def benchmark(name: str) -> Any:
        text = (docs / f"performance/{name}.json").read_bytes()
        with at(name):
            return parse_json(text)

    environment.globals["benchmark"] = benchmark
    return environment


def without_values(results: dict[str, Folder]) -> dict[str, list[str]]:
    """Experiments whose values by image were not kept, by folder of results."""
    missing = {
        name: [each for each in folder.experiments if not folder.has_values(each)]
        for name, folder in results.items()
    }
    return {name: experiments for name, experiments in missing.items() if experiments}


def folders_of(docs: Path) -> list[Path]:
    """The folders that hold results."""
    folders = sorted(path.parent for path in (docs / RESULTS).glob("*/config.toml"))
    if not folders:
        raise InputError(
            f"{docs / RESULTS}: no folder there holds results; run from the root of the repository"
        )
    return folders


def _filled(environment: Environment, name: str) -> str:
    try:
        return environment.get_template(name).render()
    except (TemplateError, InputError) as error:
        raise InputError(f"{TEMPLATES}/{name}: {error}") from None


def experiments_page(path: Path, tables: bool = False) -> str:
    """The page of the results in a folder, in Markdown: claims beside what was found, figures and
    notes.

    Also `tables` of what was measured, which need all of what the committed results have.
    """
    folder = Folder(path)
    images = dict.fromkeys(
        images for name in folder.experiments for images in folder.notes(name, "images")
    )
    template = _environment(Path(__file__).parent).get_template("results.md.jinja")
    return template.render(folder=folder, images=images, longest=LONGEST_NOTE, with_tables=tables)


def write_pages(docs: Path) -> list[Path]:
    """Write them; gives their paths."""
    made = pages(docs)
    for path, text in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, text.encode())
    return list(made)


def number(value: float, decimals: int = 2) -> str:
    """A number with so many decimals: 0.034, −0.13; never −0.00."""
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def signed(value: float, decimals: int = 2) -> str:
    """A difference, with its sign: +0.03, −0.13, 0 if it rounds to zero."""
    text = number(value, decimals)
    return (
        "0" if float(text.replace("−", "-")) == 0 else text if text.startswith("−") else f"+{text}"
    )


def percent(value: float, decimals: int = 0) -> str:
    """A share: 96 %."""
    return f"{number(100 * value, decimals)} %"


def p_value(p: float) -> str:
    """A p-value: 0.03, < 0.001; nothing where there is none."""
    return "" if math.isnan(p) else "&lt; 0.001" if p < 0.001 else f"{p:.2g}"


def cell(text: object) -> str:
    """A text as a cell of a Markdown table that is no HTML."""
    return printable(text).replace("|", "\\|").replace("<", "&lt;")


def _environment(templates: Path) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(templates),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["PAPER_SUM"] = PAPER_SUM
    environment.filters |= {
        each.__name__: each for each in (number, signed, percent, p_value, cell, printable)
    }
    return environment
