"""Configurations in TOML: read, validated and resolved; they hold no digests."""

from pathlib import Path
from random import Random

from spikesam.pipeline.config import CONFIGS as FOLDER
from spikesam.pipeline.config import load_config, resolved
from tests.campaign.formats.base import Content, Format
from tests.campaign.hostile import TEXTS


def configs(base: Path) -> list[Path]:
    """Three that come with the project."""
    for name in ("cluttered_digits.toml", "saccade_digits.toml", "vgg11.toml"):
        (base / name).write_bytes((FOLDER / name).read_bytes())
    return sorted(base.glob("*.toml"))


def read(path: Path) -> Content:
    """What a configuration says, with what it leaves out."""
    return {"config": repr(resolved(load_config(path)))}


def edit(random: Random, path: Path) -> tuple[str, bool]:
    """Another value for a key, another key, another table."""
    lines = path.read_text().splitlines()
    place = random.choice(
        [number for number, line in enumerate(lines) if "=" in line and not line.startswith("#")]
    )
    key = lines[place].partition("=")[0].strip()
    depth = random.choice((3, 500, 100000, 400000))
    odd = random.choice(TEXTS)
    quoted = (
        '"'
        + "".join(c if c.isprintable() and c not in '"\\' else f"\\u{ord(c):04x}" for c in odd)
        + '"'
    )
    values = (
        *(
            "true",
            "-1",
            "0",
            "1e400",
            "nan",
            "inf",
            "-inf",
            "9" * 30,
            "9" * 5000,
            "1979-05-27T07:32:00Z",
            "07:32:00",
        ),
        *(
            "{}",
            "[" * depth + "]" * depth,
            "{a=" * depth + "1" + "}" * depth,
            quoted,
            quoted,
            "[]",
            "Infinity",
        ),
        *(
            "'''" + "x" * 100000 + "'''",
            "0x7fffffffffffffff",
            "[1, 'a', 2.5]",
            "1_000",
            "[nan, 1, 2]",
            "''",
            "5",
        ),
        *('"/dev/zero"', '"/proc/self/mem"', "[3, 'P']", "['P999']", "['D0']"),
    )
    value = random.choice(values)
    what = random.choice(("value", "value", "value", "value", "key", "table", "double"))
    if what == "value":
        lines[place] = f"{key} = {value}"
    elif what == "key":
        lines[place] = (
            f"{random.choice((key + 'x', quoted, key[:-1], key.upper(), 'a.' * depth + 'a'))} = "
            f"{value}"
        )
    elif what == "table":
        tables = ("[unknown]", "[[run]]", "[run.checkpoint]", "[" + "a." * depth + "a]", "[paper]")
        lines.insert(place, random.choice(tables))
    else:
        lines.insert(place, lines[place])
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    return f"line {place + 1}: {lines[place]!r:.80}", False


CONFIGS = Format(configs, read, edit, damaged=0.4, checksummed=False)
