"""Relevance by one backward pass of the model: that of its import, and what cannot be followed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import spikesam
from spikesam.backends.network import Network, NetworkError
from spikesam.common.errors import InputError
from spikesam.pipeline.imports.torch.modules import reset
from spikesam.pipeline.maps.layers import laid_out
from spikesam.pipeline.maps.relevance import relevance
from spikesam.pipeline.networks.recorded import with_network
from spikesam.pipeline.record._batch import LayerBits
from spikesam.pipeline.record._input_axes import input_layout
from spikesam.pipeline.record._layouts import merged, time_first
from tests.pipeline.imports.random_models import SAMPLES, STEPS, model_of
from tests.pipeline.imports.transformers import TRANSFORMERS, calibrated


@pytest.fixture(autouse=True)
def _with_gradients() -> Iterator[None]:
    with torch.enable_grad():
        yield


def run(library: str, model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor, str]:
    """What a model of a library gives for (T, B, …), the input as it takes it, and the layout."""
    if library == "sinabs":
        given = x.transpose(0, 1).contiguous()
        return model(given.flatten(0, 1)).unflatten(0, (SAMPLES, STEPS)), given, "BT..."
    state, steps = None, []
    for step in x:
        found = model(step, state) if library == "norse" else model(step)
        found, state = found if library == "norse" else (found, None)
        steps.append(found)
    return torch.stack(steps), x, "TB..."


def recorded(library: str, model: nn.Module, x: Tensor, out: Path, **options: Any) -> Any:
    """A recording of one batch."""
    reset(model)
    with (
        nullcontext() if "why" in options else torch.no_grad(),
        spikesam.record(model, out, overwrite=True, **options) as recording,
    ):
        found, given, layout = run(library, model, x)
        if not ((x == 0) | (x == 1)).all():
            pass  # numbers, which a raster does not hold
        elif layout == "TB...":
            for step in x:
                recording.tap("input", step)
        else:
            recording.tap("input", given, layout)
        recording.finish(found, layout=layout)
    return recording.raster


def relevance_of_import(network: Network, raster: Any, target: int) -> dict[str, Any]:
    """Layer -> (B, H, W) in units of what the model gives, summed over steps and channels."""
    lined, network = with_network(raster, network)
    sums: dict[str, list[Any]] = {}
    for sample in range(lined.n_samples):
        spikes = [lined[layer.name][sample] for layer in lined.layers]
        for layer, values in zip(lined.layers, relevance(network, spikes, target), strict=True):
            by_place = values.reshape(-1, *laid_out(layer.shape)).sum(axis=(0, 1))
            sums.setdefault(layer.name, []).append(by_place * network.timesteps)
    return {name: np.stack(values) for name, values in sums.items()}


def difference(library: str, seed: int, out: str | Path) -> float | None:
    """The largest difference between both, as a share of the largest value; None if the model is
    not imported.
    """
    model, given = model_of(library, seed)
    x = given(0.6 if seed % 2 else 0.15, seed)
    try:
        network = spikesam.from_torch(model, x)
    except NetworkError:
        return None
    if any(getattr(module, "reset_delay", True) is False for module in model.modules()):
        return None  # which is refused, see below
    spikes_alone = bool(((x == 0) | (x == 1)).all())
    first = network.layers[0]
    if not spikes_alone and any(source.layer == first.name for source in first.sources):
        return None  # a raster does not hold the numbers, so the import cannot know its membranes
    raster = recorded(library, model, x, Path(out), why=1)
    with spikesam.open_maps(Path(out) / "why.h5") as maps:
        found = {name: maps[name].sum for name in maps}
    expected = relevance_of_import(network, raster, 1)
    most = max(float(np.abs(values).max()) for values in expected.values())
    assert set(expected) | {"input"} == set(found) | {"input"}
    # The import has no numbers of an input.
    differences = [np.abs(expected[name] - found[name]).max() for name in expected if name in found]
    return float(max(differences)) / max(most, 1e-9)


SEEDS = {"snntorch": (5, 12), "spikingjelly": (3, 4), "norse": (1, 4), "sinabs": (1, 8)}


@pytest.mark.parametrize(
    ("library", "seed"), [(library, seed) for library, seeds in SEEDS.items() for seed in seeds]
)
def test_it_is_the_relevance_of_the_import(library: str, seed: int, tmp_path: Path) -> None:
    found = difference(library, seed, tmp_path)
    assert found is not None and found <= 1e-5


@pytest.mark.long
@pytest.mark.parametrize("library", SEEDS)
def test_many_models(library: str, tmp_path: Path) -> None:
    compared, seed = 0, 0
    while compared < 50:
        found = difference(library, seed, tmp_path)
        assert found is None or found <= 1e-5, seed
        compared, seed = compared + (found is not None), seed + 1


@pytest.mark.long
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_attention_has_the_relevance_of_the_import(name: str, tmp_path: Path) -> None:
    """Each factor of spikes has a third; layers that the import alone has are left out."""
    torch.manual_seed(0)
    make, side, *_ = TRANSFORMERS[name]
    images = 3 * torch.rand(2, 3, side, side)
    model = calibrated(make(), images)
    network = spikesam.from_torch(model, images, timesteps=4)
    reset(model)
    with spikesam.record(model, tmp_path, why=1) as recording:
        recording.finish(model(images))
    expected = relevance_of_import(network, recording.raster, 1)
    with spikesam.open_maps(tmp_path / "why.h5") as maps:
        layers = set(maps) - {"input"}
        assert layers < set(expected) and any("attn" in layer for layer in layers)
        most = max(float(np.abs(values).max()) for values in expected.values())
        for layer in layers:
            assert np.abs(maps[layer].sum - expected[layer]).max() <= 1e-5 * most, layer


def neurons(**options: Any) -> nn.Module:
    snn = pytest.importorskip("snntorch")
    leaky: nn.Module = snn.Leaky(**{"beta": 0.5, "threshold": 1.0, "init_hidden": True, **options})
    return leaky


def test_a_spike_worked_by_hand(tmp_path: Path) -> None:
    """v = 0.6, 0.9, 1.45: it fires at step 2, of 0.25 · 0.6, 0.5 · 0.6 and 1."""
    linear = nn.Linear(2, 1, bias=False)
    linear.weight.data = torch.tensor([[0.6, 1.0]])
    model = nn.Sequential(linear, neurons()).eval()
    with spikesam.record(model, tmp_path, why={"spikes": lambda output: output[:, 0]}) as recording:
        steps = []
        for step in torch.tensor([[[1.0, 0]], [[1, 0]], [[0, 1]]]):
            recording.tap("input", step)
            steps.append(model(step))
        recording.finish(sum(steps))
    maps = spikesam.explain(tmp_path, method="relevance", layers=["input", "leaky_1"])
    assert maps.header.parameters == {"rule": "signed", "target_name": "spikes"}
    expected = np.array([[0.15, 0], [0.3, 0], [0, 1]]) / 1.45
    assert np.allclose(maps["input"][0][:, :, 0], expected)
    assert maps["leaky_1"][0].ravel().tolist() == [0, 0, 1]


def test_numbers_that_drive_each_step_have_relevance(tmp_path: Path) -> None:
    """v = 0.6, 0.9, 1.05 of 1.5 · 0.4 a step: its spike rests on 0.25 · 0.6, 0.5 · 0.6 and 0.6."""
    linear = nn.Linear(2, 1, bias=False)
    linear.weight.data = torch.tensor([[0.4, 1.0]])
    model, image = nn.Sequential(linear, neurons()).eval(), torch.tensor([[1.5, 0.0]])
    with spikesam.record(model, tmp_path, why={"spikes": lambda output: output[:, 0]}) as recording:
        recording.finish(sum(model(image) for _ in range(3)))
    maps = spikesam.explain(tmp_path, method="relevance", layers=["input", "leaky_1"], steps="all")
    assert list(maps) == ["input", "leaky_1"]
    assert np.allclose(maps["input"][0][:, :, 0], np.array([[0.15, 0], [0.3, 0], [0.6, 0]]) / 1.05)


class Pictured(nn.Module):
    """An image that enters once, and drives each of five steps."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
        self.conv = nn.Conv2d(2, 3, 3, padding=1, bias=False)
        self.conv.weight.data.abs_()
        self.lif = neuron.IFNode(step_mode="m", v_threshold=0.5)

    def forward(self, image: Tensor) -> Tensor:
        spikes: Tensor = self.lif(self.conv(image).expand(5, -1, -1, -1, -1))
        return spikes


def test_the_relevance_of_an_image_is_shown(tmp_path: Path) -> None:
    """Without biases, its pixels get what the target is, and it enters at step 0."""
    model, image = Pictured().eval(), torch.rand(2, 2, 6, 7)
    with spikesam.record(model, tmp_path, why=whole, layout="TB...") as recording:
        output = model(image)
        recording.finish(output, answers=None, images=image[:, :1])
    maps = spikesam.explain(tmp_path, method="relevance", steps="all")
    assert maps["input"].sum.shape == (2, 6, 7) and not maps["input"][0][1:].any()
    expected = whole(output.detach()).numpy()
    assert np.allclose(maps["input"].sum.sum((1, 2)), expected) and (expected > 10).all()
    table = spikesam.measure(maps, [np.eye(6, 7, dtype=bool)] * 2)
    assert {"input", "lif"} <= set(table["layer"])
    assert maps.plot(1).axes
    assert '"input":{"shape":[6,7]' in spikesam.report(tmp_path).read_text()


T, B = 5, 3
# The shape that a call gets, how many calls, their steps and samples; None where it is left open.
SHAPES: Any = [
    ((B, 2, 6, 6), T, (1, B)),
    ((B, 7), T, (1, B)),
    ((B, 2, 6, 6), 1, (1, B)),
    ((T, B, 2, 6, 6), 1, (T, B)),
    ((B, T, 2, 6, 6), 1, (T, B)),
    ((B * T, 2, 6, 6), 1, (T, B)),
    ((T, B, 7), 1, None),
    ((T, 2, 6, 6), 1, None),
    ((B, 2, 6, 6), 2, None),
]


@pytest.mark.parametrize(("shape", "calls", "expected"), SHAPES)
def test_the_axes_of_an_input(shape: tuple[int, ...], calls: int, expected: Any) -> None:
    layer = LayerBits("lif", None)
    layer.add(torch.zeros(B * T, 4), merged(-1, T))
    x = torch.zeros(shape)
    layout = input_layout(x, calls, layer)
    assert (None if layout is None else tuple(layout(x).shape[:2])) == expected


@pytest.mark.parametrize("shape", [(B, B, 2, 6, 6), (B, B, 6, 6)])
def test_as_many_steps_as_samples_leave_the_axes_open(shape: tuple[int, ...]) -> None:
    layer = LayerBits("lif", None)
    layer.add(torch.zeros(B, B, 4), time_first)
    assert input_layout(torch.zeros(shape), 1, layer) is None


class AllSteps(nn.Module):
    """Neurons on images of all steps, (T, B, C, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
        self.lif = neuron.IFNode(step_mode="m", v_threshold=0.5)

    def forward(self, frames: Tensor) -> Tensor:
        spikes: Tensor = self.lif(frames.float())
        return spikes


def recorded_frames(frames: list[Tensor], out: Path, **options: Any) -> Any:
    """Maps of the input, of batches of frames."""
    model = AllSteps().eval()
    with spikesam.record(model, out, why=whole, layout="TB...", **options) as recording:
        for batch in frames:
            reset(model)
            recording.finish(model(batch), answers=None)
    return spikesam.explain(out, method="relevance", steps="all")


def test_an_input_without_a_map_is_said(tmp_path: Path) -> None:
    """2 steps of 2 samples: names of axes tell them apart, and so does an earlier batch."""
    frames = torch.rand(2, 3, 1, 3, 4)
    square = frames[:, :2]
    expected = recorded_frames([frames], tmp_path / "3 samples")["input"]
    assert expected[0].any() and not np.allclose(expected[0], expected[1])
    open_axes = r"input \(2, 2, 1, 3, 4\) are not known.*; name them, such as axes={'input'"
    with pytest.warns(UserWarning, match=open_axes):
        assert "input" not in recorded_frames([square], tmp_path / "2 samples")
    axes = {"axes": {"input": "T B C H W"}}
    named = recorded_frames([square], tmp_path / "named", **axes)["input"]
    assert np.array_equal(named[:2], expected[:2])
    later = recorded_frames([frames, square], tmp_path / "later")["input"]
    assert np.array_equal(later[3:], expected[:2])
    message = "'input': 'B T C H W' says 3 steps of 2 samples.*expected 2 steps of 3 samples"
    with pytest.raises(InputError, match=message):
        recorded_frames([frames], tmp_path / "wrong", axes={"input": "B T C H W"})


def test_an_input_of_other_numbers_gets_no_map(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="first argument is no tensor of floating-point numbers"):
        assert "input" not in recorded_frames([torch.ones(2, 3, 1, 3, 4).int()], tmp_path)


class Branches(nn.Module):
    """SpikingJelly's neurons on (T, B, …) at once: a sum, maxima, a product of three, enlarged maps
    beside others; what does not import.
    """

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
        self.conv, self.other, self.last = (
            nn.Conv2d(channels, 4, 3, padding=1, bias=False) for channels in (1, 4, 8)
        )
        options: dict[str, Any] = {"step_mode": "m", "v_threshold": 0.2}
        self.lif = neuron.LIFNode(**options, v_reset=None)
        self.q, self.k, self.v = (neuron.IFNode(**options) for _ in range(3))
        self.out = neuron.LIFNode(**options, decay_input=False)

    def forward(self, x: Tensor) -> Tensor:
        steps, samples = x.shape[:2]
        early = self.lif(3 * self.conv(x.flatten(0, 1)).unflatten(0, (steps, samples)))
        pooled = nn.functional.max_pool2d(early.flatten(0, 1), 3, 2, 1)
        current = 2 * self.other(pooled).unflatten(0, (steps, samples))
        product = self.q(current) * self.k(1.2 * current) * self.v(current.roll(1, 2))
        summed = (product + pooled.unflatten(0, (steps, samples))).flatten(0, 1)
        enlarged = nn.functional.interpolate(summed, scale_factor=2)
        beside = torch.cat([enlarged, early.flatten(0, 1)], 1)
        spikes: Tensor = self.out(self.last(beside).unflatten(0, (steps, samples)))
        return spikes


def bits(*shape: int) -> Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(1)) < 0.4).float()


def whole(output: Tensor) -> Tensor:
    """The sum over steps, channels and places of an output (T, B, …)."""
    return output.transpose(0, 1).flatten(1).sum(1)


def recorded_at_once(
    model: nn.Module, x: Tensor, out: Path, why: Any = whole, answers: Any = None
) -> Any:
    """Layer -> relevance (B, H, W) of a model that takes all steps at once, and its output."""
    with spikesam.record(model.eval(), out, why=why, layout="TB...", overwrite=True) as recording:
        recording.tap("input", x, "TB...")
        output = model(x)
        recording.finish(output, answers=answers)
    with spikesam.open_maps(out / "why.h5") as maps:
        return {name: maps[name].sum for name in maps}, output.detach()


def test_relevance_is_conserved_where_nothing_is_imported(tmp_path: Path) -> None:
    """Without biases, the input gets what the target is."""
    found, output = recorded_at_once(Branches(), bits(6, 3, 1, 8, 8), tmp_path)
    expected = whole(output)
    assert (expected > 20).all()
    assert torch.allclose(torch.from_numpy(found["input"]).sum((1, 2)), expected, rtol=1e-5)


def test_the_page_and_the_measures_show_targets_by_name(tmp_path: Path) -> None:
    model, x = Branches(), bits(4, 2, 1, 8, 8)
    targets = {"left half": lambda output: whole(output[..., :4]), "all": whole}
    recorded_at_once(model, x, tmp_path, targets)
    maps = spikesam.explain(tmp_path, method="relevance", target="all")
    assert maps.header.parameters["target_name"] == "all"
    first = spikesam.explain(tmp_path, method="relevance", out=tmp_path / "first.h5")
    assert first.header.parameters["target_name"] == "left half"
    assert first["out"].sum[..., 4:].sum() == 0 < maps["out"].sum[..., 4:].sum()
    table = spikesam.measure(first, [np.eye(8, dtype=bool)] * 2)
    assert "relevance" in set(table["map"])
    page = spikesam.report(tmp_path).read_text()
    assert '"classes":["left half","all"]' in page and '"of":"left half"' in page


def test_targets_of_an_earlier_recording_are_gone(tmp_path: Path) -> None:
    """The spikes are the same, so nothing else tells the files apart."""
    model, x = Branches(), bits(4, 2, 1, 8, 8)
    for targets in ({"first": whole, "second": whole}, {"first": whole}):
        reset(model)
        recorded_at_once(model, x, tmp_path, targets)
    assert [path.name for path in sorted(tmp_path.glob("why*.h5"))] == ["why.h5"]


def test_relevance_of_early_maps_of_a_transformer_is_kept(tmp_path: Path) -> None:
    """Later maps are smaller, which once made early ones look like tokens."""
    module = pytest.importorskip("spikingjelly.activation_based.model.qkformer")
    model = module.QKFormer(
        T=2, in_channels=1, num_classes=4, embed_dims=32, num_heads=(2, 2, 2), depths=(1, 1, 1)
    )
    with spikesam.record(model.eval(), tmp_path, why=1) as recording:
        recording.finish(model(torch.rand(2, 1, 32, 64)))
    with spikesam.open_maps(tmp_path / "why.h5") as maps:
        assert maps["patch_embed1_lif1"].sum.shape == (2, 16, 32)


class Loop(nn.Module):
    """snnTorch's neurons whose membranes the model hands on, or which keep them."""

    def __init__(self, hidden: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.hidden, self.first, self.second = hidden, nn.Linear(6, 5), nn.Linear(5, 3)
        self.lif1, self.lif2 = (neurons(threshold=0.2, init_hidden=hidden) for _ in range(2))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        mem1 = mem2 = None
        steps = []
        for step in x:
            if self.hidden:
                steps.append(self.lif2(self.second(self.lif1(self.first(step)))))
                continue
            spikes, mem1 = self.lif1(self.first(step), mem1)
            spikes, mem2 = self.lif2(self.second(spikes), mem2)
            steps.append(spikes)
        return torch.stack(steps), mem2


def test_membranes_may_be_kept_or_handed_on(tmp_path: Path) -> None:
    found = []
    for hidden in (True, False):
        model, x = Loop(hidden).eval(), bits(7, 2, 6)
        with spikesam.record(model, tmp_path, why="answer", overwrite=True) as recording:
            recording.finish(model(x))
        with spikesam.open_maps(tmp_path / "why.h5") as maps:
            found.append([maps[name].sum for name in maps])
    assert all(np.array_equal(first, second) for first, second in zip(*found, strict=True))
    assert np.any(found[0][0])


def test_a_membrane_may_be_the_answer(tmp_path: Path) -> None:
    """Without biases and resets, the input gets the membrane, as of a linear network."""
    linear = nn.Linear(6, 1, bias=False)
    leaky = neurons(init_hidden=False, reset_mechanism="none", beta=0.8)
    model, x = nn.ModuleList([linear, leaky]).eval(), bits(5, 2, 6)
    with spikesam.record(model, tmp_path, why=lambda output: output[:, 0]) as recording:
        membrane = None
        for step in x:
            recording.tap("input", step.requires_grad_())
            _, membrane = leaky(linear(step), membrane)
        recording.finish(membrane, answers=None)
    with spikesam.open_maps(tmp_path / "why.h5") as maps:
        assert membrane is not None
        sums = maps["input"].sum.sum(axis=(1, 2))
    assert np.allclose(sums, membrane.detach().numpy()[:, 0], rtol=1e-5)


def classifier(behind: nn.Module | None = None, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    more = [] if behind is None else [behind]
    return nn.Sequential(nn.Linear(6, 5), *more, neurons(**{"threshold": 0.1, **options})).eval()


@pytest.mark.parametrize(
    ("why", "message"),
    [
        ("owl", "no class 'owl', expected one of cat, dog"),
        (9, "no class 9"),
        (lambda output: output, r"gives \(2, 5\), expected a number for each sample, \(2,\)"),
        (lambda output: output[:, 0] / 0, "gives NaN or infinity"),
        (lambda output: output.softmax(1)[:, 0], "softmax is not linear behind '1'"),
        (lambda output: output[:, 0].detach(), "depends on no spike that was followed"),
        (lambda output: torch.ones(2, requires_grad=True) * 2, "depends on no spike that was"),
        (lambda output: output[:, 0] > 0, "gives torch.bool, torch.strided, expected floating"),
        (lambda output: output[:, 0].to(torch.complex64), "gives torch.complex64"),
        (lambda output: output[:, 0].to_sparse(), "gives torch.float32, torch.sparse_coo"),
        (lambda output: [1.0, 2.0], r"gives list, expected a number for each sample, \(2,\)"),
        (lambda output: output.boxes, "fails with AttributeError: 'Tensor' object has no"),
        (lambda output: output[:, 99], "fails with IndexError: index 99 is out of bounds"),
        (lambda output: output[[1, 0]].sum(1), "samples are mixed behind 'leaky_1'"),
        ({"a\nb": 0}, r"got a target named 'a.*b', expected a name of 1 to 80 printable"),
        ({1: 0}, "got a target named 1, expected a name of 1 to 80 printable"),
        ({}, "got no target"),
        ({str(number): number for number in range(65)}, "got 65 targets, expected at most 64"),
        ({"box": None}, "target 'box' is NoneType"),
    ],
)
def test_targets_that_cannot_be_explained(why: Any, message: str, tmp_path: Path) -> None:
    model, names = classifier(), ["cat", "dog", "fox", "hen", "elk"]
    with (
        pytest.raises(InputError, match=message),
        spikesam.record(model, tmp_path, why=why, class_names=names) as recording,
    ):
        recording.finish(model(bits(2, 6)))
    assert not list(tmp_path.glob("*.h5"))


class Threshold(nn.Module):
    """Neurons of nobody's library."""

    def forward(self, x: Tensor) -> Tensor:
        return (x > 0.1).float()


def test_a_class_may_be_a_number_of_numpy(tmp_path: Path) -> None:
    model = classifier()
    with spikesam.record(model, tmp_path, why=np.int64(1)) as recording:
        recording.finish(model(bits(2, 6)))
    with spikesam.open_maps(tmp_path / "why.h5") as maps:
        assert maps.header.parameters["target"] == 1


def test_a_function_of_an_output_that_was_not_handed_over(tmp_path: Path) -> None:
    model = classifier()
    with (
        pytest.raises(InputError, match="fails with AttributeError: .*finish.. got no output"),
        spikesam.record(model, tmp_path, why=lambda output: output.sum(1)) as recording,
    ):
        recording.finish(answers=model(bits(2, 6)))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: classifier(nn.LayerNorm(5)), "nativelayernorm is not linear behind 'the input'"),
        (lambda: classifier(nn.GELU()), "gelu is not linear"),
        (lambda: classifier(reset_delay=False), "module '1': has reset_delay=False"),
        (lambda: nn.Sequential(nn.Linear(6, 5)).eval(), "no neurons in Sequential whose equation"),
        (
            lambda: nn.Sequential(nn.Linear(6, 5), Threshold()).eval(),
            r"no neurons in Sequential whose equation is known, not in '1' \(Threshold\), expected",
        ),
    ],
)
def test_models_that_cannot_be_followed(model: Any, message: str, tmp_path: Path) -> None:
    made = model()
    with (
        pytest.raises(InputError, match=message),
        spikesam.record(made, tmp_path, why="answer") as recording,
    ):
        recording.finish(made(bits(2, 6)))


def test_without_gradients_it_is_refused(tmp_path: Path) -> None:
    model = classifier()
    with (
        pytest.raises(InputError, match="leave out torch.no_grad"),
        torch.no_grad(),
        spikesam.record(model, tmp_path, why="answer"),
    ):
        model(bits(2, 6))


def test_inference_mode_is_refused(tmp_path: Path) -> None:
    model = classifier()
    with (
        pytest.raises(InputError, match="leave out torch.no_grad"),
        torch.inference_mode(),
        torch.enable_grad(),
        spikesam.record(model, tmp_path, why="answer"),
    ):
        model(bits(2, 6))


def test_operations_are_counted_beside_it_without_a_warning(tmp_path: Path) -> None:
    """The counter looks at memory, which a model that hands it to others is warned of."""
    model = classifier()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="why: .* makes a number")
        with spikesam.record(model, tmp_path, why="answer", operations=True) as recording:
            recording.finish(sum(model(bits(2, 6)) for _ in range(3)))
    assert spikesam.energy(tmp_path).operations > 0


def test_a_state_left_over_is_refused(tmp_path: Path) -> None:
    model = classifier()
    with torch.no_grad():
        model(bits(2, 6))
    with (
        pytest.raises(InputError, match="module '1': begins with a membrane, expected one at rest"),
        spikesam.record(model, tmp_path, why="answer"),
    ):
        model(bits(2, 6))


def test_spikes_that_do_not_follow_are_named(tmp_path: Path) -> None:
    """The module subtracts another number than it says."""
    model, x = classifier(threshold=0.7), bits(4, 2, 6)
    leaky: Any = model[1]
    leaky.mem_reset = lambda membrane: torch.zeros_like(membrane)
    with (
        pytest.raises(InputError, match=r"module '1', sample \d, step \d, neuron \(\d,\): what"),
        spikesam.record(model, tmp_path, why="answer"),
    ):
        torch.stack([model(step) for step in 3 * x])


def test_a_membrane_whose_relevance_is_unknown_is_refused(tmp_path: Path) -> None:
    model = Branches()
    with (
        pytest.raises(InputError, match="what 'out' keeps or gives beside its spikes is read"),
        spikesam.record(
            model.eval(), tmp_path, why=lambda output: output.flatten(1).sum(1)
        ) as recording,
    ):
        recording.finish((model(bits(2, 3, 1, 8, 8)), model.out.v)[1], answers=None)


def test_nothing_of_it_is_left_in_the_model(tmp_path: Path) -> None:
    model, x = Branches().eval(), bits(4, 2, 1, 8, 8)
    with torch.no_grad():
        expected = model(x)
    reset(model)
    _, output = recorded_at_once(model, x, tmp_path)
    assert torch.equal(output, expected) and torch.is_grad_enabled()
    assert not any(module._forward_hooks for module in model.modules())
    assert not model.lif.v.requires_grad and all(each.grad is None for each in model.parameters())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_it_is_the_same_on_a_cuda_device(tmp_path: Path) -> None:
    x = bits(6, 3, 1, 8, 8)
    on_cpu, _ = recorded_at_once(Branches(), x, tmp_path / "cpu")
    on_cuda, _ = recorded_at_once(Branches().cuda(), x.cuda(), tmp_path / "cuda")
    assert np.allclose(on_cpu["input"], on_cuda["input"], atol=1e-4 * np.abs(on_cpu["input"]).max())
