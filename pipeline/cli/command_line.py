"""The command line: a pydantic model becomes flags with help (tyro), a TOML file their defaults, a mistake one line.

class Train(BaseModel):
    config: Path | None = Field(None, description="TOML file with the settings")
    out: Path = Field(Path("runs/train"), description="folder for the results")
    training: TrainingConfig = TrainingConfig()             # --training.epochs 3
    run: Annotated[RunConfig, Flat] = RunConfig()           # --samples 5, without its section's name

options = parse_command(Train, argv, prog="python -m pipeline.train", description=HELP, defaults=from_file)
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import sys
from collections.abc import Callable, Sequence
from functools import reduce
from itertools import groupby
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import tyro
from pydantic import BaseModel, ValidationError
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from recordings.errors import InputError

from .config_errors import KeyPath, explanation, leaves, nearest, similarity

CommandT = TypeVar("CommandT", bound=BaseModel)
Flat: Any = tyro.conf.OmitArgPrefixes  # marks a section whose flags go without its name
Positional: Any = tyro.conf.Positional  # marks an argument without a flag

_SCALARS: dict[Any, tuple[str, str]] = {
    int: ("INT", "an integer"),
    float: ("NUMBER", "a number"),
    str: ("TEXT", "text"),
    Path: ("PATH", "a path"),
}
_BOX = re.compile(r"\x1b\[[0-9;]*m|[│╭╮╰╯├┤]")
_RULE = re.compile(r"─+|--+")  # tyro draws with hyphens where standard output is not UTF-8
# Tyro's phrases -> this project's: where: got X, expected Y.
_PHRASES = (
    (r"^Error parsing (\S+):", r"\1:"),
    (r"Could not find valid parse for arguments: (.*)", r"got \1, which does not fit"),
    (r"^invalid choice (.*) for argument '(.*)'\. Expected one of \((.*?),?\)", r"\2: got \1, expected one of \3"),
    (r"^Missing value for argument '(.*)'\. Expected 1 values", r"\1: expected a value after it"),
    (r"^Missing value for argument '(.*)'\. Expected (\S+) values", r"\1: expected \2 values after it"),
    (r"^Missing from [^:]*: ((?:--\S+ )?\S+) (.*?) \(required\).*", r"missing \1 (\2)"),
)


def parse_command(
    model: type[CommandT],
    argv: Sequence[str] | None,
    *,
    prog: str,
    description: str,
    defaults: Callable[[Path | None], CommandT] | None = None,
) -> CommandT:
    """Parse `argv` (None for the process's own) into `model`; ``--help`` prints to standard output and exits with 0.

    Parameters
    ----------
    prog : as the user types the command, such as "python -m pipeline.run"
    description : opens the help; best with two worked examples
    defaults : the value of ``--config`` (None if not given) -> the command whose fields flags may override. Without
        it the model's own defaults hold

    Raises
    ------
    InputError : one line naming the flag, what was given and what would be right
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    default: Any = tyro.MISSING_NONPROP if defaults is None else defaults(_config_path(arguments))
    switches = _switches(model, default)
    if any(_last(name).startswith("no-") for name in switches):
        description = (
            f"{description.rstrip()}\n\nA flag --no-X switches off what its line describes; --X switches it on."
        )
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            command, unknown = tyro.cli(
                model,
                prog=prog,
                description=description,
                args=_without_restated(arguments, switches),
                config=(tyro.conf.FlagCreatePairsOff,),
                return_unknown_args=True,
                registry=_registry(),
                default=default,
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise InputError(_with_help(_reason(stop, complaint.getvalue(), model), prog)) from None
    if unknown:
        raise InputError(_with_help(_unknown(unknown, model, switches), prog))
    return command


def flag(path: KeyPath, model: type[BaseModel]) -> str:
    """How the command line of `model` spells a field: ("training", "batch_size") -> "--training.batch-size"."""
    parts: list[str] = []
    inside: Any = model
    for name in path:
        field = inside.model_fields[name]
        if Positional in field.metadata:
            return name.upper()
        if Flat not in field.metadata:
            parts.append(name.replace("_", "-"))
        inside = field.annotation
    return "--" + ".".join(parts)


def _switch(name: str, on: bool) -> str:
    """How a boolean is set: "--training.flip", True or False -> "--training.flip" or "--training.no-flip"."""
    section, dot, own = name.removeprefix("--").rpartition(".")
    return f"--{section}{dot}{'' if on else 'no-'}{own}"


def _switches(model: type[BaseModel], default: Any) -> dict[str, str]:
    """The switch that changes each boolean -> the one that says what holds by default."""
    switches = {}
    for path, field in leaves(model):
        if field.annotation is bool:
            value = bool(reduce(getattr, path, default) if isinstance(default, model) else field.default)
            switches[_switch(flag(path, model), not value)] = _switch(flag(path, model), value)
    return switches


def _without_restated(arguments: Sequence[str], switches: dict[str, str]) -> list[str]:
    """Leave out switches to what holds by default, with earlier ones that they undo; tyro knows only the opposite ones.

    So a command means the same whatever its configuration file says.
    """
    opposite = {restating: changing for changing, restating in switches.items()}
    kept: list[str] = []
    for argument in arguments:
        name = argument.replace("_", "-")
        if name in opposite:
            kept = [earlier for earlier in kept if earlier.replace("_", "-") != opposite[name]]
        else:
            kept.append(argument)
    return kept


def _with_help(reason: str, prog: str) -> str:
    return f"{reason}{' See' if reason.endswith('?') else '; see'} {prog} --help"


def _config_path(arguments: Sequence[str]) -> Path | None:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", type=Path, nargs="?")  # a missing value is for the real parser to refuse
    path: Path | None = parser.parse_known_args(arguments)[0].config
    return path


def _reason(stop: SystemExit, complaint: str, model: type[BaseModel]) -> str:
    """Why tyro stopped: a pydantic error somewhere behind `stop`, or else the first paragraph of what it printed."""
    cause: BaseException | None = stop
    while cause is not None and not isinstance(cause, ValidationError):
        cause = cause.__cause__ or cause.__context__
    if cause is not None:
        title = cause.title
        section = next((path for path, part in _sections(model) if part.__name__ == title), ())
        return explanation(cause, model, lambda path: flag((*section, *path), model))
    lines = [_BOX.sub("", line).strip() for line in complaint.splitlines()[1:]]  # the first is the title
    paragraphs = (list(group) for rule, group in groupby(lines, lambda line: bool(_RULE.fullmatch(line))) if not rule)
    text = " ".join(next(paragraphs, ())).rstrip(".")
    for phrase, replacement in _PHRASES:
        text = re.sub(phrase, replacement, text)
    return text


def _sections(model: type[BaseModel], prefix: KeyPath = ()) -> list[tuple[KeyPath, type[BaseModel]]]:
    found = [(prefix, model)]
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found += _sections(field.annotation, (*prefix, name))
    return found


def _unknown(arguments: Sequence[str], model: type[BaseModel], switches: dict[str, str]) -> str:
    given, _, value = next((each for each in arguments if each.startswith("-")), "").partition("=")
    if not given:
        hint = "; switches take no value, write --X or --no-X" if arguments[0].lower() in ("true", "false") else ""
        return f"unexpected argument {arguments[0]!r}{hint}"
    both = [*switches, *switches.values()]
    if given.replace("_", "-") in both:
        return f"{given}: got {value!r}, expected no value; write --X or --no-X"
    known = [*both, *(flag(path, model) for path, field in leaves(model) if field.annotation is not bool)]
    close = nearest(_last(given), [_last(name) for name in known])
    alike = [name for name in known if _last(name) == close]
    hint = f"; did you mean {max(alike, key=lambda name: similarity(name, given))}?" if alike else ""
    return f"unknown option {given}{hint}"


def _last(name: str) -> str:
    return name.lstrip("-").rpartition(".")[2]


def _registry() -> ConstructorRegistry:
    """Tyro's rules, but numbers fail in plain words and "X or nothing" reads as X in the help."""
    registry = ConstructorRegistry()

    @registry.primitive_rule
    def scalars(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
        """For X, tuple[X, ...], tuple[X, X] and any of them or None, X being int, float, str or Path."""
        members = get_args(info.type) if get_origin(info.type) in (Union, UnionType) else (info.type,)
        optional = NoneType in members
        kinds = [member for member in members if member is not NoneType]
        kind: Any = kinds[0] if len(kinds) == 1 else None
        elements = get_args(kind) if get_origin(kind) is tuple else ()
        kind = elements[0] if elements and set(elements[1:]) <= {..., elements[0]} else kind
        if kind not in _SCALARS:
            return None
        metavar, expected = _SCALARS[kind]

        def convert(text: str) -> Any:
            try:
                return kind(text)
            except ValueError:
                raise ValueError(f"got {text!r}, expected {expected}") from None

        def from_texts(texts: list[str]) -> Any:
            if optional and [text.lower() for text in texts] == ["none"]:
                return None
            return tuple(map(convert, texts)) if elements else convert(texts[0])

        def to_texts(value: Any) -> list[str]:
            if value is None:
                return ["none"]
            return [str(each) for each in value] if elements else [str(value)]

        return PrimitiveConstructorSpec(
            nargs="*" if ... in elements else len(elements) or 1,
            metavar=f"[{metavar} ...]" if ... in elements else " ".join([metavar] * (len(elements) or 1)),
            instance_from_str=from_texts,
            is_instance=lambda _: True,  # fields are pydantic's to check
            str_from_instance=to_texts,
        )

    return registry
