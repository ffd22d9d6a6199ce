"""Edits of an HDF5 file through h5py: each leaves a file that HDF5 itself finds in order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np

from .hostile import number, text

Edit = Callable[[Random, h5py.File], str]
HUGE = (1 << 20, 1 << 24, 1 << 30, 1 << 40, (1 << 62) - 1)


def edit(path: Path, random: Random, edits: tuple[Edit, ...] = ()) -> str:
    """Apply one edit that is possible here, seldom two; says what was done."""
    done: list[str] = []
    wanted = random.choice((1, 1, 1, 1, 2))
    for _ in range(50):
        with h5py.File(path, "r+") as file:
            try:
                done.append(random.choice(edits or EDITS)(random, file))
            except (ValueError, TypeError, KeyError, OSError, RuntimeError, OverflowError, IndexError, AttributeError):
                continue  # h5py refuses it
        if len(done) == wanted:
            break
    return "; ".join(done)


def paths(file: h5py.File, kind: Any = (h5py.Group, h5py.Dataset)) -> list[str]:
    """Every object of a kind below the root."""
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, kind) else None)
    return found


def _owner(random: Random, file: h5py.File) -> tuple[str, str]:
    """An object and one of its attributes."""
    owners = [path for path in ("/", *paths(file)) if len(file[path].attrs)]
    owner = random.choice((*owners, "/"))
    return owner, random.choice(sorted(file[owner].attrs))


def _dataset(random: Random, file: h5py.File) -> str:
    return random.choice(paths(file, h5py.Dataset))


def attribute_value(random: Random, file: h5py.File) -> str:
    """Another value of the same type."""
    owner, name = _owner(random, file)
    old = file[owner].attrs[name]
    new: Any
    if isinstance(old, str):
        new = random.choice((text(random), old + "x", old[:-1], old[:1].swapcase() + old[1:]))
    elif isinstance(old, np.ndarray):
        new = old.copy()
        new.flat[random.randrange(new.size)] = number(random, new.dtype)
    else:
        dtype = np.asarray(old).dtype
        new = np.asarray(
            not old if dtype == np.bool_ else random.choice((number(random, dtype), old + dtype.type(1))), dtype
        )[()]
    if isinstance(new, str) or (hasattr(new, "dtype") and new.dtype != np.bool_ and np.ndim(new)):
        file[owner].attrs[name] = new
    else:
        file[owner].attrs.modify(name, new)
    return f"{owner}@{name} = {file[owner].attrs[name]!r:.60}"


def attribute_type(random: Random, file: h5py.File) -> str:
    """A value of another type or shape."""
    owner, name = _owner(random, file)
    old = file[owner].attrs[name]
    values: tuple[Any, ...] = (
        *(
            np.int32(1),
            np.uint64(1),
            np.float32(0.5),
            np.float16(0.5),
            np.int8(-1),
            np.True_,
            np.complex128(1j),
            h5py.Empty("f8"),
        ),
        *(
            np.bytes_(b"x" * random.choice((1, 8, 4096))),
            np.arange(3),
            np.zeros((2, 2)),
            np.array([], np.int64),
            "text",
        ),
        *(np.void(b"opaque"), np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]), file.ref, np.array(["a", "b"], object)),
        *(
            np.asarray(old).astype(np.asarray(old).dtype.newbyteorder()),
            np.asarray([old]),
            np.bytes_(str(old).encode()[:60000]),
        ),
    )
    value = random.choice(values)
    dtype = h5py.ref_dtype if isinstance(value, h5py.Reference) else None
    dtype = h5py.string_dtype() if isinstance(value, np.ndarray) and value.dtype == object else dtype
    file[owner].attrs.create(name, value, dtype=dtype)
    return f"{owner}@{name} is of another type, {value!r:.60}"


def attribute_odd_text(random: Random, file: h5py.File) -> str:
    """Text that is not UTF-8, in ASCII's clothing, padded in other ways, or an array of texts."""
    owner, name = _owner(random, file)
    content = random.choice((b"\xff\xfe", b"a\0b", b"\xed\xa0\x80", str(file[owner].attrs[name]).encode()))[:1000]
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(random.choice((len(content) + 1, 8192, h5py.h5t.VARIABLE)) if random.random() < 0.7 else 1 << 15)
    kind.set_cset(random.choice((h5py.h5t.CSET_ASCII, h5py.h5t.CSET_UTF8)))
    kind.set_strpad(random.choice((h5py.h5t.STR_NULLTERM, h5py.h5t.STR_NULLPAD, h5py.h5t.STR_SPACEPAD)))
    del file[owner].attrs[name]
    made = h5py.h5a.create(file[owner].id, name.encode(), kind, h5py.h5s.create(h5py.h5s.SCALAR))
    if not kind.is_variable_str():
        made.write(np.array(content, f"S{kind.get_size()}"), kind)
    return f"{owner}@{name} is odd text {content!r:.40}, {kind.get_size()} bytes"


def attribute_gone(random: Random, file: h5py.File) -> str:
    """It is missing."""
    owner, name = _owner(random, file)
    del file[owner].attrs[name]
    return f"{owner}@{name} deleted"


def attribute_more(random: Random, file: h5py.File) -> str:
    """One that the format does not know, or two thousand, which HDF5 stores in another way."""
    owner, _ = _owner(random, file)
    count = random.choice((1, 1, 10, 2000))
    for extra in range(count):
        file[owner].attrs[f"more{extra}"] = random.choice((1, "x" * 100))
    return f"{count} more attributes at {owner}"


def values(random: Random, file: h5py.File) -> str:
    """One element of a dataset."""
    path = _dataset(random, file)
    dataset = file[path]
    at = tuple(random.randrange(side) for side in dataset.shape)
    old = dataset[at]
    new: Any = number(random, dataset.dtype) if dataset.dtype.kind != "S" else bytes([*old[:-1], 48 + old[-1] % 8])
    dataset[at] = new
    return f"{path}{list(at)} = {new!r:.40}"


def many_values(random: Random, file: h5py.File) -> str:
    """All elements of a dataset, in another order or of another size."""
    path = _dataset(random, file)
    content = file[path][...]
    if random.random() < 0.5:
        file[path][...] = np.roll(content, random.randrange(1, content.size + 1)).reshape(content.shape)
        return f"{path} rolled"
    file[path][...] = content[::-1]
    return f"{path} reversed"


def _again(file: h5py.File, path: str, content: Any, **options: Any) -> None:
    """Replace a dataset, keeping its attributes and, unless changed, how it is stored."""
    old = file[path]
    attributes = dict(old.attrs)
    keep = {"chunks": old.chunks, "compression": old.compression, "fletcher32": old.fletcher32, "dtype": old.dtype}
    del file[path]
    if content is not None:
        keep["data"] = content
    made = file.create_dataset(path, **{**keep, **options})
    made.attrs.update(attributes)


def dataset_type(random: Random, file: h5py.File) -> str:
    """Another dtype."""
    path = _dataset(random, file)
    old = file[path]
    enum = h5py.enum_dtype({"a": 0, "b": 1}, "u1")
    kinds: tuple[Any, ...] = (
        "i1",
        "u1",
        "i2",
        "i4",
        "u4",
        "i8",
        ">i4",
        ">f4",
        "f2",
        "f4",
        "f8",
        "S64",
        "S8",
        "bool",
        "c8",
        enum,
    )
    wanted = np.dtype(random.choice((*kinds, old.dtype.newbyteorder())))
    content = np.zeros(old.shape, wanted) if "S" in (wanted.kind, old.dtype.kind) else old[...].astype(wanted)
    _again(file, path, content, dtype=wanted, compression=None, fletcher32=random.random() < 0.9)
    return f"{path} is {wanted}"


def dataset_variable(random: Random, file: h5py.File) -> str:
    """Elements of variable length, references, or records."""
    path = _dataset(random, file)
    kind = random.choice(
        (h5py.vlen_dtype("u1"), h5py.string_dtype(), h5py.ref_dtype, np.dtype([("a", "i4"), ("b", "S3")]))
    )
    _again(file, path, None, shape=file[path].shape, dtype=kind, compression=None, fletcher32=False)
    return f"{path} is {kind}"


def dataset_shape(random: Random, file: h5py.File) -> str:
    """Another shape: longer, shorter, of more or fewer axes, or so large that it could not be held."""
    path = _dataset(random, file)
    shape = list(file[path].shape)
    axis = random.randrange(len(shape))
    what = random.choice(("side", "side", "axis", "none", "scalar", "huge"))
    chunks: Any = file[path].chunks
    if what == "side":
        shape[axis] = max(1, shape[axis] + random.choice((-1, 1, 7)))
    elif what == "axis":
        shape.append(1)
        chunks = (*chunks, 1)
    elif what == "huge":
        shape[axis] = random.choice(HUGE)
        chunks = random.choice((chunks, tuple(min(side, 1 << 10) for side in shape)))
    elif what == "none":
        shape[axis] = 0
    else:
        shape, chunks = [], None
    options = {"compression": None, "fletcher32": False} if chunks is None else {}
    _again(file, path, None, shape=tuple(shape), chunks=chunks, **options)
    if 0 < file[path].size < 1 << 20 and file[path].dtype.kind != "S":
        file[path][...] = 1
    return f"{path} has shape {tuple(shape)}"


def dataset_storage(random: Random, file: h5py.File) -> str:
    """Other chunks, filters, fill values, or no chunks at all."""
    path = _dataset(random, file)
    content = file[path][...]
    sides = content.shape
    options: dict[str, Any] = random.choice(
        (
            {"chunks": None, "compression": None, "fletcher32": False},
            {"chunks": tuple(max(1, side // 2) for side in sides)},
            {"chunks": (1,) * len(sides)},
            {"compression": "lzf"},
            {"compression": "gzip", "compression_opts": 9},
            {"compression": None},
            {"fletcher32": False},
            {"shuffle": True},
            {"scaleoffset": 0, "fletcher32": False},
            {"maxshape": (None,) * len(sides)},
            {"fillvalue": content.flat[0]},
            {"track_times": True},
        )
    )
    _again(file, path, content, **options)
    return f"{path} is stored with {options}"


def dataset_hollow(random: Random, file: h5py.File) -> str:
    """No chunk is stored, or one is missing."""
    path = _dataset(random, file)
    _again(file, path, None, shape=file[path].shape, fillvalue=random.choice((None, 1)))
    return f"{path} without its chunks"


def dataset_elsewhere(random: Random, file: h5py.File) -> str:
    """Virtual or external storage."""
    path = _dataset(random, file)
    shape, dtype, attributes = file[path].shape, file[path].dtype, dict(file[path].attrs)
    del file[path]
    if random.random() < 0.5:
        layout = h5py.VirtualLayout(shape, dtype)
        layout[...] = h5py.VirtualSource(random.choice((".", "/etc/passwd", "missing.h5")), "spikes", shape)
        made = file.create_virtual_dataset(path, layout)
    else:
        made = file.create_dataset(
            path, shape, dtype, external=[(random.choice(("/etc/passwd", "/dev/zero", "x")), 0, h5py.h5f.UNLIMITED)]
        )
    made.attrs.update(attributes)
    return f"{path} is stored elsewhere"


def chunk(random: Random, file: h5py.File) -> str:
    """The stored bytes of a chunk, written directly: of another size, or with filters left out."""
    path = _dataset(random, file)
    dataset = file[path]
    offset = tuple(
        random.randrange(-(-side // step)) * step for side, step in zip(dataset.shape, dataset.chunks, strict=True)
    )
    raw = dataset.id.read_direct_chunk(offset)[1]
    new = random.choice(
        (raw[:-1], raw + b"\0", b"", bytes(len(raw)), random.randbytes(random.choice((4, 100, 5000))), raw + raw)
    )
    mask = random.choice((0, 0, 1, 2, 3, 0xFFFFFFFF))
    dataset.id.write_direct_chunk(offset, new, mask)
    return f"chunk {offset} of {path} is {len(new)} bytes instead of {len(raw)}, mask {mask:#x}"


def gone(random: Random, file: h5py.File) -> str:
    """An object is missing."""
    path = random.choice(paths(file))
    del file[path]
    return f"{path} deleted"


def more(random: Random, file: h5py.File) -> str:
    """An object that the format does not know; its name may be anything."""
    where = random.choice(("/", *paths(file, h5py.Group)))
    name = random.choice(
        ("more", "spikes ", "SPIKES", "000_x", "1", "..", "a\nb", "\x1b[2J", "ü" * 100, text(random)[:200])
    )
    made = (
        file[where].create_group(name) if random.random() < 0.5 else file[where].create_dataset(name, data=np.arange(3))
    )
    return f"{made.name!r:.80} added"


def renamed(random: Random, file: h5py.File) -> str:
    """Another name: of another layer, in another order, odd, or that of a neighbour, which gets this one's."""
    path = random.choice(paths(file))
    group, _, name = path.rpartition("/")
    parent = file[group or "/"]
    others = [other for other in parent if other != name]
    if others and random.random() < 0.6:
        other = random.choice(others)
        parent.move(name, "swapped-aside")
        parent.move(other, name)
        parent.move("swapped-aside", other)
        return f"{path} and {other} swapped"
    new = random.choice(
        (name + "x", name.upper(), "999_" + name, "001_" + name, name.replace("_", ""), "000_a", text(random)[:100])
    )
    parent.move(name, new)
    return f"{path} renamed to {new!r:.60}"


def linked(random: Random, file: h5py.File) -> str:
    """A soft or external link, or a hard link to another object: a neighbour, or what it lies in."""
    path = random.choice(paths(file))
    target = random.choice((path, *paths(file), "/"))
    kind = random.choice(("soft", "external", "hard", "hard", "type"))
    if kind == "hard":
        held = file[target]
        if target != path:
            del file[path]
        file[path] = held
    else:
        del file[path]
        links = {
            "soft": h5py.SoftLink("/" + target),
            "external": h5py.ExternalLink("/etc/passwd", "/"),
            "type": np.dtype("f8"),
        }
        file[path] = links[kind]
    return f"{path} is a {kind} link to {target}"


def kind_of_object(random: Random, file: h5py.File) -> str:
    """A group where a dataset was, or the other way round."""
    path = random.choice(paths(file))
    was_group = isinstance(file[path], h5py.Group)
    del file[path]
    if was_group:
        file[path] = np.zeros(3)
    else:
        file.create_group(path)
    return f"{path} is of the other kind"


EDITS: tuple[Edit, ...] = (
    *(
        attribute_value,
        attribute_value,
        attribute_value,
        attribute_type,
        attribute_odd_text,
        attribute_gone,
        attribute_more,
    ),
    *(values, values, many_values, dataset_type, dataset_variable, dataset_shape, dataset_storage, dataset_hollow),
    *(dataset_elsewhere, chunk, gone, more, renamed, linked, kind_of_object),
)
CONTENT_EDITS: tuple[Edit, ...] = (attribute_value, values, many_values)
