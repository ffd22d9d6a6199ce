"""Edits of an HDF5 file through h5py: each leaves a file that HDF5 itself finds in order. Each says
what it did.
"""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np

from tests.campaign.hostile import TEXTS, number

Edit = Callable[[Random, h5py.File], str]
BOTH = (h5py.Group, h5py.Dataset)
REFUSALS = (
    ValueError,
    TypeError,
    OSError,
    RuntimeError,
    OverflowError,
    LookupError,
    AttributeError,
)  # by h5py


def edit(path: Path, random: Random, edits: tuple[Edit, ...]) -> str:
    """Apply one edit that is possible here, seldom two; says what was done."""
    done: list[str] = []
    wanted = random.choice((1, 1, 1, 1, 2))
    for _ in range(20):
        with h5py.File(path, "r+") as file:
            try:
                done.append(random.choice(edits)(random, file))
            except REFUSALS:
                continue  # h5py refuses it
        if len(done) == wanted:
            break
    return "; ".join(done)


def paths(file: h5py.File, kind: Any = BOTH) -> list[str]:
    """Every object of a kind below the root."""
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, kind) else None)
    return found


def _owner(random: Random, file: h5py.File) -> tuple[str, str]:
    """An object and one of its attributes."""
    owner = random.choice(("/", *(path for path in paths(file) if len(file[path].attrs))))
    return owner, random.choice(sorted(file[owner].attrs))


def _dataset(random: Random, file: h5py.File) -> str:
    return random.choice(paths(file, h5py.Dataset))


def attribute_value(random: Random, file: h5py.File) -> str:
    """Another value of the same type."""
    owner, name = _owner(random, file)
    old = file[owner].attrs[name]
    new: Any
    if isinstance(old, str):
        file[owner].attrs[name] = random.choice(
            (*TEXTS, old + "x", old[:-1], old[:1].swapcase() + old[1:])
        )
    elif isinstance(old, np.ndarray):
        new = old.copy()
        new.flat[random.randrange(new.size)] = number(random, new.dtype)
        file[owner].attrs[name] = new
    else:
        dtype = np.asarray(old).dtype
        new = (
            not old
            if dtype == np.bool_
            else random.choice((number(random, dtype), old + dtype.type(1)))
        )
        file[owner].attrs.modify(name, np.asarray(new, dtype)[()])
    return f"{owner}@{name} = {file[owner].attrs[name]!r:.60}"


def attribute_type(random: Random, file: h5py.File) -> str:
    """A value of another type or shape."""
    owner, name = _owner(random, file)
    old = np.asarray(file[owner].attrs[name])
    record = np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")])
    values: tuple[Any, ...] = (
        *(
            np.int32(1),
            np.uint64(1),
            np.float32(0.5),
            np.float16(0.5),
            np.int8(-1),
            np.True_,
            np.complex128(1j),
        ),
        *(
            h5py.Empty("f8"),
            np.bytes_(b"x" * random.choice((1, 8, 4096))),
            np.arange(3),
            np.zeros((2, 2)),
            "text",
        ),
        *(
            np.array([], np.int64),
            np.void(b"opaque"),
            record,
            file.ref,
            np.array(["a", "b"], object),
        ),
        *(old.astype(old.dtype.newbyteorder()), old[None], np.bytes_(str(old).encode()[:60000])),
    )
    value = random.choice(values)
    dtype = h5py.ref_dtype if isinstance(value, h5py.Reference) else None
    dtype = (
        h5py.string_dtype() if isinstance(value, np.ndarray) and value.dtype == object else dtype
    )
    file[owner].attrs.create(name, value, dtype=dtype)
    return f"{owner}@{name} is of another type, {value!r:.60}"


def attribute_odd_text(random: Random, file: h5py.File) -> str:
    """Text that is not UTF-8, in ASCII's clothing, padded in other ways, or an array of texts."""
    owner, name = _owner(random, file)
    content = random.choice(
        (b"\xff\xfe", b"a\0b", b"\xed\xa0\x80", str(file[owner].attrs[name]).encode())
    )[:1000]
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(random.choice((len(content) + 1, 8192, h5py.h5t.VARIABLE, 1 << 15)))
    kind.set_cset(random.choice((h5py.h5t.CSET_ASCII, h5py.h5t.CSET_UTF8)))
    kind.set_strpad(
        random.choice((h5py.h5t.STR_NULLTERM, h5py.h5t.STR_NULLPAD, h5py.h5t.STR_SPACEPAD))
    )
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
        file[owner].attrs[f"more{extra}"] = random.choice((1, "x" * 100)) if count < 20 else 1
    return f"{count} more attributes at {owner}"


def values(random: Random, file: h5py.File) -> str:
    """One element of a dataset."""
    path = _dataset(random, file)
    at = tuple(random.randrange(side) for side in file[path].shape)
    old, kind = file[path][at], file[path].dtype
    file[path][at] = (
        number(random, kind) if kind.kind != "S" else bytes([*old[:-1], 48 + old[-1] % 8])
    )
    return f"{path}{list(at)} = {file[path][at]!r:.40}"


def many_values(random: Random, file: h5py.File) -> str:
    """All elements of a dataset, in another order."""
    path = _dataset(random, file)
    content = file[path][...]
    turned = np.roll(content, random.randrange(1, content.size + 1)).reshape(content.shape)
    file[path][...] = random.choice((turned, content[::-1]))
    return f"{path} in another order"


def again(file: h5py.File, path: str, **changes: Any) -> None:
    """Write a dataset again, keeping its attributes and, unless changed, what it holds and how it
    is stored.
    """
    old = file[path]
    keep = {
        "chunks": old.chunks,
        "compression": old.compression,
        "fletcher32": old.fletcher32,
        "dtype": old.dtype,
    }
    content, attributes = (
        {} if changes.keys() & {"data", "shape"} else {"data": old[...]},
        dict(old.attrs),
    )
    del file[path]
    file.create_dataset(path, **{**content, **keep, **changes}).attrs.update(attributes)


def dataset_type(random: Random, file: h5py.File) -> str:
    """Another dtype; also records, references, and elements of variable length, of which none is
    stored.
    """
    path = _dataset(random, file)
    old = file[path]
    kinds = [
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
        "i4,S3",
    ]
    odd = (
        h5py.vlen_dtype("u1"),
        h5py.string_dtype(),
        h5py.ref_dtype,
        h5py.enum_dtype({"a": 0, "b": 1}, "u1"),
    )
    wanted = np.dtype(random.choice((*kinds, *odd, old.dtype.newbyteorder())))
    plain = not (wanted.hasobject or wanted.names)
    content = np.zeros(old.shape, wanted) if "S" in (wanted.kind, old.dtype.kind) else old[...]
    stored = {"data": content.astype(wanted)} if plain else {"shape": old.shape}
    again(
        file,
        path,
        **stored,
        dtype=wanted,
        compression=None,
        fletcher32=plain and random.random() < 0.9,
    )
    return f"{path} is {wanted}"


def dataset_shape(random: Random, file: h5py.File) -> str:
    """Another shape: longer, shorter, of more or fewer axes,
    or so large that it could not be held.
    """
    path = _dataset(random, file)
    shape, chunks = list(file[path].shape), file[path].chunks
    axis = random.randrange(len(shape))
    what = random.choice(("side", "side", "axis", "none", "scalar", "huge"))
    if what == "side":
        shape[axis] = max(1, shape[axis] + random.choice((-1, 1, 7)))
    elif what == "axis":
        shape, chunks = [*shape, 1], (*chunks, 1)
    elif what == "huge":
        shape[axis] = random.choice((1 << 20, 1 << 24, 1 << 30, 1 << 40, (1 << 62) - 1))
        chunks = random.choice((chunks, tuple(min(side, 1 << 10) for side in shape)))
    elif what == "none":
        shape[axis] = 0
    else:
        shape, chunks = [], None
    options = {"compression": None, "fletcher32": False} if chunks is None else {}
    again(file, path, shape=tuple(shape), chunks=chunks, **options)
    if 0 < file[path].size < 1 << 20 and file[path].dtype.kind != "S":
        file[path][...] = 1
    return f"{path} has shape {tuple(shape)}"


def dataset_storage(random: Random, file: h5py.File) -> str:
    """Other chunks, filters, fill values, or no chunks at all; or no chunk is stored."""
    path = _dataset(random, file)
    content = file[path][...]
    sides = content.shape
    options: tuple[dict[str, Any], ...] = (
        *(
            {"chunks": None, "compression": None, "fletcher32": False},
            {"fletcher32": False},
            {"shuffle": True},
        ),
        *(
            {"chunks": tuple(max(1, side // 2) for side in sides)},
            {"chunks": (1,) * len(sides)},
            {"track_times": True},
        ),
        *(
            {"compression": "lzf"},
            {"compression": "gzip", "compression_opts": 9},
            {"compression": None},
        ),
        *(
            {"scaleoffset": 0, "fletcher32": False},
            {"maxshape": (None,) * len(sides)},
            {"fillvalue": content.flat[0]},
        ),
        *({"shape": sides, "fillvalue": fill} for fill in (None, 1)),
    )
    chosen = random.choice(options)
    again(file, path, **chosen)
    return f"{path} is stored with {chosen}"


def dataset_elsewhere(random: Random, file: h5py.File) -> str:
    """Virtual or external storage, or a link to another file."""
    return stored_elsewhere(
        random, file, random.choice((".", "/etc/passwd", "/dev/zero", "missing.h5"))
    )


def stored_elsewhere(random: Random, file: h5py.File, where: str) -> str:
    """Let a dataset lie in another file."""
    path = _dataset(random, file)
    shape, dtype, attributes = file[path].shape, file[path].dtype, dict(file[path].attrs)
    del file[path]
    what = random.choice(("external", "virtual", "link"))
    if what == "link":
        file[path] = h5py.ExternalLink(where, path)
        return f"{path} is a link to {where}"
    if what == "virtual":
        layout = h5py.VirtualLayout(shape, dtype)
        layout[...] = h5py.VirtualSource(where, path, shape)
        made = file.create_virtual_dataset(path, layout)
    else:
        made = file.create_dataset(path, shape, dtype, external=[(where, 0, h5py.h5f.UNLIMITED)])
    made.attrs.update(attributes)
    return f"{path} is {what} in {where}"


def chunk(random: Random, file: h5py.File) -> str:
    """The stored bytes of a chunk, written directly: of another size, or with filters left out."""
    path = _dataset(random, file)
    sides = zip(file[path].shape, file[path].chunks, strict=True)
    offset = tuple(random.randrange(-(-side // step)) * step for side, step in sides)
    raw = file[path].id.read_direct_chunk(offset)[1]
    noise = random.randbytes(random.choice((4, 100, 5000)))
    new = random.choice((raw[:-1], raw + b"\0", b"", bytes(len(raw)), noise, raw + raw))
    mask = random.choice((0, 0, 1, 2, 3, 0xFFFFFFFF))
    file[path].id.write_direct_chunk(offset, new, mask)
    return f"chunk {offset} of {path} is {len(new)} bytes instead of {len(raw)}, mask {mask:#x}"


def gone(random: Random, file: h5py.File) -> str:
    """An object is missing."""
    path = random.choice(paths(file))
    del file[path]
    return f"{path} deleted"


def more(random: Random, file: h5py.File) -> str:
    """An object that the format does not know; its name may be anything."""
    where = file[random.choice(("/", *paths(file, h5py.Group)))]
    odd = random.choice(TEXTS)[:200]
    name = random.choice(
        ("more", "spikes ", "SPIKES", "000_x", "1", "..", "a\nb", "\x1b[2J", "ü" * 100, odd)
    )
    made = (
        where.create_group(name)
        if random.random() < 0.5
        else where.create_dataset(name, data=np.arange(3))
    )
    return f"{made.name!r:.80} added"


def renamed(random: Random, file: h5py.File) -> str:
    """Another name: of another layer, in another order, odd, or that of a neighbour, which gets
    this one's.
    """
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
    odd = random.choice(TEXTS)[:100]
    changed = (
        name + "x",
        name.upper(),
        "999_" + name,
        "001_" + name,
        name.replace("_", ""),
        "000_a",
        odd,
    )
    parent.move(name, new := random.choice(changed))
    return f"{path} renamed to {new!r:.60}"


def linked(random: Random, file: h5py.File) -> str:
    """A soft or external link, or a hard link to another object: a neighbour,
    or what it lies in.
    """
    path, target = random.choice(paths(file)), random.choice((*paths(file), "/"))
    held = {
        "soft": h5py.SoftLink("/" + target),
        "external": h5py.ExternalLink("/etc/passwd", "/"),
        "type": np.dtype("f8"),
        "hard": file[target],
    }
    kind = random.choice(("soft", "external", "hard", "hard", "type"))
    del file[path]
    file[path] = held[kind]
    return f"{path} is a {kind} link to {target}"


def kind_of_object(random: Random, file: h5py.File) -> str:
    """A group where a dataset was, or the other way round."""
    path = random.choice(paths(file))
    was_group = isinstance(file[path], h5py.Group)
    del file[path]
    file.create_dataset(path, data=np.zeros(3)) if was_group else file.create_group(path)
    return f"{path} is of the other kind"


EDITS: tuple[Edit, ...] = (
    *(
        attribute_value,
        attribute_value,
        attribute_value,
        attribute_type,
        attribute_odd_text,
        attribute_gone,
    ),
    *(
        attribute_more,
        values,
        values,
        many_values,
        dataset_type,
        dataset_type,
        dataset_shape,
        dataset_storage,
    ),
    *(dataset_storage, dataset_elsewhere, chunk, gone, more, renamed, linked, kind_of_object),
)
CONTENT_EDITS: tuple[Edit, ...] = (attribute_value, values, many_values)
