"""Golden vectors as a header of C: constant tables, and an array of the layers that points to
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from textwrap import wrap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.pipeline.interop.vectors._numbers import Numbers

C_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "int32": "int32_t"}
TYPES = """\
typedef struct {            /* spikes of one layer, some steps later */
  int layer, sign;          /* number of the layer, 0 is the input; 1 or -1 */
  const int16_t *delay;     /* steps, by channel of that layer */
} source_t;

typedef struct {            /* windows of a map of rows × columns */
  int rows, columns, height, width, stride_y, stride_x, padding_y, padding_x;
  int rows_out, columns_out;            /* number of windows */
} window_t;

typedef struct {            /* an input of a layer */
  int sources;
  const source_t *source;
  int channels;             /* of x, whose rows and columns are those of the pool */
  const int32_t *channel_of, *row_of, *column_of;       /* places of the sources; -1: nothing */
  window_t pool;
  int pools_maximum;        /* else the window is summed */
  const int8_t *weight;     /* [out_channels][channels][kernel height][kernel width], or NULL */
  int out_channels;
  window_t kernel, window;  /* the largest current of a window counts */
  int sums_places;          /* the maxima of all places are summed */
  int gain_rows;
  const int16_t *gain;      /* [gain_rows][out_channels] */
  int shift;
} input_t;

typedef struct {
  const char *name;
  int channels, height, width;
  const uint8_t *spikes;    /* [SAMPLES][TIMESTEPS][bytes], see README.md */
  int inputs;               /* 0 of the input */
  const input_t *input;
  const int32_t *decay, *synaptic_decay, *threshold, *reset_by, *lowest;      /* by channel */
  int bias_rows;
  const int32_t *bias;      /* [bias_rows][channels] */
  int reset_to_zero, fires_at_threshold, limits_current;
} layer_t;
"""


def header_lines(
    numbers: Numbers, packed: Mapping[str, NDArray[np.uint8]], sums: NDArray[np.int32]
) -> Iterator[str]:
    """The lines of `vectors.h`.

    Parameters
    ----------
    numbers : of the network
    packed : spikes of each layer, (N, T, bytes)
    sums : (N, classes), of the readout
    """
    graph, arrays = numbers.graph, numbers.arrays
    nodes = graph["layers"]
    number_of = {node["name"]: number for number, node in enumerate(nodes)}
    yield (
        "/* Golden vectors: a spiking network in integers, and what it fires. README.md says "
        "how. */\n"
    )
    yield "#ifndef VECTORS_H\n#define VECTORS_H\n#include <stddef.h>\n#include <stdint.h>\n\n"
    yield f"#define SAMPLES {len(sums)}\n#define TIMESTEPS {graph['timesteps']}\n"
    yield f"#define LAYERS {len(nodes)} /* with the input */\n"
    yield f"#define CLASSES {graph['readout']['classes']}\n"
    yield f"#define READOUT_LEAK {graph['readout']['leak']}\n"
    yield f"#define NUMBERS {_largest_map(graph)} /* of the largest map */\n\n"
    yield TYPES
    for name, spikes in packed.items():
        yield from _table(f"spikes_{number_of[name]}", spikes)
    for name, array in arrays.items():
        yield from _table(_identifier(name, number_of), array)
    yield from _table("readout_sums", sums)
    yield f"#define READOUT_BIAS_ROWS {len(arrays['readout/bias'])}\n\n"
    for number, node in enumerate(nodes[1:], 1):
        yield from _inputs(number, node, arrays, number_of)
    yield "static const layer_t layers[LAYERS] = {\n"
    for number, node in enumerate(nodes):
        yield f"  {{{', '.join(_layer(number, node, arrays))}}},\n"
    yield "};\n#endif\n"


def _identifier(name: str, number_of: Mapping[str, int]) -> str:
    """The name of a table: that of the array, its layer by number, as names may not be C's."""
    layer, _, table = name.partition("/")
    begin = f"layer{number_of[layer]}" if layer in number_of else layer
    return f"{begin}_{table.replace('/', '_')}"


def _table(identifier: str, array: NDArray[Any]) -> Iterator[str]:
    yield f"\nstatic const {C_TYPES[array.dtype.name]} {identifier}[{array.size}] = {{\n"
    numbers = ",".join(map(str, array.ravel().tolist()))
    for line in wrap(numbers.replace(",", ", "), 100):
        yield f"{line}\n"
    yield "};\n"


def _inputs(
    number: int, node: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], number_of: Any
) -> Iterator[str]:
    rows = []
    for place, layer_input in enumerate(node["inputs"], 1):
        begin = f"layer{number}_input{place}"
        sources = [
            f"{{{number_of[source['layer']]}, {source['sign']}, {begin}_delay{position}}}"
            for position, source in enumerate(layer_input["sources"], 1)
        ]
        yield f"static const source_t {begin}_sources[] = {{{', '.join(sources)}}};\n"
        rows.append(f"  {{{', '.join(_input(begin, node, place, layer_input, arrays))}}},\n")
    yield f"static const input_t layer{number}_inputs[] = {{\n{''.join(rows)}}};\n"


def _input(
    begin: str,
    node: Mapping[str, Any],
    place: int,
    layer_input: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
) -> list[str]:
    """The members of an `input_t`, in order."""
    path = f"{node['name']}/input{place}"
    weighted = layer_input["weighted"]
    channels, *x_sides = layer_input["shape"]
    out_channels, *current_sides = layer_input["currents"]
    pool = layer_input["pool"]
    pooled_sides = [side // width for side, width in zip(x_sides, pool, strict=True)]
    kernel = arrays[f"{path}/weight"].shape[2:] if weighted else (1, 1)
    windows = [layer_input[name] for name in ("window", "window_stride", "window_padding")]
    members = [
        len(layer_input["sources"]),
        f"{begin}_sources",
        channels,
        *(f"{begin}_{axis}_of" for axis in ("channel", "row", "column")),
        _window(x_sides, pool, pool, (0, 0)),
        int(layer_input["pools_maximum"]),
        f"{begin}_weight" if weighted else "NULL",
        out_channels,
        _window(pooled_sides, kernel, layer_input["stride"], layer_input["padding"]),
        _window(current_sides, *windows),
        int(layer_input["sums_places"]),
        len(arrays[f"{path}/gain"]),
        f"{begin}_gain",
        layer_input["shift"],
    ]
    return [str(member) for member in members]


def _window(
    map_sides: Sequence[int], sides: Sequence[int], stride: Sequence[int], padding: Sequence[int]
) -> str:
    """A `window_t`; each argument has a number for rows and one for columns."""
    windows = [
        (map_side + 2 * border - side) // step + 1
        for map_side, side, step, border in zip(map_sides, sides, stride, padding, strict=True)
    ]
    return f"{{{', '.join(map(str, (*map_sides, *sides, *stride, *padding, *windows)))}}}"


def _largest_map(graph: Mapping[str, Any]) -> int:
    """Numbers of the largest map of spikes, of x or of currents."""
    nodes = graph["layers"]
    maps = [node["shape"] for node in nodes]
    for node in nodes[1:]:
        maps += [part[name] for part in node["inputs"] for name in ("shape", "currents")]
    return max(map(prod, maps))


def _layer(
    number: int, node: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> Iterator[str]:
    """The members of a `layer_t`, in order; of the input its first ones, the others are 0."""
    yield f'"{node["name"]}"'
    yield from map(str, node["shape"])
    yield f"spikes_{number}"
    if not number:
        yield from ("0", "NULL", *["NULL"] * 5, "0", "NULL", "0", "0", "0")
        return
    yield str(len(node["inputs"]))
    yield f"layer{number}_inputs"
    for constant in ("decay", "synaptic_decay", "threshold", "reset_by", "lowest"):
        yield f"layer{number}_{constant}"
    yield str(len(arrays[f"{node['name']}/bias"]))
    yield f"layer{number}_bias"
    for choice in ("reset_to_zero", "fires_at_threshold", "limits_current"):
        yield str(int(node[choice]))
