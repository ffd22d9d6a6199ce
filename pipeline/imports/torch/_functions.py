"""Functions that a model calls between its modules: what each does to a stream.

Functions that only move numbers are called once more, on the numbers' places. Pooling becomes the
module that does the same; convolutions and linear layers keep the weights that they were called
with, however these were computed. Sums over steps are told from sums over anything else. Whatever
else a model calls loses the stream, which is an error only if neurons or the answer depend on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from math import gcd, prod
from typing import Any, Literal, TypeGuard

import torch
from torch import Tensor, nn

from spikesam.backends.network import ReLU, Windows
from spikesam.backends.network.sources import MOST_SOURCES
from spikesam.pipeline.imports.road import kernels
from spikesam.pipeline.imports.road.kernels import MOST_WEIGHTS
from spikesam.pipeline.imports.road.operations import (
    INPUT,
    NOTHING,
    ByStep,
    Convolve,
    Junction,
    Linear,
    Mix,
    Operation,
    Order,
    Pad,
    Pair,
    Pool,
    Scale,
    Shift,
    Spread,
    Take,
    Total,
)
from spikesam.pipeline.imports.torch._products import Gates, gate, lettered, matrices, multiplied
from spikesam.pipeline.imports.torch._spike_functions import (
    NOT_LINEAR,
    function_of_spikes,
    is_elementwise,
    spike_operands,
)
from spikesam.pipeline.imports.torch._stream import (
    SUM,
    Bordered,
    Followed,
    JumbledError,
    Limited,
    Lost,
    LostError,
    Product,
    Stream,
    added,
    all_agreed,
    concatenated_streams,
    differing_weights,
    in_time,
    mapped,
    need,
    steps_present,
    unchanging,
)
from spikesam.pipeline.imports.torch.call import Call, tensors


def followed(call: Call) -> Sequence[Followed | Gates] | None:
    """Follow streams of spikes, currents or numbers through one call of a torch function.

    Parameters
    ----------
    call : the function, its arguments and its result, and what is known of each tensor

    Returns
    -------
    The stream of each tensor of the result, or :class:`Lost` with a reason where the function
    cannot be followed; None if the result does not depend on the example.
    """
    name = call.name
    if name in INDEPENDENT or (name in COPIES and call.args and call.known(call.args[0]) is None):
        return None  # zeros.to(x) has the dtype of x, and none of its numbers
    arguments = [call.known(tensor) for tensor in tensors((call.args, call.kwargs))]
    lost_argument = next((argument for argument in arguments if isinstance(argument, Lost)), None)
    product = next((argument for argument in arguments if isinstance(argument, Product)), None)
    handler = next((handler for names, handler in HANDLERS.items() if name in names), None)
    elementwise = is_elementwise(call)
    tensors_of_result = list(tensors(call.result))
    try:
        if lost_argument is not None:
            if _fills_border(lost_argument, call):
                return [_border(call, lost_argument.stream)]  # __setitem__ has no result
            return [_behind_lost(call, lost_argument) for _ in tensors_of_result]
        if product is not None and name not in MULTIPLICATIONS:
            return [_behind_product(call, product) for _ in tensors_of_result]
        if elementwise and (operands := spike_operands(call)):
            spike_stream = function_of_spikes(call, operands)
            return None if spike_stream is None else [spike_stream]
        if handler is not None and (name in LIMITS or not elementwise):
            handled = handler(call)
            return handled if isinstance(handled, list) else [handled]
        reason = NOT_LINEAR if elementwise or name in NONLINEAR else ""
    except JumbledError:
        reason = "on a map that is not the last axes, (C, H, W)"
    except LostError as error:
        reason = str(error)
    return [call.lost(reason) for _ in tensors_of_result]


def _fills_border(lost: Lost, call: Call) -> TypeGuard[Bordered]:
    """True if a call writes into a map with a border, and takes nothing else of the example."""
    return isinstance(lost, Bordered) and call.name == "__setitem__" and not call.streams


def _behind_lost(call: Call, lost: Lost) -> Lost:
    """The result of a call with a lost argument: lost, too, for the reason of the argument; limited
    numbers stay limited where they are copied, or 1/2 is added to them.
    """
    if path_names := list(dict.fromkeys(stream.path.last for stream in call.streams)):
        return Lost(f"{call.label}, behind {' and '.join(path_names)} and {lost.reason}")
    if isinstance(lost, Limited):
        if _adds_a_half(call, lost):
            return replace(lost, half=True)
        if call.name in COPIES:
            return lost
    return Lost(lost.reason)


def _adds_a_half(call: Call, limited: Limited) -> bool:
    """True if a call adds 1/2 to limited numbers, to which it was not added yet."""
    summands = [number for number in call.args if call.known(number) is not limited]
    if call.name not in ("add", "add_") or limited.half or len(summands) != 1:
        return False
    (number,) = summands
    if isinstance(number, Tensor):
        number = number.item() if number.numel() == 1 and call.known(number) is None else None
    return bool(number == 0.5 and call.kwargs.get("alpha", 1) == 1)


def through(
    stream: Stream, operation: Operation, brought: Tensor, operand: Tensor, axes: int = 3
) -> Stream:
    """The stream behind an operation on maps (C, H, W), or (C, L); JumbledError if these are not
    the last axes.
    """
    shape = operand.shape[-axes:] if operand.ndim == brought.ndim else operand.shape[-1:]
    return mapped(stream, axes, operation, prod(shape), tuple(operand.shape))


def rectifier(call: Call) -> ReLU | None:
    """The neurons that a function is, such as relu, or clamp(min=0, max=6); None of others."""
    name, least, highest = call.function.__name__.rstrip("_"), None, None
    if name in ("relu", "relu6"):
        least, highest = 0, None if name == "relu" else 6
    elif name in ("clamp", "clip", "clamp_min", "hardtanh"):
        default_limits = (-1, 1) if name == "hardtanh" else (None, None)
        least = call.argument(1, "min", "min_val", default=default_limits[0])
        highest = call.argument(2, "max", "max_val", default=default_limits[1])
    number = highest is None or (isinstance(highest, (int, float)) and highest > 0)
    return (
        ReLU(limit=highest) if isinstance(least, (int, float)) and least == 0 and number else None
    )


def rounding(call: Call) -> Limited | None:
    """The numbers that a call rounds to whole ones, if they are limited to 0 … D; None of other
    calls.
    """
    limited = call.known(call.args[0]) if call.args else None
    expected = {"round": False, "floor": True}.get(call.name.rstrip("_"))
    plain = len(call.args) == 1 and not call.kwargs
    return limited if isinstance(limited, Limited) and limited.half is expected and plain else None


def pools_maximum(function: Callable[..., Any]) -> bool:
    """True of the functions that pool by maximum."""
    return "max_pool" in getattr(function, "__name__", "")


def may_rectify(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> bool:
    """True if a call may be neurons of an ANN, whatever goes into it."""
    return (
        pools_maximum(function)
        or rectifier(Call(function, args, kwargs, None, lambda _: None, 0)) is not None
    )


def fired_alone(stream: Stream) -> bool:
    """True if it is what neurons give, or channels of several such, and nothing else, so that none
    is negative.
    """
    source = stream.path.source
    branches = (
        source.branches
        if isinstance(source, Junction) and source.kind == "concatenation"
        else (stream.path,)
    )
    fired = (
        isinstance(branch.source, str) and branch.source not in (INPUT, NOTHING)
        for branch in branches
    )
    return all(fired) and not any(path.operations for path in (stream.path, *branches))


def _limited(call: Call) -> Lost:
    """Numbers limited to 0 … D, which neurons of several spikes fire once they are rounded."""
    neuron, lost = rectifier(call), call.lost(NOT_LINEAR)
    highest = None if neuron is None else neuron.limit
    is_count = isinstance(highest, (int, float)) and highest == int(highest) <= MOST_SOURCES
    return Limited(lost.reason, call.streams[0], int(highest)) if is_count and highest else lost


def _copied(call: Call) -> Followed | Gates:
    """The same numbers, perhaps of another type, which must hold them."""
    stream = call.known(call.args[0])
    assert isinstance(stream, Stream)
    if call.result.dtype in (call.args[0].dtype, torch.float32, torch.float64):
        return stream
    cast = replace(call, function=Tensor.to, args=(call.args[0], call.result.dtype), kwargs={})
    operands = spike_operands(cast)
    need(operands, f"which makes {call.result.dtype} of it")
    cast_stream = function_of_spikes(cast, operands)
    need(cast_stream is not None, "which makes one number of all spikes")
    assert cast_stream is not None
    return cast_stream


def _dropout(call: Call) -> Stream:
    """Dropout, which is off in evaluation."""
    on = call.argument(2, "training", "train", default=True)
    need(not on, "with training=True, expected training=self.training")
    return call.streams[0]


def _moved(call: Call) -> Stream | list[Stream]:
    """Functions that move numbers: they move the numbers' places alike. Channels of several layers
    are joined.
    """
    joined = list(tensors(call.args[0])) if isinstance(call.args[0], (tuple, list)) else []
    path = all_agreed(call.streams, call.samples) if call.streams else None
    alike = len({(stream.size, stream.static, stream.summed) for stream in call.streams}) == 1
    if path is not None and alike and all(call.known(tensor) for tensor in joined):
        places_of_results = call.function(
            *_places(call.args, call.known), **_places(call.kwargs, call.known)
        )
        return [
            call.streams[0].along(path).rearranged(result_places, call.label)
            for result_places in tensors(places_of_results)
        ]
    axis = call.argument(1, "dim", "axis", default=0)
    if joined and (later := _delayed(call, joined, axis)):
        return later
    streams = list(filter(None, map(call.stream, joined)))
    if call.function.__name__ not in CONCATENATIONS or len(streams) < len(joined):
        weights = any(
            differing_weights(call.streams[0].path, stream.path) for stream in call.streams[1:]
        )
        raise LostError(
            "whose weights differ from step to step" if weights else "which joins layers"
        )
    return concatenated_streams(streams, axis, call.samples, call.label)


def _delayed(call: Call, joined: list[Tensor], axis: int) -> Stream | None:
    """Zeros, and behind them the steps from the first one on: these steps, so many later."""
    later_streams = [stream for stream in map(call.known, joined) if isinstance(stream, Stream)]
    zeros_before = joined[: len(joined) - len(later_streams)]
    path = all_agreed(later_streams, call.samples) if later_streams else None
    alike = len({(stream.size, stream.static, stream.summed) for stream in later_streams}) == 1
    if not (path and alike and zeros_before) or any(
        zero.any() or call.known(zero) for zero in zeros_before
    ):
        return None
    first, a_step = later_streams[0], call.samples * later_streams[0].size
    joined_places = [
        *(zero.new_zeros(zero.shape, dtype=torch.int64) for zero in zeros_before),
        *(stream.places for stream in later_streams),
    ]
    places = call.function(joined_places, axis).movedim(axis, 0)
    first_places = (
        torch.arange(len(places), device=places.device).view(-1, *(1,) * (places.ndim - 1)) * a_step
    )
    late = len(places) - len(
        call.function([stream.places for stream in later_streams], axis).movedim(axis, 0)
    )
    within = places[late] % a_step
    if (
        first.static
        or first.summed
        or (places[late:] != within + first_places[: len(places) - late]).any()
    ):
        return None
    path = path.delayed(late, call.label)
    return Stream((within + first_places).movedim(0, axis), first.size, path)


def _assigned(call: Call) -> Followed:
    """Numbers written into a part of a tensor, such as those of one step into a tensor of all
    steps.
    """
    target, index, value = call.args
    written, earlier = call.known(value), call.known(target)
    if isinstance(earlier, Stream) and written is None:
        return _border(call, earlier)
    if not isinstance(written, Stream):
        raise LostError(OVERWRITTEN)
    path = (
        all_agreed([earlier, written], call.samples)
        if isinstance(earlier, Stream)
        else written.path
    )
    if path is None:
        raise LostError(OVERWRITTEN)
    empty = torch.full(target.shape, -1, device=target.device)
    places = earlier.places.clone() if isinstance(earlier, Stream) else empty
    places[index] = written.places
    return written.along(path).rearranged(places)


def _border(call: Call, stream: Stream) -> Followed:
    """Numbers written around a padded map: once they are what the normalisation in front makes of
    zeros, it is behind.

    N(x) with a border of N(0) is N of x with a border of zeros.
    """
    target, index, _ = call.args
    operations = stream.path.operations
    pad_place = next(
        (
            place
            for place, operation in reversed(list(enumerate(operations)))
            if isinstance(operation.what, Pad) and operation.what.mode == "zeros"
        ),
        None,
    )
    touched = torch.zeros_like(target, dtype=torch.bool)
    touched[index] = True
    if pad_place is None or not all(
        _normalises(operation) for operation in operations[pad_place + 1 :]
    ):
        raise LostError(OVERWRITTEN)
    first = pad_place
    while pad_place + 1 == len(operations) and first and _normalises(operations[first - 1]):
        first -= 1
    norms = (*operations[first:pad_place], *operations[pad_place + 1 :])
    (top, bottom), (left, right) = operations[pad_place].what.padding
    border = torch.ones(target.shape[-2:], dtype=torch.bool, device=target.device)
    border[top : len(border) - bottom, left : border.shape[1] - right] = False
    need(not (touched & ~border).any(), OVERWRITTEN)
    expected = target.new_zeros((1, target.shape[-3], 1, 1))
    for operation in norms:
        expected = operation.what.forward(expected)
    border_values, expected = target[..., border], expected.view(-1, 1)
    if not torch.allclose(
        border_values, expected.expand(border_values.shape), rtol=1e-4, atol=1e-5
    ):
        why = (
            "which writes a border, expected all of it, of what the batch normalisation in front "
            "makes of zeros"
        )
        return Bordered(call.lost(why).reason, stream)
    return stream.along(
        replace(stream.path, operations=(*operations[:first], operations[pad_place], *norms))
    )


def _normalises(operation: Operation) -> bool:
    return isinstance(operation.what, nn.BatchNorm2d)


def _places(value: Any, stream_of: Callable[[Any], Followed | None]) -> Any:
    """The arguments of a call with places instead of numbers."""
    if isinstance(value, Tensor):
        stream = stream_of(value)
        return stream.places if isinstance(stream, Stream) else value
    if isinstance(value, (tuple, list)):
        return type(value)(_places(member, stream_of) for member in value)
    if isinstance(value, dict):
        return {name: _places(member, stream_of) for name, member in value.items()}
    return value


def _pooled(call: Call) -> Stream:
    """Pooling of the last two axes, or of the last."""
    name, pooled_map, stream = call.function.__name__, call.args[0], call.streams[0]
    axes = 2 if name.endswith("2d") else 1
    sides, outputs = ((1, *tensor.shape[-axes:])[-2:] for tensor in (pooled_map, call.result))
    kind: Literal["average", "max"] = "max" if "max" in name else "average"
    dilation = (1, 1)
    of_activations = not call.fires(NOTHING)
    if name.startswith("adaptive"):
        rows, columns = map(_adaptive_windows, sides, outputs)
        size = max(map(len, rows)), max(map(len, columns))
        if (down := _stride(rows)) and (right := _stride(columns)):
            windows = Windows(size, (down, right))
        elif kind == "average":
            return _averaged_unevenly(call, stream, sides, outputs, axes)
        else:  # a place that stands twice in its window changes no maximum
            taken = Take(_filled(rows, size[0]), _filled(columns, size[1]))
            stream, windows = stream.then(Operation(call.label, taken)), Windows(size, size)
    else:
        window, stride, padding = (
            call.argument(place, name) for place, name in enumerate(SIDES, 1)
        )
        window = pair_of_setting(window, axes, 1)
        windows = Windows(
            window,
            pair_of_setting(stride, axes, 1) if stride else window,
            pair_of_setting(padding or 0, axes, 0),
        )
        if kind == "max":
            dilation = pair_of_setting(call.argument(4, "dilation", default=1), axes, 1)
        else:
            divisor, counted = (
                call.argument(6, "divisor_override"),
                call.argument(5, "count_include_pad", default=True),
            )
            need(divisor is None, f"which has divisor_override={divisor}, expected none")
            need(
                counted or not any(windows.padding),
                "which has padding and count_include_pad=False, expected True",
            )
        extent = Windows(kernels.extent(window, dilation), *windows[1:])
        by_axis = list(zip(sides, outputs, *extent, dilation, strict=True))
        single = isinstance(stream.path.source, str) or of_activations
        if fired_alone(stream) and single:
            # Neurons of their own, see Follower. A pad of zeros is as good as none in front of a
            # maximum of numbers that are not negative.
            down, right = (
                max(0, (count - 1) * stride + size - side - 2 * pad)
                for side, count, size, stride, pad, _ in by_axis
            )
            if down or right:
                need(kind == "max", "which has ceil_mode=True, expected False")
                stream = stream.then(Operation(call.label, Pad(((0, down), (0, right)))))
        elif extent.fit(sides) != outputs or dilation != (1, 1):
            finding = "which has ceil_mode=True or dilation, expected neither"
            need(kind == "max" and not of_activations, finding)
            rows_by_window = [_windows(*of_axis) for of_axis in by_axis]
            taken = Take(*map(_filled, rows_by_window, window))
            stream = stream.then(Operation(call.label, taken))
            windows, dilation = Windows(window, window), (1, 1)
    pool = Operation(call.label, Pool(kind, windows, dilation, of_activations))
    return through(stream, pool, pooled_map, call.result, axes + 1)


def _adaptive_windows(side: int, windows: int) -> list[range]:
    """The rows that each of so many adaptive windows sees, of so many; likewise columns."""
    return [
        range(number * side // windows, -(-(number + 1) * side // windows))
        for number in range(windows)
    ]


def _stride(windows: list[range]) -> int:
    """The distance from each window to the one before it; 0 where this, or their size, differs."""
    strides = {second.start - first.start for first, second in pairwise(windows)}
    stride, *further_strides = strides or {len(windows[0])}
    return 0 if further_strides or len(set(map(len, windows))) > 1 else stride


def _windows(
    side: int, windows: int, extent: int, stride: int, padding: int, dilation: int
) -> list[list[int]]:
    """The rows that each of so many windows sees, without those of a border; likewise columns."""
    firsts = (number * stride - padding for number in range(windows))
    return [
        [row for row in range(first, first + extent, dilation) if 0 <= row < side]
        for first in firsts
    ]


def _filled(windows: Sequence[Sequence[int]], size: int) -> tuple[int, ...]:
    """The rows of windows, one behind the other; a shorter one has its last row several times."""
    return tuple(window[min(place, len(window) - 1)] for window in windows for place in range(size))


def _averaged_unevenly(
    call: Call, stream: Stream, sides: tuple[int, ...], outputs: tuple[int, ...], axes: int
) -> Stream:
    """Averages of uneven windows: a linear layer, which sees each channel alone."""
    few = stream.size * prod(call.result.shape[1:]) <= MOST_WEIGHTS
    finding = f"which makes averages of uneven windows, {outputs} of a map of {sides}"
    need(call.args[0].ndim == axes + 2 and few, f"{finding}, expected an output that divides it")
    pooled_map, channels = call.args[0], call.args[0].shape[1]
    inputs = torch.eye(prod(pooled_map.shape[2:])).view(-1, 1, *pooled_map.shape[2:])
    places = call.function(inputs, call.result.shape[2:]).flatten(1).T
    linear = Linear(torch.block_diag(*[places] * channels), None)
    label = f"{call.label}, whose windows are uneven"
    return through(stream, Operation(label, linear), pooled_map, call.result, axes + 1)


def pair_of_setting(setting: Any, axes: int, height: int) -> Pair:
    """(y, x) of what torch takes, a number or one for each axis; of rows with a height."""
    numbers = tuple(setting) if isinstance(setting, (tuple, list)) else (setting,) * axes
    return (height, *numbers)[-2:] if axes == 1 else (numbers[0], numbers[-1])


def _padded(call: Call) -> Stream:
    """Zeros around the maps or rows of samples."""
    padded_map, (first, *further_axes) = (
        call.args[0],
        zip(*[iter(call.argument(1, "pad"))] * 2, strict=True),
    )
    stream = call.streams[0].counted  # all that the map holds, also twice the same neurons
    mode, value = call.argument(2, "mode", default="constant"), call.argument(3, "value")
    second = further_axes[0] if further_axes else (0, 0)
    repeats = mode in ("reflect", "replicate", "circular")
    need(
        repeats or (mode == "constant" and not value),
        f"which pads with mode={mode!r}, value={value}, expected zeros, or what the map repeats",
    )
    pads_sides = not any(map(any, further_axes[1:])) and min(*first, *second) >= 0
    need(pads_sides, "which pads channels or crops, expected a border around a map")
    rows = prod(padded_map.shape[-2:]) == stream.size
    return through(
        stream,
        Operation(call.label, Pad((second, first), mode if repeats else "zeros")),
        padded_map,
        call.result,
        2 if rows else 3,
    )


def _weighted(call: Call) -> Stream:
    """A linear layer, or a convolution of the last two axes, or of the last."""
    operand, weight, bias = call.args[0], call.argument(1, "weight"), call.argument(2, "bias")
    need(len(call.streams) == 1 and call.known(operand), "whose weights come from the example")
    if call.function.__name__ == "linear":
        linear = Operation(call.label, Linear(weight, bias))
        if (tokens := _over_tokens(call, call.streams[0], weight, bias)) is not None:
            return tokens
        return mapped(call.streams[0], 1, linear, call.result.shape[-1], tuple(call.result.shape))
    axes = weight.ndim - 2
    stride = pair_of_setting(call.argument(3, "stride", default=1), axes, 1)
    dilation = pair_of_setting(call.argument(5, "dilation", default=1), axes, 1)
    padding = call.argument(4, "padding", default=0)
    padding = padding if isinstance(padding, str) else pair_of_setting(padding, axes, 0)
    borders = kernels.around(padding, (1, *weight.shape[2:])[-2:], dilation)
    conv = Convolve(weight, bias, stride, borders, dilation, call.argument(6, "groups", default=1))
    return through(call.streams[0], Operation(call.label, conv), operand, call.result, axes + 1)


def _over_tokens(call: Call, stream: Stream, weight: Tensor, bias: Tensor | None) -> Stream | None:
    """A linear layer of the channels of each token, (…, N, C), of neurons that are counted as (C,
    N), the channels perhaps in another order.
    """
    numbers, (outputs, channels) = stream.places % stream.size, weight.shape
    tokens = stream.size // channels
    if tokens < 2 or stream.size % channels or stream.places.shape[-1] != channels:
        return None
    places, of_channels = numbers % tokens, numbers // tokens
    order = of_channels.flatten(0, -2)[0]
    if (places != places[..., :1]).any() or (of_channels != order).any():
        return None
    path, in_order = stream.path, torch.arange(channels, device=order.device)
    if not torch.equal(order, in_order):
        if not torch.equal(order.sort().values, in_order):
            return None
        neurons = order[:, None] * tokens + torch.arange(tokens, device=order.device)
        path += Operation(stream.moved, Order(tuple(neurons.flatten().tolist())))
    row = stream.places[..., :1] // stream.size
    places_behind = torch.arange(outputs, device=order.device) * tokens + places[..., :1]
    path += Operation(call.label, Mix(weight, tokens, bias))
    return replace(
        stream, places=row * outputs * tokens + places_behind, size=outputs * tokens, path=path
    )


def _upsampled(call: Call) -> Stream:
    """Nearest-neighbour upsampling by whole factors: rows and columns that are repeated."""
    upsampled_map, mode = call.args[0], call.argument(3, "mode", default="nearest")
    sides, larger = (tensor.shape[-2:] for tensor in (upsampled_map, call.result))
    whole_factors = upsampled_map.ndim > 3 and not any(
        large % side for side, large in zip(sides, larger, strict=True)
    )
    finding = f"which makes {tuple(larger)} of {tuple(sides)} with mode={mode!r}"
    need(
        whole_factors and mode == "nearest",
        f"{finding}, expected rows and columns that are repeated, mode='nearest'",
    )
    spread = Spread((1, larger[0] // sides[0], larger[1] // sides[1]))
    return through(call.streams[0], Operation(call.label, spread), upsampled_map, call.result)


def _behind_product(call: Call, product: Product) -> Followed:
    """A product of two streams whose axes change places."""
    if call.name in COPIES:
        return product
    if call.name in PERMUTATIONS:
        sides = torch.empty(
            tuple(range(2, 2 + len(product.axes))), device="meta"
        )  # which tell the axes apart
        permuted = call.function(sides, *call.args[1:], **call.kwargs)
        return replace(product, axes=tuple(product.axes[side - 2] for side in permuted.shape))
    why = (
        NOT_LINEAR
        if call.name in NONLINEAR
        else "expected a third layer that it is multiplied with"
    )
    return Lost(f"{call.label}, behind a product of spikes of {product.named}, {why}")


def _multiplied(call: Call) -> Followed:
    """A product of matrices of two or three streams: a step of attention."""
    equation = call.args[0] if isinstance(call.args[0], str) else ""
    operands = list(tensors(call.args))
    factors = [
        factor for factor in map(call.known, operands) if isinstance(factor, (Stream, Product))
    ]
    if len(factors) < len(operands):
        names = " and ".join(
            f"a product of {factor.named}" if isinstance(factor, Product) else factor.path.last
            for factor in factors
        )
        return Lost(
            f"{call.label}, behind {names}, whose other factor does not come from the example"
        )
    ndims = [operand.ndim for operand in operands]
    axes = lettered(equation, ndims) if equation else matrices(factors, ndims)
    if axes is None:
        raise LostError(
            f"of shapes {' and '.join(str(tuple(operand.shape)) for operand in operands)}"
        )
    return multiplied(factors, axes[:-1], axes[-1], call.samples, call.label)


def _scaled(call: Call) -> Followed | Gates:
    """A product with, or a quotient by, numbers that do not come from the example; or a gate of two
    layers.
    """
    first, second = call.args[:2]
    divides = "div" in call.function.__name__
    for product, factor in ((call.known(first), second), (call.known(second), first)):
        if isinstance(product, Product):
            number = torch.as_tensor(factor, dtype=torch.float64)
            if (
                call.streams
                or call.known(factor)
                or number.numel() > 1
                or (divides and factor is first)
            ):
                why = (
                    f"of a product of spikes of {product.named}: a mask or a relative position, "
                    "expected one number"
                )
                return Lost(f"{call.label}, {why}")
            return replace(product, factor=product.factor * number.item() ** (-1 if divides else 1))
    if len(call.streams) > 1:
        need(not divides, "a quotient of layers")
        first_stream, second_stream = call.streams[:2]
        return Gates((gate(first_stream, second_stream, call.result, call.samples, call.label),))
    if call.known(first) is None:
        need(not divides, "a quotient by it")
        first, second = second, first
    factors = torch.as_tensor(second, dtype=torch.float64)
    return _with_numbers(call, call.streams[0], 1 / factors if divides else factors, Scale)


def _added(call: Call) -> Stream:
    """A sum or difference: of layers, of the same neurons at different steps, or of a stream and
    numbers.
    """
    first, second = call.args[:2][::-1] if "rsub" in call.function.__name__ else call.args[:2]
    factor = float(call.kwargs.get("alpha", 1)) * (-1 if "sub" in call.function.__name__ else 1)
    shapes = {operand.shape for operand in (first, second) if isinstance(operand, Tensor)}
    first_stream, second_stream = (
        call.stream(operand) if len(shapes) == 1 or call.known(operand) else None
        for operand in (first, second)
    )
    scaled = (
        second_stream
        if second_stream is None or factor == 1
        else second_stream.then(Operation(call.label, Scale(factor)))
    )
    if first_stream is not None and scaled is not None:
        return added(first_stream, scaled, call.samples, call.label)
    stream = first_stream or scaled
    assert stream is not None
    shifts = (
        torch.as_tensor(first, dtype=torch.float64)
        if first_stream is None
        else factor * torch.as_tensor(second)
    )
    nothing = shifts.numel() == 1 and not shifts.any()
    return stream if nothing else _with_numbers(call, stream, shifts, Shift)


def _with_numbers(
    call: Call, stream: Stream, numbers: Tensor, kind: type[Scale] | type[Shift]
) -> Stream:
    """The stream behind numbers that scale or shift it: one, or one for each neuron, which steps
    may differ in.
    """
    if numbers.numel() == 1:
        return stream.then(Operation(call.label, kind(numbers.item())))
    places, values = (
        tensor.detach().expand(call.result.shape) for tensor in (stream.places, numbers.double())
    )
    of_step = call.samples * stream.size
    for axis in range(places.ndim):
        if stream.static and unchanging(places, axis) and not unchanging(values, axis):
            places, stream = (
                in_time(places, axis, of_step),
                stream.along(replace(stream.path, lag=0)),
            )
    steps, neurons = places // of_step, places % stream.size
    table = values.new_full((max(0, int(steps.max())) + 1, stream.size), float(kind is Scale))
    table[steps, neurons] = values
    alike = places.min() >= 0 and (table[steps, neurons] == values).all()
    need(alike, "with numbers that differ between samples")
    flat = stream.places.shape[-1] == stream.size
    by_step: dict[int, tuple[Operation, ...]] = {
        step: (Operation(call.label, kind(_numbers(table[step]), flat)),)
        for step in steps_present(places, of_step)
    }
    first, *later_operations = by_step.values()
    same = all(operations == first for operations in later_operations)
    return stream.rearranged(places).then(
        first[0] if same else Operation(call.label, ByStep(by_step))
    )


def _numbers(of_neurons: Tensor) -> float | tuple[float, ...]:
    """Numbers of neurons, one for as many neighbours as have the same everywhere."""
    changes = (of_neurons[1:] != of_neurons[:-1]).nonzero().flatten() + 1
    alike = gcd(len(of_neurons), *changes.tolist())
    return tuple(of_neurons[::alike].tolist()) if len(changes) else of_neurons[0].item()


def _reduced(call: Call) -> Stream:
    """A sum or mean: over steps, or over neurons of each sample and step, such as the rows and
    columns of maps.
    """
    stream, ndim, axes = call.streams[0], call.args[0].ndim, call.argument(1, "dim", "axis")
    need(axes is not None, "over everything")
    dims = sorted(axis % ndim for axis in ((axes,) if isinstance(axes, int) else axes))
    mean = call.function.__name__ == "mean"
    if mean and ndim > 3 and dims == [ndim - 2, ndim - 1]:
        window = tuple(call.args[0].shape[-2:])
        operation = Operation(call.label, Pool("average", Windows(window, window)))
        return through(stream, operation, call.args[0], call.result)
    moved = stream.rearranged(
        stream.places.movedim(dims, list(range(len(dims)))).flatten(0, len(dims) - 1)
    )
    if len(moved.places) == 1:  # of one number it is the number, whatever the axis stands for
        return stream.rearranged(moved.places.reshape(call.result.shape), call.label)
    within, steps = moved.within(call.samples), moved.steps(call.samples).flatten(1)
    summed = frozenset(steps[:, 0].tolist())
    over_time = bool((within == within[0]).all()) and bool((steps == steps[:, :1]).all())
    if stream.static or stream.summed or not over_time or len(summed) < len(steps):
        return _grouped(call, moved)
    total = replace(
        stream, places=within[0].reshape(call.result.shape), path=stream.path + SUM, summed=summed
    )
    return total.then(Operation(call.label, Scale(1 / len(summed)))) if mean else total


def _grouped(call: Call, stream: Stream) -> Stream:
    """A sum or mean over the first axis of a stream, of equal neurons in each sample and step."""
    size, mean = stream.size, call.function.__name__ == "mean"
    rows, order = (stream.places[0] // size).flatten().sort(stable=True)
    groups = (stream.places % size).flatten(1)[:, order]
    samples, counts = rows.unique(return_counts=True)
    count = int(counts[0])
    alike = bool(
        (counts == count).all() and (stream.places // size == stream.places[:1] // size).all()
    )
    alike = (
        alike
        and samples[0] >= 0
        and bool((groups == groups[:, :count].repeat(1, len(samples))).all())
    )
    need(alike, "over samples, or over steps and neurons at once")
    places = torch.empty_like(rows)
    places[order] = rows * count + torch.arange(count, device=rows.device).repeat(len(samples))
    path = stream.path
    for kind in _sums(groups[:, :count].sort(0).values, size, "average" if mean else "sum"):
        path += Operation(call.label, kind)
    return replace(stream, places=places.view(call.result.shape), size=count, path=path)


def _sums(groups: Tensor, size: int, kind: Literal["average", "sum"]) -> list[Any]:
    """Sums or means of the neurons in each column, ascending: over all places, over channels, or
    over any others.
    """
    added, count = groups.shape
    numbers = torch.arange(max(size, count), device=groups.device)
    step = int(groups[1, 0] - groups[0, 0])
    if not torch.equal(groups, groups[0] + step * numbers[:added, None]):
        step = 0
    if step == 1 and size % added == 0 and not (groups[0] % added).any():
        in_order = torch.equal(groups[0], added * numbers[: size // added])
        return [
            *([] if in_order else [Order(tuple(groups.T.flatten().tolist()))]),
            Total(kind, added),
        ]
    part = 1 / added if kind == "average" else 1.0
    if (
        step > 1
        and size % step == count % step == 0
        and not ((groups - numbers[:count]) % step).any()
    ):
        channels = (groups // step).view(added, -1, step)
        if (channels == channels[..., :1]).all():
            weight = torch.zeros(count // step, size // step, device=groups.device)
            return [Mix(weight.scatter_(1, channels[..., 0].T, part), step)]
    weight = torch.zeros(count, size, device=groups.device)
    return [Linear(weight.scatter_(1, groups.T, part), None)]


POOLS = (
    *("max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d"),
    *("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool2d"),
)
SIDES = ("kernel_size", "stride", "padding")
PROBABILITIES = {
    "softmax": nn.Softmax(-1),
    "log_softmax": nn.LogSoftmax(-1),
}  # modules are equal to themselves alone
INDEPENDENT = (
    "zeros_like",
    "ones_like",
    "empty_like",
    "full_like",
    "new_zeros",
    "new_ones",
    "new_empty",
    "new_full",
)
COPIES = ("to", "float", "type", "type_as", "contiguous", "clone", "detach", "cpu", "cuda")
MOVES = (
    *("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "expand", "repeat"),
    *("permute", "transpose", "movedim", "moveaxis", "swapaxes", "swapdims", "T", "mT"),
    *("channel_shuffle", "pixel_shuffle", "pixel_unshuffle", "flip", "roll"),
    *("__getitem__", "select", "narrow", "index_select", "unbind", "split", "chunk"),
    *("stack", "cat", "concat", "concatenate"),
)
PERMUTATIONS = ("permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "mT")
MULTIPLICATIONS = ("matmul", "bmm", "einsum", "mul", "mul_", "div", "div_", "true_divide")
NONLINEAR = (
    *("softmax", "log_softmax", "layer_norm", "group_norm", "rms_norm", "gelu", "silu", "silu_"),
    *("sigmoid", "sigmoid_", "tanh", "leaky_relu", "elu", "exp", "hardsigmoid"),
)
LIMITS = ("clamp", "clamp_", "clip", "clip_", "hardtanh")
OVERWRITTEN = "which overwrites it"
CONCATENATIONS = ("cat", "concat", "concatenate")
HANDLERS: dict[tuple[str, ...], Callable[[Call], Followed | Gates | list[Stream]]] = {
    COPIES: _copied,
    MOVES: _moved,
    ("__setitem__",): _assigned,
    (
        "dropout",
        "dropout1d",
        "dropout2d",
        "feature_dropout",
        "alpha_dropout",
        "feature_alpha_dropout",
    ): _dropout,
    POOLS: _pooled,
    ("pad",): _padded,
    LIMITS: _limited,
    ("linear", "conv1d", "conv2d"): _weighted,
    ("neg", "neg_", "negative"): lambda call: call.streams[0].then(
        Operation(call.label, Scale(-1.0))
    ),
    ("softmax", "log_softmax"): lambda call: call.streams[0].then(
        Operation(call.label, PROBABILITIES[call.name])
    ),
    ("matmul", "bmm", "einsum"): _multiplied,
    ("mul", "mul_", "div", "div_", "true_divide"): _scaled,
    ("add", "add_", "sub", "sub_", "rsub", "__rsub__"): _added,
    ("interpolate", "upsample"): _upsampled,
    ("sum", "mean"): _reduced,
}
