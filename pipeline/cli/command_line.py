"""The command line: a pydantic model becomes options with help (argparse), and a mistake becomes
one line.

class Train(Section):
    raster: Positional[Path] = Field(description="raster file")        # RASTER, no option
    more: Positional[tuple[Path, ...]] = Field(description="files")    # MORE ...
    out: Path = Field(Path("runs/train"), description="folder")        # --out there
    training: TrainingSection = TrainingSection()                      # --training.epochs 3
    run: Annotated[RunSection, Flat] = RunSection()                    # --samples 5

An option of a section has the section's name in front, unless it is :data:`Flat`. argparse splits
the words, pydantic converts and checks them.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from spikesam.common.errors import InputError
from spikesam.common.text import LONGEST_NAME, printable
from spikesam.pipeline.config.mistakes import KeyPath, explanation, is_section, leaves, nearest

ValueT = TypeVar("ValueT")
CommandT = TypeVar("CommandT", bound=BaseModel)
ConfigT = TypeVar("ConfigT", bound=BaseModel)

Flat = "flat"  # marks a section whose options go without its name
Positional = Annotated[ValueT, "positional"]  # marks an argument without an option's name

SWITCHES = (bool, bool | None)  # types of options without a value
_METAVARS = {int: "INT", float: "NUMBER", str: "TEXT", Path: "PATH"}


def parse_command(
    model: type[CommandT],
    argv: Sequence[str] | None,
    *,
    prog: str,
    description: str | None,
    **lists: str,
) -> CommandT:
    """Parse `argv`, None for the process's own; `lists` stand in the description of ``--help`` for
    names in braces.
    """
    description_text = (description or "").format(**lists) if lists else description
    return _parse(model, sys.argv[1:] if argv is None else argv, None, prog, description_text)


def parse_with_config(
    model: type[CommandT],
    read: Callable[[Path | None], ConfigT],
    argv: Sequence[str] | None,
    *,
    prog: str,
    description: str | None,
) -> tuple[CommandT, ConfigT]:
    """The command, and the configuration of ``--config``, whose sections its options have
    changed.
    """
    arguments = sys.argv[1:] if argv is None else argv
    _check(arguments)
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument(
        "--config", type=Path, nargs="?"
    )  # a missing value is for the real parser to refuse
    config = read(first.parse_known_args(arguments)[0].config)
    command = _parse(model, arguments, config, prog, description)
    return command, config.model_copy(
        update={name: value for name, value in command if isinstance(value, BaseModel)}
    )


def option(path: KeyPath, model: type[BaseModel]) -> str:
    """A field as the command line of `model` spells it: ("training", "batch_size") ->
    "--training.batch-size".
    """
    parts: list[str] = []
    inside: Any = model
    for name in path:
        field = inside.model_fields[name]
        if "positional" in field.metadata:
            return name.upper()
        if Flat not in field.metadata:
            parts.append(name.replace("_", "-"))
        inside = field.annotation
    return "--" + ".".join(parts)


def _check(arguments: Sequence[str]) -> None:
    """Refuse arguments that are not text: bytes that are not UTF-8, as Python passes them on, and
    null characters.
    """
    for argument in arguments:
        if "\0" in argument or (
            not argument.isascii() and any("\ud800" <= letter <= "\udfff" for letter in argument)
        ):
            shown = printable(argument, LONGEST_NAME)
            raise InputError(
                f"argument {shown!r}: expected UTF-8 without null characters; rename what is "
                "called so"
            )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        text = message.removeprefix("argument ").replace(
            "ignored explicit argument", "expected no value, got"
        )
        raise InputError(f"{text}{' See' if text.endswith('?') else '; see'} {self.prog} --help")


class _Help(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(
            text, width, break_on_hyphens=False
        )  # names such as cluttered-digits stay whole


def _parse(
    model: type[CommandT],
    arguments: Sequence[str],
    config: BaseModel | None,
    prog: str,
    description: str | None,
) -> CommandT:
    """Parse the arguments; sections that are not given are those of the configuration, or of the
    model.
    """
    _check(arguments)
    sections: dict[str, BaseModel] = {
        name: getattr(config, name) if config else field.default
        for name, field in model.model_fields.items()
        if is_section(field)
    }
    values: dict[str, Any] = {
        name: section.model_dump(exclude_unset=True) for name, section in sections.items()
    }
    parser = _Parser(
        prog,
        description=description,
        formatter_class=_Help,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    groups: dict[str, Any] = {"": parser}  # by section
    usage, options, unnamed = [parser.prog], list[str](), dict[str, str]()
    for path, field in leaves(model).items():
        name = option(path, model)
        names = [name, _negated(name)] if field.annotation in SWITCHES else [name]
        if name.startswith("-"):
            options += names
        else:
            ellipsis = " ..." if _shape(field.annotation)[1] else ""
            usage.append(name + ellipsis if field.is_required() else f"[{name}{ellipsis}]")
            unnamed[f"--{name.lower().replace('_', '-')}"] = name
        section = name.lstrip("-").rpartition(".")[0]
        if section not in groups:
            groups[section] = parser.add_argument_group(section)
        default = getattr(sections[path[0]], path[1]) if path[1:] else field.default
        _add(groups[section], names, ".".join(path), field, default)
    parser.usage = " ".join([*usage, "[options]"])
    namespace, unknown = parser.parse_known_intermixed_args(
        [_with_hyphens(argument) for argument in arguments]
    )
    if unknown:
        parser.error(_unknown(unknown, options, unnamed, " ".join(usage)))
    for key, value in vars(namespace).items():
        section, _, name = key.rpartition(".")
        table = values[section] if section else values
        table[name] = None if value == [None] else value
    try:
        return model.model_validate(values, strict=False)
    except ValidationError as error:
        parser.error(explanation(error, model, lambda path: option(path, model)))


def _add(group: Any, names: Sequence[str], key: str, field: FieldInfo, default: Any) -> None:
    """Add the options of one field to the parser, with their line of help."""
    help_text = (field.description or "").replace("%", "%%")
    if field.annotation in SWITCHES:
        help_text += "" if default is None else f" (default: {'on' if default else 'off'})"
        group.add_argument(*names, dest=key, action=_Switch, help=help_text)
        return
    metavar, nargs, optional = _shape(field.annotation)
    if not field.is_required() and default not in (
        None,
        (),
    ):  # what happens without one, the description says
        text = printable(
            " ".join(map(str, default)) if isinstance(default, tuple) else default, LONGEST_NAME
        )
        help_text += f" (default: {text})".replace("%", "%%")
    convert = (lambda text: None if text.lower() == "none" else text) if optional else str
    if not names[0].startswith("-"):
        group.add_argument(key, nargs=nargs or "?", metavar=names[0], help=help_text, type=convert)
        return
    help_text += " (required)" if field.is_required() else ""
    group.add_argument(*names, dest=key, nargs=nargs, metavar=metavar, help=help_text, type=convert)


class _Switch(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **options)

    def __call__(
        self,
        parser: Any,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, option_string == self.option_strings[0])


def _shape(annotation: Any) -> tuple[str, int | str | None, bool]:
    """Name of a value of this type in the help, number of its words (as argparse says it), and if
    it may be none.
    """
    members = (
        get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    )
    if NoneType in members:
        value_members = [member for member in members if member is not NoneType]
        metavar, nargs, _ = _shape(Union[tuple(value_members)])  # noqa: UP007
        return metavar, nargs, True
    parts = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return _shape(parts[0])
    if get_origin(annotation) is tuple:
        return _shape(parts[0])[0], "*" if ... in parts else len(parts), False
    if get_origin(annotation) is Literal:
        return "{" + ",".join(map(str, parts)) + "}", None, False
    return "|".join(_METAVARS[member] for member in members), None, False


def _negated(name: str) -> str:
    """ "--training.flip" -> "--training.no-flip"."""
    section, dot, option = name.removeprefix("--").rpartition(".")
    return f"--{section}{dot}no-{option}"


def _with_hyphens(argument: str) -> str:
    """Underscores do for hyphens in the name of an option."""
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value if name.startswith("--") else argument


def _unknown(
    arguments: Sequence[str], options: Sequence[str], unnamed: Mapping[str, str], usage: str
) -> str:
    flag = next((argument for argument in arguments if argument.startswith("-")), "").partition(
        "="
    )[0]
    if not flag:
        hint = (
            "; a switch takes no value, write --X or --no-X"
            if arguments[0].lower() in ("true", "false")
            else ""
        )
        return f"unexpected argument {arguments[0]!r}{hint}"
    if flag in unnamed:
        return f"unknown option {flag}; {unnamed[flag]} is written without it: {usage}"
    close = nearest(flag, options)
    if flag == "--timesteps" and not (close or "").endswith(".timesteps"):
        return (
            f"{flag}: T belongs to the network; take another --checkpoint, or train one with "
            "--network.timesteps"
        )
    return f"unknown option {flag}" + (f"; did you mean {close}?" if close else "")


def listing(summaries: Mapping[str, str]) -> str:
    """One line per name, for the help: the name, and what it is."""
    width = max(map(len, summaries)) + 2
    return "\n".join(f"  {name:<{width}}{text}" for name, text in summaries.items())


def some_or_all(names: Iterable[str], all_names: Iterable[str]) -> tuple[str, ...]:
    """The known names that these stand for, each once, in the order in which they were asked
    for.
    """
    choices = tuple(all_names)
    chosen: list[str] = []
    for name in names:
        if name not in (*choices, "all"):
            close = nearest(name, [*choices, "all"])
            hint = f"; did you mean {close!r}?" if close else ""
            raise InputError(
                f"NAME: got {name!r}, expected one of {', '.join(choices)} or all{hint}"
            )
        chosen += choices if name == "all" else [name]
    return tuple(dict.fromkeys(chosen))
