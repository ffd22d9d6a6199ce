"""Write everything that is public into tests/surface.txt, a line for each.

    python -m scripts.surface

A test compares the file with the code, so that a change of the surface is seen where a change is
read: names with their arguments, commands with their options, exit codes, files of a run, fields of
`summary.json`, keys of settings, extras, and entry points.
"""

from __future__ import annotations

import inspect
import os
import re
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from importlib import import_module
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from pydantic import BaseModel

import spikesam
from spikesam.pipeline.chips import result_file
from spikesam.pipeline.cli import errors
from spikesam.pipeline.cli.main import COMMANDS
from spikesam.pipeline.config import Config
from spikesam.pipeline.engine.folder import OF_COMMANDS
from spikesam.pipeline.engine.range_file import NAMES
from spikesam.pipeline.engine.summary import Summary
from spikesam.pipeline.images import pictures

OF_RUNS = {*NAMES, *OF_COMMANDS, pictures.NAME, result_file.NAME}
ROOT = Path(__file__).resolve().parents[1]
SURFACE = ROOT / "tests" / "surface.txt"
HEAD = "# Everything that is public. Written by: python -m scripts.surface\n"
SHOWN_DEFAULTS = (bool, float, int, str, type(None))  # equal on every machine and Python


def surface() -> str:
    """The text of the file: sorted lines."""
    lines = {
        *module_lines(spikesam),
        *(line for module in public_modules() for line in module_lines(module)),
        *(line for command in COMMANDS for line in command_lines(command)),
        *exit_code_lines(),
        *(f"file of a run: {name}" for name in OF_RUNS),
        *schema_lines("summary.json", Summary),
        *schema_lines("settings", Config),
        *project_lines(),
    }
    return HEAD + "".join(f"{line}\n" for line in sorted(lines))


def public_modules() -> list[ModuleType]:
    """The modules beside the folders of the package, and the suite for readers of NIR."""
    stems = ["conformance", *sorted(path.stem for path in (ROOT / "spikesam").glob("[a-z]*.py"))]
    return [import_module(f"spikesam.{stem}") for stem in stems]


def module_lines(module: ModuleType) -> Iterator[str]:
    """Each public name of a module, with its arguments, and those of the members of its classes."""
    for name in module.__all__:
        entry, place = getattr(module, name), f"{module.__name__}.{name}"
        if inspect.isclass(entry):
            yield from class_lines(place, entry)
        elif callable(entry):
            yield f"{place}{arguments(entry)}"
        else:
            yield place


def class_lines(place: str, cls: type) -> Iterator[str]:
    """A class and its public members, of this package's own classes alone."""
    yield f"{place}{arguments(cls)}"
    for base in cls.__mro__:
        if not base.__module__.startswith("spikesam"):
            continue
        for name in {*vars(base), *inspect.get_annotations(base)}:
            if name.startswith("_") or name == "model_config":
                continue
            member = inspect.getattr_static(cls, name, None)
            function = getattr(member, "__func__", member)
            yield f"{place}.{name}{arguments(function) if inspect.isfunction(function) else ''}"


def arguments(function: Any) -> str:
    """Names, kinds and defaults of the arguments, without their types."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return ""
    parameters = [
        parameter.replace(
            annotation=parameter.empty,
            default=parameter.default
            if parameter.default is parameter.empty or isinstance(parameter.default, SHOWN_DEFAULTS)
            else Elsewhere(),
        )
        for name, parameter in signature.parameters.items()
        if not name.startswith("_")
    ]
    return str(signature.replace(parameters=parameters, return_annotation=signature.empty))


class Elsewhere:
    """Stands for a default whose text may differ between versions of Python or of a library."""

    def __repr__(self) -> str:
        return "…"


def command_lines(command: str) -> Iterator[str]:
    """The usage of a command, and its options with their values and defaults."""
    printed = StringIO()
    with (
        mock.patch.dict(os.environ, {"COLUMNS": "10000"}),
        redirect_stdout(printed),
        suppress(SystemExit),
    ):
        import_module(f"spikesam.pipeline.{command}").main(["--help"])
    text = printed.getvalue()
    yield re.match(r"usage: (.*)", text)[1]
    for found in re.finditer(r"^  (--\S.*?)(?:   *|\n +)(\S.*)$", text, re.MULTILINE):
        default = re.search(r" \((default: .*|required)\)$", found[2])
        yield f"spikesam {command} {found[1]}" + (f" ({default[1]})" if default else "")


def exit_code_lines() -> Iterator[str]:
    """The codes with which a command ends, beside 0."""
    for name, value in vars(errors).items():
        if name.isupper() and isinstance(value, int):
            yield f"exit code {value}: {name.lower().replace('_', ' ')}"


def schema_lines(file: str, model: type[BaseModel]) -> Iterator[str]:
    """The fields of a file, with their types in JSON; those of groups by the name of the group."""
    schema = model.model_json_schema()
    for group, part in {"": schema, **schema.get("$defs", {})}.items():
        for name, field in part.get("properties", {}).items():
            yield f"{file}: {group}{'.' if group else ''}{name}: {json_type(field)}"


def json_type(field: dict[str, Any]) -> str:
    """The type of a field, such as "number | null", "list of Interval"."""
    if "anyOf" in field:
        return " | ".join(map(json_type, field["anyOf"]))
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if "enum" in field or "const" in field:
        return " | ".join(map(repr, field.get("enum", [field.get("const")])))
    if field.get("type") == "array" and "items" in field:
        return f"list of {json_type(field['items'])}"
    return str(field.get("type", "any"))


def project_lines() -> Iterator[str]:
    """Extras and entry points."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra in project["optional-dependencies"].keys() - {"dev"}:
        yield f"extra: {extra}"
    yield from (f"script: {name}" for name in project["scripts"])
    for group, names in project["entry-points"].items():
        yield from (f"entry point: {group} {name}" for name in names)


if __name__ == "__main__":
    SURFACE.write_text(surface(), encoding="utf-8")
    print(f"written: {SURFACE.relative_to(ROOT)}")
