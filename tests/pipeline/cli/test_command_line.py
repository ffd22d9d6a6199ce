"""Flags over TOML over defaults, and one line for every mistake; on a toy command."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from spikesam.common.errors import InputError, at
from spikesam.pipeline.cli.command_line import Flat, Positional, parse_command, parse_with_config
from spikesam.pipeline.config.toml import read_toml, validated


class Section(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class Training(Section):
    epochs: int = Field(3, ge=1, description="passes over the data")
    batch_size: int = Field(32, ge=1, description="images per step")
    rate: float = Field(0.1, gt=0, description="learning rate")
    flip: bool = Field(True, description="mirror images")
    milestones: tuple[int, ...] = Field((1, 2), description="epochs at which the rate drops")
    mean: tuple[float, float, float] = Field((0.5, 0.5, 0.5), description="subtracted")
    classes: tuple[str, ...] | None = Field(None, description="classes to use")


class Run(Section):
    backend: Literal["torch", "lava"] = Field("torch", description="the simulator")
    samples: int | None = Field(None, ge=1, description="how many images")


class Config(Section):
    training: Training = Training()
    run: Run = Run()


class Command(Section):
    training: Training = Training()
    run: Annotated[Run, Flat] = Run()
    config: Path | None = Field(None, description="TOML file with the settings")
    out: Path = Field(Path("runs/toy"), description="folder for the results")
    resume: bool = Field(False, description="continue an earlier run")


class Explain(Section):
    raster: Positional[Path] = Field(description="raster file")
    out: Path = Field(description="file for the maps")


def read(path: Path | None) -> Config:
    if path is None:
        return Config()
    values = read_toml(path)
    with at(path):
        return validated(Config, values)


def parse_both(*arguments: str) -> tuple[Command, Config]:
    return parse_with_config(
        Command, read, arguments, prog="toy", description="Do it.\n\nexamples:\n  toy -h"
    )


def parse(*arguments: str) -> Command:
    return parse_both(*arguments)[0]


def refusal(*arguments: str) -> str:
    with pytest.raises(InputError) as caught:
        parse(*arguments)
    text = str(caught.value)
    assert "\n" not in text
    return text


def toml(tmp_path: Path, text: str) -> str:
    path = tmp_path / "x.toml"
    path.write_text(text, encoding="utf-8")
    return f"--config={path}"


def toml_refusal(tmp_path: Path, text: str) -> str:
    """The message about a TOML file, after the file's name."""
    where, _, rest = refusal(toml(tmp_path, text)).partition(": ")
    assert where == str(tmp_path / "x.toml")
    return rest


def test_without_arguments_the_defaults_hold():
    assert parse() == Command()


def test_flags_override_the_file_and_the_file_overrides_the_defaults(tmp_path):
    file = toml(
        tmp_path, "[training]\nepochs = 7\nrate = 1\nmilestones = [5, 6]\n[run]\nsamples = 9\n"
    )
    command, config = parse_both(
        file, "--training.epochs", "8", "--backend", "lava", "--out", "there", "--resume"
    )
    assert command.training == Training(epochs=8, rate=1.0, milestones=(5, 6))
    assert command.run == Run(backend="lava", samples=9)
    assert (command.out, command.resume, command.config) == (
        Path("there"),
        True,
        tmp_path / "x.toml",
    )
    assert config == Config(training=command.training, run=command.run)


def test_lists_booleans_and_nothing_can_be_given():
    lists = [
        "--training.milestones",
        "4",
        "5",
        "6",
        "--training.mean",
        "1",
        "2",
        "3",
        "--training.classes",
        "a",
        "b",
    ]
    command = parse(*lists, "--training.no-flip")
    assert command.training == Training(
        milestones=(4, 5, 6), mean=(1.0, 2.0, 3.0), flip=False, classes=("a", "b")
    )
    assert parse("--training.milestones").training.milestones == ()


@pytest.mark.parametrize("in_file", [True, False])
def test_switches_mean_the_same_whatever_the_file_says_and_the_last_one_counts(tmp_path, in_file):
    file = toml(tmp_path, f"[training]\nflip = {str(in_file).lower()}\n")
    for switches, flip in (
        ([], in_file),
        (["--training.flip"], True),
        (["--training.no-flip"], False),
        (["--training.no_flip"], False),
        (["--training.flip", "--training.no-flip"], False),
        (["--training.no-flip", "--training.flip"], True),
        (["--training.flip", "--training.no_flip", "--training.flip"], True),
    ):
        assert parse(file, *switches).training.flip is flip
    assert parse("--resume", "--no-resume").resume is False
    assert parse("--no-resume", "--resume").resume is True


def test_nothing_can_undo_a_value_of_the_file(tmp_path):
    file = toml(tmp_path, '[training]\nclasses = ["a"]\n[run]\nsamples = 9\n')
    command = parse(file, "--samples", "none", "--training.classes", "none")
    assert (command.run.samples, command.training.classes) == (None, None)


def test_underscores_do_for_hyphens():
    assert parse("--training.batch_size", "5").training.batch_size == 5


MISTAKES = [
    (
        "--training.epcohs 3",
        "unknown option --training.epcohs; did you mean --training.epochs? See toy --help",
    ),
    ("--epcohs 3", "unknown option --epcohs; did you mean --training.epochs? See toy --help"),
    ("--samles=3", "unknown option --samles; did you mean --samples? See toy --help"),
    ("--verbosity 3", "unknown option --verbosity; see toy --help"),
    ("stray", "unexpected argument 'stray'; see toy --help"),
    ("--training.epochs x", "--training.epochs is 'x', expected a valid integer; see toy --help"),
    (
        "--training.epochs 3.5",
        "--training.epochs is '3.5', expected a valid integer; see toy --help",
    ),
    ("--training.rate x", "--training.rate is 'x', expected a valid number; see toy --help"),
    (
        "--training.milestones 1 x",
        "--training.milestones[1] is 'x', expected a valid integer; see toy --help",
    ),
    ("--training.mean 1 2", "--training.mean: expected 3 arguments; see toy --help"),
    (
        "--training.epochs 0",
        "--training.epochs is 0, expected greater than or equal to 1; see toy --help",
    ),
    ("--training.rate nan", "--training.rate is nan, expected greater than 0; see toy --help"),
    (
        "--training.batch-size 0",
        "--training.batch-size is 0, expected greater than or equal to 1; see toy --help",
    ),
    ("--samples 0", "--samples is 0, expected greater than or equal to 1; see toy --help"),
    (
        "--backend tirch",
        "--backend is 'tirch', expected 'torch' or 'lava'; did you mean 'torch'? See toy --help",
    ),
    ("--backend nest", "--backend is 'nest', expected 'torch' or 'lava'; see toy --help"),
    ("--out", "--out: expected one argument; see toy --help"),
    ("--config", "--config: expected one argument; see toy --help"),
    ("--no-resum", "unknown option --no-resum; did you mean --no-resume? See toy --help"),
    (
        "--training.no-flp",
        "unknown option --training.no-flp; did you mean --training.no-flip? See toy --help",
    ),
    (
        "--training.flip False",
        "unexpected argument 'False'; a switch takes no value, write --X or --no-X; see toy --help",
    ),
    (
        "--training.flip=no",
        "--training.flip/--training.no-flip: expected no value, got 'no'; see toy --help",
    ),
]


@pytest.mark.parametrize(("arguments", "text"), MISTAKES)
def test_mistakes_on_the_command_line(arguments, text):
    assert refusal(*arguments.split()) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[training]\nepcohs = 3", "unknown key training.epcohs; did you mean training.epochs?"),
        ("[trainig]\nepochs = 3", "unknown key trainig; did you mean training?"),
        ("epochs = 3", "unknown key epochs; did you mean training.epochs?"),
        ("[run]\nfoo = 3", "unknown key run.foo; expected one of backend, samples"),
        ("[training]\nrate = -1", "training.rate is -1, expected greater than 0"),
        ("[training]\nepochs = 3.5", "training.epochs is 3.5, expected a valid integer"),
        ("[training]\nepochs = '3'", "training.epochs is '3', expected a valid integer"),
        (
            "[training]\nmilestones = [1, 'x']",
            "training.milestones[1] is 'x', expected a valid integer",
        ),
        (
            "[run]\nbackend = 'tirch'",
            "run.backend is 'tirch', expected 'torch' or 'lava'; did you mean 'torch'?",
        ),
        ("[run]\nbackend = 'nest'", "run.backend is 'nest', expected 'torch' or 'lava'"),
        ("training = 3", "training is 3, expected a table"),
        (
            "[training]\nrate = -1\nepochs = 0",
            "training.epochs is 0, expected greater than or equal to 1 (and 1 more)",
        ),
        (
            "[training\n",
            "not valid TOML: Expected ']' at the end of a table declaration (at line 1, column 10)",
        ),
    ],
)
def test_mistakes_in_the_file(tmp_path, text, message):
    assert toml_refusal(tmp_path, text) == message


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "default.toml").write_bytes(b"\xff\xfe")
    missing = tmp_path / "defualt.toml"
    assert (
        refusal("--config", str(missing))
        == f"{missing}: no such file; did you mean {tmp_path / 'default.toml'}?"
    )
    assert "byte 0 is not UTF-8" in refusal("--config", str(tmp_path / "default.toml"))
    assert refusal("--config", str(tmp_path)) == f"{tmp_path}: a folder, expected a file"


def test_help_shows_examples_flags_descriptions_defaults_and_choices(tmp_path, capsys):
    file = toml(tmp_path, "[training]\nepochs = 77\n")
    with pytest.raises(SystemExit) as stop:
        parse(file, "--help")
    assert not stop.value.code
    shown = " ".join(capsys.readouterr().out.split())
    for text in (
        "usage: toy",
        "examples: toy -h",
        "--training.epochs INT passes over the data (default: 77)",
        "--training.mean NUMBER NUMBER NUMBER subtracted (default: 0.5 0.5 0.5)",
        "--training.classes [TEXT ...] classes to use",
        "--backend {torch,lava} the simulator (default: torch)",
        "--samples INT how many images",
        "--resume, --no-resume continue an earlier run (default: off)",
        "--training.flip, --training.no-flip mirror images (default: on)",
    ):
        assert text in shown


def test_required_and_positional_arguments():
    def parse_explain(*arguments: str) -> Explain:
        return parse_command(Explain, arguments, prog="explain", description="Explain.")

    expected = Explain(raster=Path("a.h5"), out=Path("b.h5"))
    assert (
        parse_explain("a.h5", "--out", "b.h5") == parse_explain("--out", "b.h5", "a.h5") == expected
    )
    with pytest.raises(
        InputError, match=r"^missing RASTER \(raster file\) \(and 1 more\); see explain --help$"
    ):
        parse_explain()
    with pytest.raises(
        InputError, match=r"^missing --out \(file for the maps\); see explain --help$"
    ):
        parse_explain("a.h5")
    with pytest.raises(
        InputError, match=r"^unknown option --ot; did you mean --out\? See explain --help$"
    ):
        parse_explain("a.h5", "--ot", "b.h5")


class Compare(Section):
    rasters: Positional[tuple[Path, ...]] = Field(min_length=1, description="raster files")
    seed: int = Field(0, description="seed")


def test_several_positional_arguments(capsys):
    def parse_compare(*arguments: str) -> Compare:
        return parse_command(Compare, arguments, prog="compare", description="Compare.")

    two = Compare(rasters=(Path("a.h5"), Path("b.h5")), seed=1)
    assert (
        parse_compare("a.h5", "b.h5", "--seed", "1")
        == parse_compare("--seed", "1", "a.h5", "b.h5")
        == two
    )
    assert parse_compare("a.h5", "--seed", "1", "b.h5") == two
    with pytest.raises(InputError, match=r"^missing RASTERS \(raster files\); see compare --help$"):
        parse_compare("--seed", "1")
    with pytest.raises(SystemExit):
        parse_compare("--help")
    assert "usage: compare RASTERS ... [options]" in capsys.readouterr().out
