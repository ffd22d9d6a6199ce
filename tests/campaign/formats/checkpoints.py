"""Checkpoints: loaded, and compared weight by weight and text by text."""

import contextlib
import json
from pathlib import Path
from random import Random
from typing import Any

import spikesam
from tests.campaign.forge import forge_safetensors
from tests.campaign.formats.base import Content, Format, sha
from tests.campaign.hostile import TEXTS, number
from tests.layers import two_layers

CLASSES = ("apple", "pear")


def small_checkpoint() -> spikesam.Checkpoint:
    """A checkpoint of two layers for RGB images of 8×6 pixels."""
    prepare = spikesam.Preprocessing(8, 6, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    return spikesam.Checkpoint(two_layers(6, "poisson"), prepare, CLASSES, ("Apple", "Pear"))


def checkpoints(base: Path) -> list[Path]:
    """One for images, one for spikes."""
    spikesam.save(small_checkpoint(), base / "images.safetensors")
    spikes = spikesam.Checkpoint(two_layers(2, "spikes"), None, CLASSES, CLASSES)
    spikesam.save(spikes, base / "spikes.safetensors")
    return [base / "images.safetensors", base / "spikes.safetensors"]


def read(path: Path) -> Content:
    """Everything that a checkpoint says."""
    found = spikesam.load(path)
    graph, tensors = found.network.to_graph()
    content = {
        "network_sha256": found.network.sha256,
        "graph": sha(json.dumps(graph, sort_keys=True)),
    }
    content |= {f"tensor {name}"[:80]: sha(tensor) for name, tensor in tensors.items()}
    content |= {"preprocessing": repr(found.preprocessing)}
    return content | {"classes": sha(found.classes), "class names": sha(found.class_names)}


def edit(random: Random, path: Path) -> tuple[str, bool]:
    """An edit of the JSON, half of them with a new digest."""
    data, done = edit_header(random, path.read_bytes())
    forged = random.random() < 0.5
    with contextlib.suppress(
        ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError
    ):
        data = forge_safetensors(data) if forged else data
    path.write_bytes(data)
    return done + "; with a digest of that" * forged, forged


def edit_header(random: Random, data: bytes) -> tuple[bytes, str]:
    """Change one thing in the JSON header of safetensors, or in the JSON that it holds as text."""
    size = int.from_bytes(data[:8], "little")
    header, rest = json.loads(data[8 : 8 + size]), data[8 + size :]
    about = header["__metadata__"]
    key = random.choice([name for name in sorted(about) if about[name][:1] in "{["] + [""])
    if key:
        inner = json.loads(about[key])
        done = f"{key}: {edit_json(random, inner)}"
        about[key] = json.dumps(inner)
        if random.random() < 0.1:
            about[key] = random.choice(
                ("{}", "[]", "null", "[" * 100000, about[key][:-1], "1" * 5000, *TEXTS)
            )
            done = f"{key} is {about[key]!r:.60}"
    else:
        done = edit_json(random, header)
    raw = json.dumps(header).encode()
    length = len(raw)
    if random.random() < 0.1:
        length = random.choice((0, 1, len(raw) - 1, 1 << 20, 1 << 40, (1 << 64) - 1))
    return length.to_bytes(8, "little") + raw + rest, done


def edit_json(random: Random, value: Any) -> str:
    """Change one value somewhere inside, in place."""
    trail = []
    while True:
        key = random.choice(list(value) if isinstance(value, dict) else range(len(value)))
        trail.append(str(key)[:30])
        old = value[key]
        if not (isinstance(old, (dict, list)) and old) or random.random() < 0.1:
            break
        value = old
    where = ".".join(trail)
    if isinstance(value, dict) and random.random() < 0.2:
        del value[key]
        return f"{where} deleted"
    odd = (
        None,
        True,
        0,
        -1,
        1 << 62,
        10**400,
        1.5,
        float("nan"),
        float("inf"),
        random.choice(TEXTS),
        [],
        {},
        [[[]]],
    )
    new: Any = random.choice(odd)
    if random.random() < 0.6:
        if isinstance(old, (int, float)):
            new = random.choice(
                (old + 1, -old, old * 2, float(number(random, "f8")), int(number(random, "i8")))
            )
        elif isinstance(old, str):
            new = random.choice((old + "x", old[::-1], old.upper(), *TEXTS))
        elif isinstance(old, list):
            new = random.choice((old[::-1], old * 2, old[:-1], old * 100000))
    value[key] = new
    return f"{where} = {new!r:.60}"


CHECKPOINTS = Format(checkpoints, read, edit, damaged=0.6)
