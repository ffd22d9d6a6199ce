"""Configurations in TOML: read, validated and resolved."""

from __future__ import annotations

from pathlib import Path
from random import Random

from .damage import damage
from .hostile import text
from .subject import Content, FileSubject


class Configs(FileSubject):
    """Damaged and hostile TOML; it holds no digests."""

    name = "toml"
    weight = 1.5
    modules = ("paper.common.settings",)
    checksummed = False

    def originals(self, base: Path) -> list[Path]:
        """See :class:`FileSubject`."""
        from pipeline.config import CONFIGS

        paths = []
        for path in (CONFIGS / "cluttered_digits.toml", CONFIGS / "vgg11.toml", CONFIGS / "paper" / "digits.toml"):
            paths.append(base / path.name)
            paths[-1].write_bytes(path.read_bytes())
        return paths

    def read(self, path: Path) -> Content:
        """See :class:`FileSubject`."""
        from paper.common.settings import load_paper_config
        from pipeline.config import load_config, resolved

        config = load_paper_config(path) if b"[paper]" in path.read_bytes() else load_config(path)
        return {"config": repr(resolved(config))}

    def mutate(self, path: Path, random: Random, number: int, other: bytes) -> tuple[str, bool]:
        """See :class:`FileSubject`."""
        data = path.read_bytes()
        if random.random() < 0.4:
            data, done = damage(random, data, other)
        else:
            data, done = edit_line(random, data.decode())
        path.write_bytes(data)
        return done, False


def edit_line(random: Random, content: str) -> tuple[bytes, str]:
    """Another value for a key, another key, or another table."""
    lines = content.splitlines()
    place = random.choice([number for number, line in enumerate(lines) if "=" in line and not line.startswith("#")])
    key = lines[place].partition("=")[0].strip()
    depth = random.choice((3, 500, 100000, 400000))
    quoted = '"' + "".join(c if c.isprintable() and c not in '"\\' else f"\\u{ord(c):04x}" for c in text(random)) + '"'
    value = random.choice(
        (
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
                "{}",
            ),
            *(
                "[" * depth + "]" * depth,
                "{a=" * depth + "1" + "}" * depth,
                quoted,
                quoted,
                "'''" + "x" * 100000 + "'''",
                "[]",
                "0x7fffffffffffffff",
            ),
            *(
                "Infinity",
                "[1, 'a', 2.5]",
                "1_000",
                "[nan, 1, 2]",
                "''",
                '"/dev/zero"',
                '"/proc/self/mem"',
                "5",
                "[3, 'P']",
                "['P999']",
                "['D0']",
            ),
        )
    )
    what = random.choice(("value", "value", "value", "value", "key", "table", "double"))
    if what == "value":
        lines[place] = f"{key} = {value}"
    elif what == "key":
        lines[place] = f"{random.choice((key + 'x', quoted, key[:-1], key.upper(), 'a.' * depth + 'a'))} = {value}"
    elif what == "table":
        lines.insert(
            place, random.choice(("[unknown]", "[[run]]", "[run.checkpoint]", "[" + "a." * depth + "a]", "[paper]"))
        )
    else:
        lines.insert(place, lines[place])
    return "\n".join(lines).encode("utf-8", "surrogatepass"), f"line {place + 1}: {lines[place]!r:.80}"
