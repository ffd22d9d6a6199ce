"""Who attends to whom, of recorded spikes: against sums by brute force, and by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import spikesam

SHAPE = 2, 5, 6, 2, 3  # samples, steps, channels, rows, columns


def fired(seed: int, *shape: int) -> NDArray[np.bool_]:
    return np.random.default_rng(seed).random(shape or SHAPE) < 0.4


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    layers = {
        "b_attn_q_lif": fired(0),
        "b_attn_k_lif": fired(1),
        "qkv": fired(2, 2, 5, 18, 2, 3),
        "last": fired(3),
    }
    layers |= {
        f"c_{name}_{number}": fired(10 * number + (name == "k"))
        for name in "qk"
        for number in (1, 2)
    }
    spikesam.write_raster(tmp_path / "raster.h5", layers)
    return tmp_path / "raster.h5"


def table(query: NDArray[np.bool_], key: NDArray[np.bool_]) -> NDArray[np.int64]:
    """A[n, m] of each sample and step, (N, T, 6, 6), one pair of spikes after the other."""
    found = np.zeros((2, 5, 6, 6), np.int64)
    q, k = (each.reshape(2, 5, -1, 6) for each in (query, key))
    for sample, step, channel, n, m in np.ndindex(2, 5, q.shape[2], 6, 6):
        found[sample, step, n, m] += int(
            q[sample, step, channel, n] and k[sample, step, channel, m]
        )
    return found


@pytest.mark.parametrize("opened", [False, True])
def test_maps_of_tokens_heads_and_steps(recorded: Path, opened: bool) -> None:
    raster = spikesam.open_raster(recorded) if opened else recorded
    about: dict[str, Any] = {"query": "b_attn_q_lif", "key": "b_attn_k_lif", "heads": 3}
    whole = table(fired(0), fired(1))
    of_token = spikesam.attention_map(raster, **about, token=(1, 2))
    assert of_token.dtype == np.int64
    assert np.array_equal(of_token.reshape(2, 6), whole[:, :, 5].sum(axis=1))
    assert np.array_equal(
        spikesam.attention_map(raster, **about).reshape(2, 6), whole.sum(axis=(1, 2))
    )
    assert np.array_equal(
        spikesam.attention_map(raster, **about, step=4).reshape(2, 6), whole[:, 4].sum(axis=1)
    )
    of_heads = [
        spikesam.attention_map(raster, **about, head=head, token=(0, 1)) for head in range(3)
    ]
    one = table(fired(0)[:, :, 2:4], fired(1)[:, :, 2:4])[:, :, 1].sum(axis=1)
    assert np.array_equal(of_heads[1].reshape(2, 6), one)
    assert np.array_equal(sum(of_heads), spikesam.attention_map(raster, **about, token=(0, 1)))
    joined = fired(2, 2, 5, 18, 2, 3)
    found = spikesam.attention_map(raster, query="qkv", key="qkv", token=(0, 0))
    assert np.array_equal(
        found.reshape(2, 6), table(joined[:, :, :6], joined[:, :, 6:12])[:, :, 0].sum(axis=1)
    )


def test_counts_are_the_sum_of_layers(recorded: Path) -> None:
    names = {what: [f"c_{name}_1", f"c_{name}_2"] for what, name in (("query", "q"), ("key", "k"))}
    found = spikesam.attention_map(recorded, **names, token=(1, 0))
    pairs = [table(fired(10 * q), fired(10 * k + 1)) for q in (1, 2) for k in (1, 2)]
    assert np.array_equal(found.reshape(2, 6), sum(pairs)[:, :, 3].sum(axis=1))


def test_the_method_maps_keys_that_are_known_by_name(recorded: Path) -> None:
    maps = spikesam.explain(recorded, method="attention", steps="all")
    assert list(maps) == ["b_attn_k_lif", "qkv"]
    whole = table(fired(0), fired(1))
    assert np.array_equal(maps["b_attn_k_lif"].sum[:].reshape(2, 6), whole.sum(axis=(1, 2)))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"heads": 4},
            "attention_map: 4 heads of 6 channels of 'b_attn_q_lif', expected a divisor",
        ),
        ({"heads": 2, "head": 2}, "attention_map: head is 2, expected 0 … 1"),
        ({"step": 5}, "attention_map: step is 5, expected 0 … 4"),
        (
            {"token": (2, 0)},
            r"attention_map: token is \(2, 0\), expected \(row, column\) below 2 and 3",
        ),
        ({"token": 5}, r"attention_map: token is 5, expected \(row, column\)"),
        (
            {"token": (0.5, 1)},
            r"attention_map: token has the member 0.5, expected \(row, column\)",
        ),
        ({"key": []}, "attention_map: query or key is an empty list, expected names of layers"),
        ({"key": ["last", "no"]}, "layer 'no'"),
        (
            {"key": "qkv"},
            r"attention of 'b_attn_q_lif' of \(6, 2, 3\) and 'qkv' of \(18, 2, 3\), expected one "
            r"shape",
        ),
        ({"key": "k"}, "layer 'k'"),
    ],
)
def test_what_is_not_there(recorded: Path, changed: dict[str, Any], message: str) -> None:
    about: dict[str, Any] = {"query": "b_attn_q_lif", "key": "b_attn_k_lif"}
    with pytest.raises(spikesam.InputError, match=message):
        spikesam.attention_map(recorded, **(about | changed))


def test_a_recording_without_queries_is_refused(tmp_path: Path) -> None:
    spikesam.write_raster(tmp_path / "raster.h5", {"conv1": fired(0)})
    with pytest.raises(
        spikesam.InputError, match="no layer is known as keys by its name, expected pairs such as"
    ):
        spikesam.explain(tmp_path / "raster.h5", method="attention")
