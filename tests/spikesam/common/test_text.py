"""Texts of unknown origin as they are shown, and errors in the words of Python."""

import io
import os
import pickle
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from spikesam.common.console import PlainConsole
from spikesam.common.errors import OVERWRITE, InputError, at, finding
from spikesam.common.parsing import parse_json
from spikesam.common.progress import progress_bar
from spikesam.common.text import LONGEST_MESSAGE, printable, shell_command, told_apart
from spikesam.recordings.errors import RasterError
from spikesam.recordings.file_format import open_recording


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("goldfish, Carassius auratus", "goldfish, Carassius auratus"),
        ("γ = 0.5 · 猫 ✓", "γ = 0.5 · 猫 ✓"),
        ("\x1b[31mred\x1b[0m\x07", "?[31mred?[0m?"),
        ("two\nlines\tand\r\u2028a third", "two lines and  a third"),
        ("caf\udce9.png", "caf?.png"),  # Latin-1 in a file's name, as Python passes it on
        ("\u202eevil\u2066", "?evil?"),
        ("a\x00b", "a?b"),
        ("", ""),
        (7, "7"),
    ],
)
def test_printable(text, shown):
    assert printable(text) == shown


WORDS = st.text("ab ;$()'\"\\`*?!&|<>~#=-\u732b", max_size=20)


@given(st.lists(WORDS, min_size=1, max_size=4))
def test_a_printed_command_gives_its_words_back(words):
    assert shlex.split(shell_command(*words)) == words
    assert printable(shell_command(*words)) == shell_command(*words)


@pytest.mark.skipif(not Path("/bin/bash").exists(), reason="asks bash")
def test_bash_reads_what_no_line_shows():
    words = ["a\x1b[31m'b\\", "two\nlines", "caf\udce9 $(id)", "\u202eevil"]
    command = shell_command("printf", "%s\\0", *words)
    printed = subprocess.run(["/bin/bash", "-c", command], capture_output=True, check=True).stdout
    assert command.isprintable()
    assert printed == b"".join(os.fsencode(word) + b"\0" for word in words)


@pytest.mark.parametrize("word", ["x" * 5000, "'" * 5000, "\x1b" * 5000, "';$(id)" * 700])
def test_what_is_too_long_for_a_command_stays_one_word(word):
    command = shell_command("spikesam", "run", "--checkpoint", word, "--data", word)
    words = shlex.split(command)
    assert [len(words), words[::2]] == [6, ["spikesam", "--checkpoint", "--data"]]
    assert len(command) < LONGEST_MESSAGE


@pytest.mark.parametrize(("length", "shown"), [(8, "abcdefgh"), (9, "abcd…ghi"), (26, "abcd…xyz")])
def test_what_is_too_long_loses_its_middle(length, shown):
    assert printable("abcdefghijklmnopqrstuvwxyz"[:length], max_length=8) == shown
    assert printable("x" * 57_000_000 + "y", max_length=7) == "xxx…xxy"  # at once


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["cat", "dog"], ["cat", "dog"]),
        (["crane", "dog", "crane"], ["crane (0)", "dog", "crane (2)"]),
        (["crane (2)", "crane", "crane"], ["crane (2) (0)", "crane (1)", "crane (2)"]),
        (["a\x1b", "a\x07", "a?"], ["a? (0)", "a? (1)", "a? (2)"]),
        (["", ""], [" (0)", " (1)"]),
    ],
)
def test_names_that_look_alike_get_their_number(names, shown):
    assert told_apart(names) == shown


def test_long_names_that_look_alike_once_they_are_cut():
    shown = [
        printable(name, 80)
        for name in told_apart("x" * 100 + middle + "x" * 100 for middle in "abc")
    ]
    assert len(set(shown)) == 3
    assert shown[2].endswith(" (2)")


def test_a_console_shows_texts_as_they_are():
    console = PlainConsole(file=io.StringIO(), width=60)
    console.print("[red]a[/red] :cat: \x1b[31mb")
    table = Table("[bold]name")
    table.add_row("[link=x]c \udcff")
    console.print(table)
    shown = console.file.getvalue()
    assert "[red]a[/red] :cat: ?[31mb\n" in shown
    assert "[bold]name" in shown
    assert "[link=x]c ?" in shown
    assert "\x1b" not in shown


def test_nothing_gets_round_a_console():
    console = PlainConsole(file=io.StringIO(), width=120, force_terminal=True, color_system=None)
    console.print(Path("a\x1b[2J"), Text("b\x07"), ["c\u202e"], sep="\n")
    with progress_bar(console) as bar:
        bar.add_task("d\x1b]0;title\x07", total=1)
        bar.refresh()
    shown = console.file.getvalue()
    assert "a?[2J\nb\n['c\\u202e']\n" in shown  # of Text, rich drops the bell by itself
    assert "d?]0;titl" in shown
    assert "\x1b[2J" not in shown and "\x1b]0" not in shown and "\x07" not in shown


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not valid JSON: Expecting property name"),
        ("[" * 100_000, "nested deeper than 32"),
        ('{"a":' * 33 + "1" + "}" * 33, "nested deeper than 32"),
        ("[1, NaN]", "got NaN, expected a finite number"),
        ("-Infinity", "got -Infinity"),
        ("9" * 5000, "not valid JSON: Exceeds the limit"),
        (b"\xff\xfe", "not valid JSON"),
        ("x" * 57_000, "not valid JSON"),
        ("[0" + ",0" * 2**20, r"holds 1,048,577 commas, colons and brackets, expected at most 1,0"),
        (b"[" + b"{}," * 2**19 + b"0]", r"holds 1,048,577 commas, colons and brackets, expected"),
        (
            "{" + ",".join(f'"{number}":0' for number in range(8193)) + "}",
            "an object has 8,193 keys, expected at most 8,192",
        ),
    ],
)
def test_what_is_not_json_is_one_line(text, reason):
    with pytest.raises(InputError, match=reason) as error:
        parse_json(text)
    assert len(str(error.value)) < 250
    assert "\n" not in str(error.value)
    text = '{"a": [1, 2.5, null], "b": ' + "[" * 31 + "]" * 31 + "}"
    assert parse_json(text)["a"] == [1, 2.5, None]


def test_an_error_is_one_line_that_can_be_printed_whatever_it_is_about():
    error = InputError("got \x1b]0;title\x07\n, expected a name " + "x" * 57_000)
    assert str(error).startswith("got ?]0;title? , expected a name xxx")
    assert len(str(error)) == 900


@pytest.mark.parametrize("name", ["x" * 57_000, "\x1b[31m\n", "caf\udce9", "a\0b", "[red]", ""])
def test_a_name_that_is_no_raster_is_one_line(name):
    with pytest.raises(InputError) as error:
        open_recording(name)
    assert str(error.value).isprintable() and len(str(error.value)) < 1000


def test_advice_names_arguments_as_python_writes_them() -> None:
    error = RasterError("c.h5: already exists", OVERWRITE)
    assert (
        str(error) == "c.h5: already exists; choose another out, or replace it with overwrite=True"
    )
    assert error.finding == "c.h5: already exists"
    assert (
        str(InputError("got 'x', expected 1", argument="samples")) == "samples: got 'x', expected 1"
    )
    assert str(InputError("no labels", "; {data is} {files}", files="a/*")).endswith("data is a/*")


def test_a_command_puts_its_own_words_in_place_of_arguments() -> None:
    error = InputError("x: 100 % {out}", "; go on with {resume=True}, {files}", files="{a}")
    assert error.worded(lambda argument: f"<{argument}>") == (
        "x: 100 % {out}; go on with <resume=True>, {a}"
    )


def test_places_are_added_on_the_way_up() -> None:
    with pytest.raises(RasterError) as refusal, at("a.h5"), at("layer 'conv1'"):
        raise RasterError("got 3 channels, expected 2", OVERWRITE, argument="raster")
    assert str(refusal.value) == (
        "raster: a.h5: layer 'conv1': got 3 channels, expected 2; choose another out, "
        "or replace it with overwrite=True"
    )


def test_an_error_stays_what_it_is_on_its_way_from_another_process() -> None:
    error = pickle.loads(pickle.dumps(RasterError("x", OVERWRITE, argument="data", out="f")))
    assert isinstance(error, RasterError)
    assert vars(error) == {
        "finding": "x",
        "advice": OVERWRITE,
        "argument": "data",
        "details": {"out": "f"},
    }


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (InputError("a  b: wrong", "; go on with {resume=True}"), "a  b: wrong"),
        (OSError(28, "No space left on device", "x.h5"), "x.h5: No space left on device"),
        (OSError("unable to open file"), "unable to open file"),
        (RuntimeError("first\nsecond"), "first second"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
    ],
)
def test_a_finding_is_told_without_advice(error: Exception, found: str) -> None:
    assert finding(error) == found
