"""Checkpoints: loaded, and compared weight by weight and text by text."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from random import Random
from typing import Any

from .damage import damage
from .forge import forge_safetensors
from .hostile import TEXTS, number, text
from .rasters import sha
from .subject import Content, FileSubject


class Checkpoints(FileSubject):
    """Damaged and edited safetensors."""

    name = "checkpoints"
    weight = 4.0
    modules = ("pipeline.networks.checkpoint", "spikesam")

    def originals(self, base: Path) -> list[Path]:
        """See :class:`FileSubject`."""
        import spikesam
        from tests.campaign.materials import CLASSES, small_checkpoint, small_network

        spikesam.save(small_checkpoint(), base / "images.safetensors")
        spikes = spikesam.Checkpoint(small_network("spikes", channels=2), None, CLASSES, CLASSES)
        spikesam.save(spikes, base / "spikes.safetensors")
        return [base / "images.safetensors", base / "spikes.safetensors"]

    def read(self, path: Path) -> Content:
        """See :class:`FileSubject`."""
        import spikesam

        found = spikesam.load(path)
        graph, tensors = found.network.to_graph()
        content = {"network_sha256": found.network.sha256, "graph": sha(json.dumps(graph, sort_keys=True))}
        content |= {f"tensor {name}"[:80]: sha(tensor) for name, tensor in tensors.items()}
        return content | {
            "preprocessing": repr(found.preprocessing),
            "classes": sha(found.classes),
            "class names": sha(found.class_names),
        }

    def mutate(self, path: Path, random: Random, number: int, other: bytes) -> tuple[str, bool]:
        """See :class:`FileSubject`."""
        if random.random() < 0.6:
            data, done = damage(random, path.read_bytes(), other)
            path.write_bytes(data)
            return done, False
        data, done = edit_header(random, path.read_bytes())
        forged = random.random() < 0.5
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            data = forge_safetensors(data) if forged else data
        path.write_bytes(data)
        return done + "; with a digest of that" * forged, forged


def edit_header(random: Random, data: bytes) -> tuple[bytes, str]:
    """Change one thing in the JSON header of safetensors, or in the JSON that it holds as text."""
    size = int.from_bytes(data[:8], "little")
    header, rest = json.loads(data[8 : 8 + size]), data[8 + size :]
    about = header["__metadata__"]
    key = random.choice([name for name in about if about[name][:1] in "{["] + [""])
    if key:
        inner = json.loads(about[key])
        done = f"{key}: {edit_json(random, inner)}"
        about[key] = json.dumps(inner)
        if random.random() < 0.1:
            about[key] = random.choice(("{}", "[]", "null", "[" * 100000, about[key][:-1], "1" * 5000, *TEXTS))
            done = f"{key} is {about[key]!r:.60}"
    else:
        done = edit_json(random, header)
    raw = json.dumps(header).encode()
    length = len(raw) if random.random() < 0.9 else random.choice((0, 1, len(raw) - 1, 1 << 20, 1 << 40, (1 << 64) - 1))
    return length.to_bytes(8, "little") + raw + rest, done


def edit_json(random: Random, value: Any) -> str:
    """Change one value somewhere inside, in place."""
    trail = []
    while True:
        key = random.choice(list(value) if isinstance(value, dict) else range(len(value)))
        trail.append(str(key)[:30])
        if not (isinstance(value[key], (dict, list)) and value[key]) or random.random() < 0.1:
            break
        value = value[key]
    old = value[key]
    where = ".".join(trail)
    if isinstance(value, dict) and random.random() < 0.2:
        del value[key]
        return f"{where} deleted"
    new: Any = random.choice(
        (None, True, 0, -1, 1 << 62, 10**400, 1.5, float("nan"), float("inf"), text(random), [], {}, [[[]]])
    )
    if isinstance(old, (int, float)) and random.random() < 0.6:
        new = random.choice((old + 1, -old, old * 2, float(number(random, "f8")), int(number(random, "i8"))))
    elif isinstance(old, str) and random.random() < 0.6:
        new = random.choice((old + "x", old[::-1], old.upper(), text(random)))
    elif isinstance(old, list) and random.random() < 0.6:
        new = random.choice((old[::-1], old * 2, old[:-1], old * 100000))
    value[key] = new
    return f"{where} = {new!r:.60}"
