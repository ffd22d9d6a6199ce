"""From tensors to a raster: axes by a pattern, what a network returns as one prediction a sample,
and packed bits.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import spikesam
from spikesam.common.errors import InputError
from spikesam.pipeline.record._batch import LayerBits, pack_maps
from spikesam.pipeline.record._layouts import batch_first, one_step, parse, time_first, time_last
from spikesam.pipeline.record._outputs import OutputLayout


def no_grid(tokens: int | None) -> tuple[int, int]:
    raise AssertionError(f"{tokens} tokens were asked for")


def two_rows(tokens: int | None) -> tuple[int, int]:
    return 2, 3 if tokens is None else tokens // 2


@pytest.mark.parametrize(
    ("pattern", "place", "expected"),
    [
        # where a spike is in the tensor, and its (t, b, channel, row, column): 4 channels, 2 heads
        # of 2; 2 × 3 tokens
        ("T B N C", (1, 0, 5, 3), (1, 0, 3, 1, 2)),
        ("T B C N", (1, 0, 3, 4), (1, 0, 3, 1, 1)),
        ("T B heads N d", (1, 2, 1, 5, 0), (1, 2, 2, 1, 2)),  # head 1 holds channels 2 and 3
        ("T B heads d N", (0, 2, 1, 1, 3), (0, 2, 3, 1, 0)),
        ("B T N heads d", (2, 1, 4, 0, 1), (1, 2, 1, 1, 1)),
        (
            "d T heads N B",
            (1, 1, 1, 4, 2),
            (1, 2, 3, 1, 1),
        ),  # d stands first, so channel d · heads + head
        ("B N C", (2, 3, 1), (0, 2, 1, 1, 0)),
        ("T B H W C", (1, 0, 1, 2, 3), (1, 0, 3, 1, 2)),
        ("T B C", (1, 2, 3), (1, 2, 3, 0, 0)),
        ("T B N", (1, 2, 3), (1, 2, 0, 1, 0)),
    ],
)
def test_a_spike_is_where_its_axes_say(
    pattern: str, place: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    axes = parse(pattern)
    sizes = {"T": 2, "B": 3, "N": 6, "C": 4, "heads": 2, "d": 2, "H": 2, "W": 3}
    spikes = torch.zeros([sizes[name] for name in axes.names])
    spikes[place] = 1
    found = axes.arrange(spikes, {}, two_rows)
    assert found.nonzero().tolist() == [list(expected)]


def test_an_axis_that_holds_two_is_split_by_what_is_known() -> None:
    spikes = torch.zeros(6, 4, 5)  # 2 steps of 3 samples
    spikes[4, 1, 2] = 1  # step 1, sample 1
    assert parse("(T B) C x").arrange(spikes, {"T": 2, "B": 3}, no_grid).nonzero().tolist() == [
        [1, 1, 7, 0, 0]
    ]
    assert parse("(T B) C x").arrange(spikes, {"B": 3}, no_grid).shape == (2, 3, 20, 1, 1)
    assert parse("(B T) C x").arrange(spikes, {"T": 2}, no_grid).nonzero().tolist() == [
        [0, 2, 7, 0, 0]
    ]


def test_axes_at_the_end_are_read_in_memory_order() -> None:
    tokens = torch.arange(24.0).reshape(1, 1, 6, 4)  # 6 tokens of 4 channels
    reshaped = tokens.reshape(1, 1, 4, 6)  # not transposed
    expected = parse("T B N C").arrange(tokens, {}, two_rows)
    assert torch.equal(parse("T B (N C)").arrange(reshaped, {}, two_rows), expected)


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "T N C",
        "T B N N",
        "T B N H W",
        "T B C H",
        "T B 3 N",
        "(T B C",
        "T B) C",
        "T B ((N C))",
        "T () B",
        5,
        None,
    ],
)
def test_what_is_no_pattern_is_refused(pattern: object) -> None:
    with pytest.raises(
        InputError, match=r"^axes: got .*, expected a name for each axis, such as 'T B heads N d'"
    ):
        parse(pattern)


@pytest.mark.parametrize(
    ("pattern", "shape", "sizes", "message"),
    [
        (
            "T B N C",
            (2, 3, 6),
            {},
            r"got shape \(2, 3, 6\), expected 4 axes, 'T B N C'; say with axes=",
        ),
        ("T B C", (2, 3, 6, 4), {}, "expected 3 axes, 'T B C'"),
        (
            "(T B) C x",
            (6, 4, 5),
            {},
            r"got 6 for \(T B\) of '\(T B\) C x', expected all sizes but one .* known: none",
        ),
        ("(T B) C x", (7, 4, 5), {"T": 2, "B": 3}, r"got 7 for \(T B\) .* known: T = 2, B = 3"),
        ("(T B) C x", (12, 4, 5), {"T": 2, "B": 3}, r"got 12 for \(T B\)"),
        ("T B (N C)", (2, 3, 25), {}, r"got 25 for \(N C\) .* known: N = 6"),
    ],
)
def test_axes_that_do_not_fit(
    pattern: str, shape: tuple[int, ...], sizes: dict[str, int], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse(pattern).arrange(torch.zeros(shape), sizes, two_rows)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("steps", [1, 9])
def test_large_maps_are_packed_as_small_ones(steps: int) -> None:
    spikes = (torch.rand(steps, 2, 3, 150, 300) < 0.3).float()  # 270,000 a step
    maps = (
        spikes.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, (steps, 2))
    )
    for laid_out in (spikes, maps):
        layer = LayerBits("a", counts=None)
        layer.add(laid_out, time_first)
        layer.add(laid_out[0], one_step)
        assert (layer.steps, layer.samples, layer.shape) == (steps + 1, 2, (3, 150, 300))
        expected = np.packbits(spikes.bool().flatten(2).numpy(), axis=-1).swapaxes(0, 1)
        assert np.array_equal(layer.packed()[:, :-1], expected)
        assert np.array_equal(layer.packed()[:, -1], expected[:, 0])


@pytest.mark.parametrize("wrong", [0.5, 2, -1, math.nan, math.inf, 1 + 2**-23])
@pytest.mark.parametrize("last", [False, True])
def test_a_value_that_is_no_bit_is_found_wherever_it_is(wrong: float, last: bool) -> None:
    spikes = (torch.rand(6, 2, 3, 4, 5) < 0.3).float()
    spikes[(-1,) * 5 if last else (0,) * 5] = wrong
    layer = LayerBits("a", counts=None)
    layer.add(spikes, time_first)
    counts = "ternary" if wrong == -1 else "fired"
    advice = "" if math.isnan(wrong) else f"; pass counts='{counts}'"
    with pytest.raises(InputError, match=f"that are neither 0 nor 1, expected spikes{advice}"):
        layer.packed()
    layer = LayerBits("a", counts="fired")
    layer.add(spikes, time_first)
    if wrong > 0:
        assert np.array_equal(layer.packed()[1, 5], np.packbits(spikes[5, 1].numpy() > 0))
    else:
        advice = (
            "; pass counts='ternary' to record -1, 0 and 1 as two planes of channels, "
            "positive spikes first"
        )
        with pytest.raises(
            InputError, match=rf"in (-1|nan) … (1|nan), expected counts of 0 or more{advice}"
        ):
            layer.packed()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_packed_on_a_gpu_as_numpy_does() -> None:
    bits = torch.rand(3, 5, 7, 9, device="cuda") < 0.4
    packed = pack_maps(bits)
    assert packed.is_cuda
    assert packed.shape == (3, math.ceil(315 / 8))
    assert np.array_equal(packed.cpu().numpy(), np.packbits(bits.flatten(1).cpu().numpy(), axis=-1))


SCORES = torch.tensor([[1.0, 2.0, 0.0, 3.0], [5.0, 0.0, 1.0, 2.0]])  # (B, K)


@dataclass
class Answer:
    """As libraries return it."""

    loss: None
    logits: Tensor


def test_logits_are_found_or_refused_in_one_line() -> None:
    in_dictionaries = {"loss": None, "logits": SCORES}, OrderedDict(logits=SCORES)
    for output in (SCORES, (SCORES, None), *in_dictionaries, Answer(None, SCORES)):
        assert OutputLayout().scores(output, 4, 2, one_step).tolist() == SCORES.tolist()
    with pytest.raises(
        spikesam.InputError,
        match=r"^output: got dict of 'a', 'b', expected 'logits' in it, or a te",
    ):
        OutputLayout().scores({"a": SCORES, "b": 1}, 4, 2, one_step)
    with pytest.raises(
        spikesam.InputError, match="^output: got Answer, expected a tensor, or a tuple"
    ):
        OutputLayout().scores(Answer(None, Answer(None, SCORES)), 4, 2, one_step)


STEPS = torch.stack([SCORES, SCORES * 2, torch.zeros(2, 4)])  # (T, B, K)


@pytest.mark.parametrize(
    ("output", "layout"),
    [
        (STEPS, "TB..."),
        (STEPS.transpose(0, 1), "BT..."),
        (STEPS.movedim(0, -1), "B...T"),
        (STEPS.sum(0), "B..."),
    ],
)
@pytest.mark.parametrize("said", [False, True])
def test_steps_are_summed_in_any_layout(output: Tensor, layout: str, said: bool) -> None:
    layer = time_last if layout == "B...T" else one_step
    scores = OutputLayout().scores(output, 3, 2, layer, layout if said else None)
    assert scores.tolist() == (SCORES * 3).tolist()


@pytest.mark.parametrize("layer", [one_step, batch_first])
def test_as_many_steps_as_samples_are_asked_about(layer: Any) -> None:
    steps = torch.arange(12.0).reshape(2, 2, 3)
    message = (
        r"^output: got shape \(2, 2, 3\) of 2 steps and 2 samples, which may be \(T, B, "
        r"K\), "
        r".* layout='TB...', "
    )
    with pytest.raises(spikesam.InputError, match=message):
        OutputLayout().scores(steps, 2, 2, layer)
    assert OutputLayout().scores(steps, 2, 2, layer, "TB...").tolist() == [[6, 8, 10], [12, 14, 16]]
    assert OutputLayout().scores(steps, 2, 2, layer, "BT...").tolist() == [[3, 5, 7], [15, 17, 19]]
    assert (
        OutputLayout().scores(torch.ones(2, 2, 3), 2, 2, layer).tolist() == [[2, 2, 2]] * 2
    )  # no matter which
    earlier = OutputLayout()
    earlier.scores(torch.zeros(5, 2, 3), 2, 5, layer)  # 2 steps of 5 samples: (B, T, K)
    assert earlier.scores(steps, 2, 2, layer).tolist() == [[3, 5, 7], [15, 17, 19]]


def test_finish_takes_the_layout(tmp_path: Path) -> None:
    steps = torch.arange(12.0).reshape(2, 2, 3).flip(2)
    for layout, expected in (
        ("TB...", [[10, 8, 6], [16, 14, 12]]),
        ("BT...", [[7, 5, 3], [19, 17, 15]]),
    ):
        with spikesam.record(
            nn.Identity().eval(), tmp_path, layers=[], overwrite=True
        ) as recording:
            recording.tap("fc", torch.ones(2, 2, 3), layout="TB...")
            recording.finish(steps, layout=layout)
        assert recording.raster.readout.tolist() == expected


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("TBK", "layout: got 'TBK', expected one of B"),
        (
            "BT...",
            r"output: got shape \(3, 2, 4\), expected 3 steps and 2 samples, laid out as "
            r"layout='BT...' says",
        ),
        (
            "B...",
            "output: got shape .*, expected 3 steps and 2 samples, laid out as layout='B...' says",
        ),
    ],
)
def test_a_layout_that_does_not_fit_is_refused(layout: str, message: str) -> None:
    with pytest.raises(spikesam.InputError, match=f"^{message}"):
        OutputLayout().scores(STEPS, 3, 2, one_step, layout)


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("TB...", [[4, 6], [8, 10]]),
        ("BT...", [[2, 4], [10, 12]]),
        ("B...T", [[1, 5], [9, 13]]),
    ],
)
def test_the_layout_of_record_is_that_of_its_output_too(
    layout: str, expected: list[list[int]], tmp_path: Path
) -> None:
    steps = torch.arange(8.0).reshape(2, 2, 2)
    with spikesam.record(nn.Identity().eval(), tmp_path, [], layout=layout) as recording:
        for _ in range(2):
            recording.tap("fires", torch.ones(2, 4))
        recording.finish(steps)
    assert recording.raster.readout.tolist() == expected


def handed_over(folder: Path, spikes: Tensor, layout: str | None = None, **finish: Any) -> Any:
    """The raster of two steps of spikes that are handed over."""
    names = ["a", "b", "c"]
    with spikesam.record(nn.Identity().eval(), folder, [], class_names=names) as recording:
        for _ in range(2):
            recording.tap("tokens", spikes, layout)
        recording.finish(**finish)
    return recording.raster


def test_labels_beyond_the_names_are_blamed_on_the_labels(tmp_path: Path) -> None:
    message = "finish: labels: got 5, expected -1 to 2, as class_names has 3 names"
    with pytest.raises(spikesam.InputError, match=message):
        handed_over(tmp_path, torch.ones(2, 4), output=torch.rand(2, 3), labels=[0, 5])


def test_tokens_without_a_map_before_them_are_one_row(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="'tokens' has 6 tokens, and no map before says how"):
        raster = handed_over(tmp_path, torch.ones(2, 6, 4), "B N C")
    assert raster.layers[0].shape == (4, 1, 6)
