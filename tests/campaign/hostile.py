"""Texts and numbers that programs stumble over."""

from random import Random
from typing import Any

import numpy as np

TEXTS = (
    *(
        "",
        " ",
        "x",
        "conv1",
        "../../etc/passwd",
        "/dev/zero",
        "con",
        "-",
        "--help",
        "~",
        "$HOME",
        "%s%n",
        "a/b",
    ),
    *(
        "a\\b",
        "\0",
        "a\0b",
        "\n",
        "line\nline",
        "\r\n",
        "\t",
        "\x1b[2J\x1b[31mred",
        "\x1b]0;title\x07",
        "\x9b2J",
    ),
    *(
        "\u202egnp.",
        "\ufeff",
        r"$\frac{$x",
        "$",
        "$$",
        r"\undefined{x}",
        "_^",
        "<script>alert(1)</script>",
        "<b>&amp;",
    ),
    *(
        "{{7*7}}",
        "|*`_[x](y)",
        "[red]x[/red]",
        "[/]",
        "[",
        "ü",
        "漢字",
        "e\u0301",
        "🧠",
        "\ud800",
        "NaN",
        "Infinity",
    ),
    *(
        "null",
        "true",
        "0",
        "-1",
        "1e400",
        "0x10",
        "9" * 30,
        "9" * 5000,
        "x" * 300,
        "x" * 57000,
        "[" * 5000,
    ),
    *("{" * 5000, '{"a":' * 2000, "\u2028", "a" + "\u0300" * 500),
)
PRINTABLE = [text for text in TEXTS if text and "\0" not in text and "\ud800" not in text]


def number(random: Random, dtype: Any) -> Any:
    """A value of a dtype: an extreme one, or any."""
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
        wanted = random.choice(
            (0, 1, 2, -1, 255, low, high, high - 1, random.randrange(100), 1 << 30, 1 << 40)
        )
        return dtype.type(min(max(wanted, low), high))
    if dtype.kind == "f":
        infinity, nan = float("inf"), float("nan")
        return dtype.type(
            random.choice((0, -0.0, 1, -1, nan, infinity, -infinity, 1e-45, 1e38, 0.3))
        )
    return np.bool_(random.random() < 0.5) if dtype.kind == "b" else np.zeros((), dtype)[()]
