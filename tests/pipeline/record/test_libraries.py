"""Small networks of every library: each recorded bit is the one that the network itself returned.

Every network here returns the spikes of all its layers, as its library lays them out. They are brought to
(T, B, C, H, W), without what is tested, and compared with the recorded file.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import spikesam
from tests.pipeline.imports.models import Written, fires

T, B, CLASSES = 7, 3, 4
IMAGES = torch.rand(T, B, 2, 6, 6, generator=torch.Generator().manual_seed(1)) * 2
FEATURES = 5 * 4 * 4  # what is left of 6×6 images after a convolution with 5 kernels of 3×3


def check(out: Path, names: Sequence[str], batches: Sequence[Sequence[Tensor]]) -> spikesam.RasterReader:
    """Compare the file with the spikes of every layer in every batch, each (T, B, …)."""
    raster = spikesam.open_raster(out / "raster.h5")
    raster.verify()
    assert list(raster) == list(names)
    for number, name in enumerate(names):
        expected = torch.cat([batch[number] for batch in batches], dim=1)
        expected = expected.reshape(*expected.shape[:2], *(*expected.shape[2:], 1, 1)[:3])
        assert set(expected.unique().tolist()) == {0, 1}, name  # neither silent nor anything but spikes
        assert np.array_equal(raster[name][:], expected.bool().numpy()), name
    assert raster.timesteps == T
    return raster


def snntorch_loop(m: Any, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As snnTorch's tutorials: membranes are handed over in a loop over time."""
    mem1 = m.lif1.reset_mem()
    syn2, mem2 = m.lif2.reset_mem()
    first, last, membranes = [], [], []
    for image in images:
        spk1, mem1 = m.lif1(m.conv1(image), mem1)
        spk2, syn2, mem2 = m.lif2(m.fc2(spk1.flatten(1)), syn2, mem2)
        first.append(spk1)
        last.append(spk2)
        membranes.append(mem2)
    return torch.stack(last), torch.stack(membranes), torch.stack(first)


def test_snntorch_loop_inside_the_model(tmp_path: Path) -> None:
    import snntorch

    neurons = {"lif1": snntorch.Leaky(0.9, threshold=0.5), "lif2": snntorch.Synaptic(0.8, 0.9, threshold=0.3)}
    model = Written(snntorch_loop, conv1=nn.Conv2d(2, 5, 3), fc2=nn.Linear(FEATURES, CLASSES), **neurons).eval()
    batches = []
    with spikesam.record(model, tmp_path) as recording:
        for images in (IMAGES, IMAGES[:, :2] * 0.7):
            output = model(images)
            recording.finish(output, labels=[0] * images.shape[1])
            batches.append((output[2], output[0]))
    raster = check(tmp_path, ["lif1", "lif2"], batches)
    counts = torch.cat([last.sum(0) for _, last in batches])
    assert np.array_equal(raster.readout, counts.numpy())
    assert raster.predictions.tolist() == counts.argmax(1).tolist()
    assert (raster.header.backend, raster.header.device) == ("torch-model", "cpu")
    assert [layer.kind for layer in raster.layers] == ["conv", "dense"]


def test_snntorch_sequential_called_step_by_step(tmp_path: Path) -> None:
    from snntorch import utils

    first, last = (nn.Conv2d(2, 5, 3), fires(0.4, 0.9)), (nn.Linear(FEATURES, CLASSES), fires(0.4, 0.8, output=True))
    model, batches = nn.Sequential(*first, nn.Flatten(), *last).eval(), []
    with spikesam.record(model, tmp_path) as recording:
        for images in (IMAGES, IMAGES * 0.8):
            utils.reset(model)
            first, last = [], []
            for image in images:
                spikes, _ = model(image)
                last.append(spikes)
                first.append(model[1].fire(model[1].mem))
            recording.finish(torch.stack(last))
            batches.append((torch.stack(first), torch.stack(last)))
    check(tmp_path, ["leaky_1", "leaky_4"], batches)


def spikingjelly(step_mode: str) -> nn.Module:
    """One step mode or the other; returns the spikes of both layers."""
    from spikingjelly.activation_based import functional, layer, neuron

    def forward(m: Any, images: Tensor) -> tuple[Tensor, Tensor]:
        first = m.sn1(m.conv(images))
        return m.sn2(m.fc(m.flatten(first))), first

    first = {"conv": layer.Conv2d(2, 5, 3), "sn1": neuron.LIFNode(tau=1.5, v_threshold=0.4)}
    last = {"fc": layer.Linear(FEATURES, CLASSES), "sn2": neuron.IFNode(v_threshold=0.4, v_reset=None)}
    model = Written(forward, **first, flatten=layer.Flatten(), **last)
    functional.set_step_mode(model, step_mode)
    return model.eval()


@pytest.mark.parametrize("step_mode", ["m", "s"])
def test_spikingjelly(tmp_path: Path, step_mode: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch.jit, which it uses
        functional = pytest.importorskip("spikingjelly.activation_based.functional")
        model, batches = spikingjelly(step_mode), []
    with spikesam.record(model, tmp_path) as recording:
        for images in (IMAGES, IMAGES * 0.8):
            functional.reset_net(model)
            if step_mode == "m":
                last, first = model(images)
            else:
                last, first = (torch.stack(spikes) for spikes in zip(*map(model, images), strict=True))
            recording.finish(last.mean(0))
            batches.append((first, last))
    check(tmp_path, ["sn1", "sn2"], batches)


def test_spikingjelly_neurons_that_are_no_base_node(tmp_path: Path) -> None:
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    if not hasattr(neuron, "PSN"):
        pytest.skip("this release has no PSN")
    model = nn.Sequential(nn.Linear(6, 5), neuron.PSN(T=T), neuron.NonSpikingLIFNode()).eval()
    model[1].bias.fill_(-0.5)
    with spikesam.record(model, tmp_path) as recording:
        model(IMAGES[:, :, 0, 0])
        recording.finish()
    check(tmp_path, ["psn_1"], [(model[1](model[0](IMAGES[:, :, 0, 0])),)])


def test_norse_cells(tmp_path: Path) -> None:
    norse = pytest.importorskip("norse.torch")
    model = norse.SequentialState(
        nn.Conv2d(2, 5, 3),
        norse.LIFBoxCell(norse.LIFBoxParameters(tau_mem_inv=torch.as_tensor(400.0), v_th=torch.as_tensor(0.3))),
        nn.Flatten(),
        nn.Linear(FEATURES, CLASSES),
        norse.LIFCell(norse.LIFParameters(v_th=torch.as_tensor(0.02))),
        nn.Linear(CLASSES, CLASSES),
        norse.LICell(),
    ).eval()
    seen: dict[int, list[Tensor]] = {1: [], 4: []}
    for number, spikes in seen.items():
        model[number].register_forward_hook(lambda module, inputs, output, spikes=spikes: spikes.append(output[0]))
    with spikesam.record(model, tmp_path) as recording:
        state, scores = None, []
        for image in IMAGES:
            voltage, state = model(image, state)
            scores.append(voltage)
        recording.finish(torch.stack(scores))
    check(tmp_path, ["lifboxcell_1", "lifcell_4"], [[torch.stack(spikes) for spikes in seen.values()]])


def test_norse_all_steps_at_once_and_lifted_cells(tmp_path: Path) -> None:
    norse = pytest.importorskip("norse.torch")
    fires_early = norse.LIFParameters(v_th=torch.as_tensor(0.02))
    model = norse.SequentialState(
        norse.Lift(nn.Linear(6, 10)),
        norse.LIF(fires_early),
        norse.Lift(nn.Linear(10, CLASSES)),
        norse.Lift(norse.LIFCell(fires_early)),
    ).eval()
    dense = IMAGES[:, :, 0, 0] * 5
    hidden = [model[1](model[0](dense))[0], model(dense)[0][0]]
    with spikesam.record(model, tmp_path) as recording:
        recording.finish(model(dense))
    check(tmp_path, ["lif_1", "lifcell_3_lifted_module"], [hidden])


@pytest.mark.parametrize("squeezed_by", ["batch_size", "num_timesteps"])
def test_sinabs_squeezed(tmp_path: Path, squeezed_by: str) -> None:
    sinabs, spike_fn = pytest.importorskip("sinabs.layers"), pytest.importorskip("sinabs.activation").SingleSpike
    size = {squeezed_by: {"batch_size": B, "num_timesteps": T}[squeezed_by], "spike_fn": spike_fn}
    model = nn.Sequential(
        nn.Conv2d(2, 5, 3),
        sinabs.IAFSqueeze(spike_threshold=torch.tensor(0.6), **size),
        nn.Flatten(),
        nn.Linear(FEATURES, CLASSES),
        sinabs.IAFSqueeze(spike_threshold=torch.tensor(0.6), **size),
        sinabs.ExpLeakSqueeze(tau_mem=3.0, **{squeezed_by: size[squeezed_by]}),
    ).eval()
    flat = IMAGES.transpose(0, 1).flatten(0, 1)  # (B·T, C, H, W)
    first = model[:2](flat)
    last = model[2:5](first)
    for layer in (model[1], model[4]):
        layer.reset_states()
    with spikesam.record(model, tmp_path) as recording:
        output = model(flat)
        recording.finish(output)
    steps = [spikes.unflatten(0, (B, T)).transpose(0, 1) for spikes in (first, last, output)]
    raster = check(tmp_path, ["iafsqueeze_1", "iafsqueeze_4"], [steps[:2]])
    assert raster.readout == pytest.approx(steps[2].sum(0).numpy(), rel=1e-6)


def test_sinabs_counts_are_refused_or_recorded_as_fired(tmp_path: Path) -> None:
    sinabs = pytest.importorskip("sinabs.layers")
    model = nn.Sequential(nn.Linear(6, 10), sinabs.IAF(spike_threshold=torch.tensor(0.3))).eval()
    dense = IMAGES[:, :, 0, 0].transpose(0, 1) * 5  # (B, T, K)
    counts = model(dense).transpose(0, 1)
    assert counts.max() > 1
    message = r"layer 'iaf_1': got values in 0 … \d+ that are neither 0 nor 1, expected spikes; pass counts='fired'"

    def run(out: Path, counts: str | None) -> Tensor:
        model[1].reset_states()
        with spikesam.record(model, out, counts=counts) as recording:
            output = model(dense)
            recording.finish(output)
        return output

    with pytest.raises(spikesam.InputError, match=message):
        run(tmp_path / "a", None)
    assert not (tmp_path / "a").exists()
    assert torch.equal(run(tmp_path / "b", "fired").transpose(0, 1), counts)
    raster = check(tmp_path / "b", ["iaf_1"], [((counts > 0).float(),)])
    assert np.array_equal(raster.readout, counts.sum(0).numpy())  # what is returned is added up as it is


def test_lava_dl(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        block = pytest.importorskip("lava.lib.dl.slayer").block.cuba
    neuron = {"threshold": 0.3, "current_decay": 0.5, "voltage_decay": 0.1}
    model = nn.Sequential(
        block.Conv(neuron, 2, 5, 3, weight_scale=3),
        block.Flatten(),
        block.Dense(neuron, FEATURES, CLASSES, weight_scale=3),
    ).eval()
    spikes = (IMAGES > 1).float().movedim(0, -1)  # (B, C, H, W, T)
    seen: list[Tensor] = []
    for number in (0, 2):
        model[number].neuron.register_forward_hook(lambda module, inputs, output: seen.append(output.movedim(-1, 0)))
    with spikesam.record(model, tmp_path, layer_delay=1) as recording:
        output = model(spikes)
        recording.tap("input", spikes, layout="B...T")
        recording.finish(output)
    bits = (IMAGES > 1).float()
    raster = check(tmp_path, ["input", "conv_0", "dense_2"], [[bits, *seen]])
    assert np.array_equal(raster.readout, output.sum(-1).numpy())
    assert torch.equal(output[..., 1:], seen[1].movedim(0, -1)[..., :-1])  # a block passes its spikes on a step later
    assert raster.header.layer_delay == 1
