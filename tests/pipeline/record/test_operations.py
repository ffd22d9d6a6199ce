"""Operations that are counted while a model runs: numbers worked by hand, and those of others."""

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import spikesam
from spikesam.recordings.counted_operations import NAME
from tests.pipeline.record import transformers
from tests.pipeline.record.counting import Fires, recorded


def test_a_convolution_with_padding_and_stride(tmp_path: Path) -> None:
    """3 × 3 places, a kernel of 2 × 2 with one weight of 0, in steps of 2, with a border of 1.

    The kernel begins at rows and columns -1 and 1: its rows lie on rows -1 and 0, and 1 and
    2. So each place lies under one weight:

        w11 w10 w11        weights [[1, 2], [0, 3]]: w10 is 0
        w01 w00 w01
        w11 w10 w11
    """
    model = nn.Sequential(nn.Conv2d(1, 1, 2, stride=2, padding=1), Fires()).eval()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[[[1.0, 2.0], [0.0, 3.0]]]]))
    frame = torch.tensor([[1.0, 1.0, 0.5], [1.0, -1.0, 0.0], [0.0, 1.0, 2.0]])
    inputs = torch.stack([frame, torch.zeros(3, 3)])[:, None, None]  # 2 steps, 1 sample
    counts = recorded(model, inputs, tmp_path, loop=True, layers=["1"])
    assert counts == {"0": [[[3, 0], [2, 0]]]}


@pytest.mark.parametrize("layout", ["TB...", "BT...", "a step a call"])
def test_a_linear_layer(layout: str, tmp_path: Path) -> None:
    """Fan-outs are 2, 1 and 0; of samples 0 and 1, at steps 0, 1 and 2."""
    model = nn.Sequential(nn.Linear(3, 2), Fires()).eval()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 2.0, 0.0], [3.0, 0.0, 0.0]]))
    inputs = torch.tensor(
        [
            [[1.0, 1.0, 1.0], [0.0, 0.5, 0.0]],
            [[0.0, 1.0, 0.0], [-1.0, 0.0, 9.0]],
            [[0.3, 0.0, 0.0], [0.2, 0.3, 1.0]],
        ]
    )
    if layout == "a step a call":
        counts = recorded(model, inputs, tmp_path, loop=True, layers=["1"])
    else:
        arranged = inputs if layout == "TB..." else inputs.transpose(0, 1)
        counts = recorded(model, arranged, tmp_path, layers=["1"], layout=layout)
    assert counts == {"0": [[[3, 1, 0], [0, 0, 2]], [[0, 2, 0], [1, 0, 3]]]}


class Multiplies(nn.Module):
    """Two factors of the input, multiplied in a way, and neurons."""

    def __init__(self, way: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.way, self.fires = way, Fires()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.fires(self.way(x, x.transpose(-1, -2)))
        return result


@pytest.mark.parametrize(
    "way",
    [
        torch.matmul,
        lambda x, y: x @ y,
        lambda x, y: torch.einsum("tbnc,tbcm->tbnm", x, y),
        lambda x, y: torch.bmm(x.flatten(0, 1), y.flatten(0, 1)).unflatten(0, x.shape[:2]),
    ],
    ids=["matmul", "@", "einsum", "bmm"],
)
def test_a_product_of_spikes(way: Any, tmp_path: Path) -> None:
    """Channel 0 has two numbers but 0 in rows and columns, 4 pairs; channel 1 one, 1 pair. At step
    1 a number meets itself.
    """
    inputs = torch.tensor([[[[1.0, 0.0], [1.0, 1.0]]], [[[0.5, 0.0], [0.0, 1.0]]]])
    axes = {"fires": "T B n m"}
    counts = recorded(Multiplies(way).eval(), inputs, tmp_path, layers=["fires"], axes=axes)
    assert counts == {"product": [[[5, 1], [0, 1]]]}


def test_no_network_is_needed_for_energy(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 2, bias=False), Fires()).eval()
    nn.init.ones_(model[0].weight)
    inputs = torch.tensor([[[1.0, 0.5, 0.0]], [[0.0, 0.0, 0.0]]])
    recorded(model, inputs, tmp_path, layers={"1": "lif"}, layout="TB...")
    found = spikesam.energy(tmp_path)
    rows = found.layers.set_index("layer")
    assert list(rows.index) == ["0", "lif"]
    assert rows.loc["0", ["operations", "macs", "dense", "ann_macs"]].tolist() == [2, 2, 12, 6]
    assert rows.loc["lif", ["spikes", "updates", "operations"]].tolist() == [2, 4, 0]
    assert found.operations == 2
    assert found.joules == pytest.approx(2 * 0.9e-12 + 2 * 4.6e-12)
    assert np.isnan(spikesam.energy(tmp_path, prices="lemaire").joules)
    loihi = spikesam.energy(tmp_path, prices="loihi")
    assert loihi.joules == pytest.approx(2 * 23.6e-12 + 2 * 52e-12 + 2 * 81e-12)
    assert "not among the joules" in loihi.note
    assert "Numbers that are no spikes take 2 MACs." in str(found)


def test_counts_of_another_raster_are_refused(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 2), Fires()).eval()
    recorded(model, torch.ones(2, 1, 3), tmp_path, layers={"1": "lif"}, layout="TB...")
    changed = {"lif": np.eye(2, dtype=bool).reshape(1, 2, 2, 1, 1)}
    spikesam.write_raster(tmp_path / "raster.h5", changed, overwrite=True)
    with pytest.raises(spikesam.InputError, match="operations of another raster than"):
        spikesam.energy(tmp_path)


@pytest.mark.parametrize("place", [0, 4, 40, -1])
def test_a_damaged_file_is_refused(place: int, tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 2), Fires()).eval()
    recorded(model, torch.ones(2, 1, 3), tmp_path, layers=["1"], layout="TB...")
    content = bytearray((tmp_path / NAME).read_bytes())
    content[place] ^= 0xFF
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(spikesam.InputError, match=NAME):
        spikesam.energy(tmp_path)


def test_a_changed_description_is_refused(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 2), Fires()).eval()
    recorded(model, torch.ones(2, 1, 3), tmp_path, layers=["1"], layout="TB...")
    content = (tmp_path / NAME).read_bytes()
    changed = content.replace(rb"\"macs\": 6", rb"\"macs\": 5")
    assert changed != content
    (tmp_path / NAME).write_bytes(changed)
    with pytest.raises(spikesam.InputError, match="changed or damaged"):
        spikesam.energy(tmp_path)


def test_a_recording_without_counts_removes_earlier_ones(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 2), Fires()).eval()
    recorded(model, torch.ones(2, 1, 3), tmp_path, layers=["1"], layout="TB...")
    with spikesam.record(model, tmp_path, ["1"], layout="TB...", overwrite=True) as recording:
        model(torch.ones(2, 1, 3))
        recording.finish()
    assert not (tmp_path / NAME).exists()


def test_nothing_of_a_batch_is_kept(tmp_path: Path) -> None:
    """So memory does not grow with their number."""
    model = nn.Sequential(nn.Linear(3, 2), Fires(), nn.Linear(2, 2)).eval()
    tensors: list[weakref.ref[Tensor]] = []

    def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
        tensors.append(weakref.ref(output))

    for module in model:
        module.register_forward_hook(keep)
    options: dict[str, Any] = {"layers": ["1"], "layout": "TB...", "operations": True}
    with spikesam.record(model, tmp_path, **options) as recording:
        for _ in range(2):
            model(torch.ones(2, 1, 3))
            recording.finish()
            gc.collect()
            assert tensors and not any(tensor() is not None for tensor in tensors)


class Twice(nn.Module):
    """A linear layer that runs twice before the steps begin, or mixes the axes."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.fc, self.fires = way, nn.Linear(3, 3), Fires()
        self.attend = nn.MultiheadAttention(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.way == "twice":
            x = self.fc(self.fc(x))
            return torch.stack([self.fires(x) for _ in range(2)])
        if self.way == "mixed":
            return torch.stack([self.fires(self.fc(x.T.contiguous()).T) for _ in range(2)])
        return torch.stack([self.fires(self.attend(x, x, x)[0]) for _ in range(2)])


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("twice", r"operations: module 'fc' is called 2 times in a batch of 2 steps"),
        ("mixed", r"operations: module 'fc' multiplies \(3,\) rows, of which the 2 steps and 4 "),
        ("hidden", r"operations: module 'attend' calls multi_head_attention_forward"),
    ],
)
def test_unknown_steps_are_refused(way: str, message: str, tmp_path: Path) -> None:
    inputs = torch.ones(4, 3)
    model = Twice(way).eval()
    if way == "mixed":
        model.fc = nn.Linear(4, 4).eval()
    with pytest.raises(spikesam.InputError, match=message):
        recorded(model, inputs, tmp_path, layers=["fires"])
    assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize(
    "kind",
    [
        transformers.SSA,
        transformers.Spiking_Self_Attention,
        transformers.Token_QK_Attention,
        transformers.MS_SSA_Conv,
    ],
)
def test_spikingjelly_counts_the_same(kind: Any, tmp_path: Path) -> None:
    """Where numbers meet spikes, it counts numbers of 0, too; here none are."""
    counters = pytest.importorskip("spikingjelly.activation_based.op_counter")
    from spikingjelly.activation_based import functional

    torch.manual_seed(0)
    model, inputs = transformers.Model(kind), (torch.rand(4, 3, 1, 4, 6) < 0.5).float()
    zeros = 0

    class Zeros(torch.overrides.TorchFunctionMode):
        def __torch_function__(
            self, function: Any, types: Any, args: Any = (), kw: Any = None
        ) -> Any:
            nonlocal zeros
            if function.__name__ == "matmul":
                left, right = args
                if not ((left == 0) | (left == 1)).all():
                    zeros += int(((left == 0).sum(-2) * right.sum(-1)).sum())
                elif not ((right == 0) | (right == 1)).all():
                    zeros += int((left.sum(-2) * (right == 0).sum(-1)).sum())
            return function(*args, **(kw or {}))

    counter = counters.SynOpCounter()
    with torch.no_grad(), counters.DispatchCounterMode([counter]), Zeros():
        model(inputs)
    functional.reset_net(model)
    counts = recorded(model, inputs, tmp_path, axes={"lif": "T B C H W"})
    additions = sum(np.array(by_sample)[:, 0].sum() for by_sample in counts.values())
    assert additions == counter.get_total() - zeros
