"""Diff: the first bit that differs, and why: in networks whose first wrong bit is known, and in
those of others.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import spikesam
from spikesam.backends.network import LIF, Input, Layer, Network, Readout, Source
from spikesam.backends.network.storage import write_network
from spikesam.common.errors import InputError
from spikesam.pipeline.comparison._membranes import Rule, Traced
from spikesam.pipeline.comparison.pair import Bit, Differences, line_up
from spikesam.pipeline.comparison.why import explain_bit
from spikesam.pipeline.diff import main
from spikesam.pipeline.networks.open_samples import open_samples
from tests.backends.graphs import graphs, some_inputs
from tests.pipeline.comparison.rasters import Spikes, edited, fired, of_network, write
from tests.pipeline.imports.netx.pilotnet import NAMES, pilotnet, pixels, recorded
from tests.pipeline.small_networks import constant_current_checkpoint


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rasters")


number = iter(range(10**6))


@given(network=graphs(), seed=st.integers(0, 2**32))
@settings(max_examples=6)
def test_every_difference_goes_back_to_the_layer_that_was_changed(
    network: Network, seed: int, place: Path
) -> None:
    """Graphs of any shape, with delays, loops and pooling: the first ancestor is a bit of the one
    changed layer.
    """
    rng, inputs = np.random.default_rng(seed), some_inputs(network)
    which = int(rng.integers(len(network.layers)))
    layer = network.layers[which]
    bias = layer.spiking_neuron.bias + rng.integers(
        -2000, 4000, layer.spiking_neuron.bias.shape
    ).astype(np.int32)
    layers = list(network.layers)
    layers[which] = replace(layer, neuron=replace(layer.neuron, bias=bias))
    other = replace(network, layers=tuple(layers))
    rasters = (
        of_network(place / f"{next(number)}.h5", each, fired(each, inputs))
        for each in (network, other)
    )
    with next(rasters) as a, next(rasters) as b:
        pair = line_up(a, b)
        traced = Traced(pair, (Rule(network, True), Rule(other, True)))
        firsts = [*Differences(pair).firsts()]
        assume(firsts)
        for bit in firsts:
            why = explain_bit(bit, traced)
            steps = [each.step for each in (bit, *why.ancestors)]
            assert why.root.layer == layer.name
            assert steps == sorted(set(steps), reverse=True)
            assert f"the networks differ in {layer.name}: " in why.cause[-1]
            assert "biases" in why.cause[-1]
        assert firsts[0].layer == layer.name


@given(network=graphs(), seed=st.integers(0, 2**32))
@settings(max_examples=4)
def test_a_bit_that_somebody_changed_is_found(network: Network, seed: int, place: Path) -> None:
    rng = np.random.default_rng(seed)
    with of_network(
        place / f"{next(number)}.h5", network, fired(network, some_inputs(network))
    ) as raster:
        layer = raster.layers[int(rng.integers(len(raster.layers)))]
        neuron = tuple(int(rng.integers(side)) for side in layer.shape)
        sample, step = int(rng.integers(3)), int(rng.integers(network.timesteps))
        changed = edited(place / f"{next(number)}.h5", raster, (layer.name, sample, step, neuron))
        found = spikesam.diff(raster, changed, network)
    assert (found.bits, found.first) == (
        1,
        Bit(layer.name, sample, step, neuron, found.first.fired),
    )
    assert not found.why.ancestors
    if layer.name == "input":
        assert found.why.cause == ("the input itself differs: other data, or another encoding",)
    else:
        a, b, so = found.why.cause
        assert a.startswith("A: its network, in fixed point, has a membrane of ")
        assert a.endswith(", as A has it")
        assert re.search(r"but B has (a|no) spike$", b)
        bits = network.timesteps * 3 * layer.neurons
        assert so == (
            "so B was changed after it was recorded, or what simulated it has an error: the "
            "network explains all but "
            f"1 of the {bits:,} bits of {layer.name} in 3 samples"
        )


def chain() -> Network:
    """relay repeats the input's first pixel, sum adds relay and what it fired itself two steps
    ago.
    """
    relay = Layer("relay", np.array([[1.0, 0.0]], np.float32), LIF(0.0, 0.5, reset="zero"))
    own = Input(np.array([[0.5]], np.float32), Source("sum", delay=2))
    total = Layer("sum", (np.array([[0.75]], np.float32), own), LIF(0.5, 1.0, reset="zero"))
    return Network(
        (2, 1, 1), 8, (relay, total), Readout(np.ones((1, 1), np.float32)), encoder="spikes"
    )


Shown = tuple[Network, dict[str, Spikes]]


@pytest.fixture
def shown() -> Shown:
    """That network, of input spikes at 0, 1, 3 and 4, and what it fires:
    sum fires at 3 and at 5.
    """
    network, inputs = chain(), np.zeros((8, 1, 2, 1, 1), np.bool_)
    inputs[[0, 1, 3, 4], 0, 0] = True
    spikes = fired(network, inputs)
    steps = {name: sorted({int(t) for t, *_ in np.argwhere(bits)}) for name, bits in spikes.items()}
    assert steps == {"input": [0, 1, 3, 4], "relay": [1, 2, 4, 5], "sum": [3, 5]}
    return network, spikes


ORIGIN = (0, 0, 0)


def test_membranes_and_ancestors_by_hand(shown: Shown, tmp_path: Path) -> None:
    """In B relay does not fire at 2, and sum fires of the rest what it should: at 6.

    sum, t    0  1  2     3      4       5        6         7
    v in A    0  0  0.75  1.125  0       1.25     0.75      0.875
    v in B    0  0  0.75  0.375  0.1875  0.84375  1.171875  0

    What arrives at 5 in A is 0.75, and half of its own spike at 3.
    """
    network, spikes = shown
    a = of_network(tmp_path / "a.h5", network, spikes)
    b = edited(
        tmp_path / "b.h5",
        a,
        ("relay", 0, 2, ORIGIN),
        *(("sum", 0, step, ORIGIN) for step in (3, 5, 6)),
    )
    found = spikesam.diff(a, b, network, layer="sum")
    assert found.first == Bit("sum", 0, 3, ORIGIN, True)
    why = found.why
    assert why.ancestors == (Bit("relay", 0, 2, ORIGIN, True),)
    assert why.thresholds == (1, 1)
    assert why.steps["membrane_first"].tolist() == [0, 0, 0.75, 1.125, 0, 1.25, 0.75, 0.875]
    assert why.steps["membrane_second"].tolist() == [
        0,
        0,
        0.75,
        0.375,
        0.1875,
        0.84375,
        1.171875,
        0,
    ]
    assert why.steps["arrive_first"].tolist() == [0, 0, 1, 1, 0, 2, 1, 1]
    assert why.steps["arrive_differ"].tolist() == [0, 0, 0, 1, 0, 1, 0, 1]
    assert np.flatnonzero(why.steps["fired_second"]).tolist() == [6]
    assert why.cause == (
        "A: its network, in float32, has a membrane of 1 there, 200.00% of the threshold 0.5: it "
        "fires, as A has it",
        "B: its network, in float32, has a membrane of 1 there, 200.00% of the threshold 0.5: it "
        "fires, but B has no spike",
        "so B was changed after it was recorded, or what simulated it has an error: the network "
        "explains all but 1 of "
        "the 8 bits of relay",
    )
    lines = str(found).splitlines()
    assert lines[2] == "4 of 32 bits differ: 1 sample, 8 steps"
    assert (
        "first that differs: sum, step 3, sample 0, neuron (0, 0, 0): A fires, B does not" in lines
    )
    assert (
        "  that rests on: relay, step 2, sample 0, neuron (0, 0, 0): A fires, B does not" in lines
    )
    assert "nothing in front of relay at step 2 differs" in lines
    first = spikesam.diff(b, a, network).first
    assert first == Bit("relay", 0, 2, ORIGIN, False)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"dataset": "cats"}, "A is of made-up, B of cats"),
        ({"dataset": ""}, "A is of made-up, B of unknown data"),
        ({"seed": 7}, "A was made with seed 0, B with seed 7"),
    ],
)
def test_other_inputs(changed: dict[str, Any], said: str, shown: Shown, tmp_path: Path) -> None:
    network, spikes = shown
    a = of_network(tmp_path / "a.h5", network, spikes)
    other = spikes | {"input": ~spikes["input"]}
    found = spikesam.diff(
        a, write(tmp_path / "b.h5", replace(a.header, **changed), other, a.samples), network
    )
    assert found.first.layer == "input"
    assert found.why.cause == (f"the input itself differs: {said}",)
    assert said in str(found)
    assert found.draw(tmp_path / "d.png").is_file()


def test_what_a_reset_erased_is_no_ancestor(shown: Shown, tmp_path: Path) -> None:
    network, spikes = shown
    a = of_network(tmp_path / "a.h5", network, spikes)
    b = edited(tmp_path / "b.h5", a, ("relay", 0, 1, ORIGIN), ("sum", 0, 5, ORIGIN))
    why = spikesam.diff(a, b, network, layer="sum").why
    assert not why.ancestors  # both fired at 3, and were reset to 0
    assert why.steps["arrive_differ"].tolist() == [0, 0, 1, 0, 0, 0, 0, 1]


def test_a_chip_whose_rule_differs(shown: Shown, tmp_path: Path) -> None:
    """It subtracts where the network resets to zero; its raster says nothing of a network, and has
    no delays.
    """
    network = replace(shown[0], timesteps=40)  # enough to name a cause
    weight = np.array(
        [[0.7]], np.float32
    )  # reset to zero, v is 1.05 at 3 and 6; by subtraction it is 0.93 at 6
    layers = (
        network.layers[0],
        Layer("sum", Input(weight, network.layers[1].inputs[0].sources), LIF(0.5, 1.0)),
    )
    ours = replace(
        network, layers=(layers[0], replace(layers[1], neuron=LIF(0.5, 1.0, reset="zero")))
    )
    inputs = np.random.default_rng(0).random((40, 4, 2, 1, 1)) < 0.5
    theirs = fired(replace(network, layers=layers), inputs)
    trace = {
        name: bits.swapaxes(0, 1)[:, late:][:, :38]
        for late, (name, bits) in enumerate(theirs.items())
    }
    chip = spikesam.write_raster(tmp_path / "chip.h5", trace)
    found = spikesam.diff(chip, ours, precision="float32", backend="event")
    assert found.lag == {"input": 0, "relay": 1, "sum": 2}
    text = str(found)
    assert "so A has another rule: with a reset by subtraction, sum fires all that A has" in text
    assert "A does not say which network fired it: it is taken to be B's" in text
    assert f"step {found.first.step} (of B: step {found.first.step + 2})" in text
    assert not spikesam.diff(
        chip, replace(network, layers=layers), precision="float32", backend="event"
    )
    backwards = spikesam.diff(ours, chip, precision="float32", backend="event")
    assert f"step {found.first.step} (of A: step {found.first.step + 2})" in str(backwards)
    wrong = trace["sum"].copy()
    wrong[0, -1] ^= True
    second = spikesam.write_raster(tmp_path / "second.h5", trace | {"sum": wrong})
    with pytest.raises(
        InputError,
        match=r"^network: fires neither raster, .* \(A: \d+ bits of sum in sample 0 .*; B: ",
    ):
        spikesam.diff(chip, second, ours)
    given = spikesam.diff(chip, second, replace(network, layers=layers))
    assert "fewer than 8 bits name no cause" in str(given)


def test_pilotnet_and_its_membranes(shared: Path, tmp_path: Path) -> None:
    """What Loihi's simulator fired, without the delays of layers: no bit differs, and membranes are
    its files'.
    """
    folder = shared / "data/networks"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}, which is not here")
    network, image = pilotnet(folder), pixels(np.load(folder / "pilotnet_lif/image.npy"))
    names = [layer.name for layer in network.layers]
    files = enumerate(zip(names, NAMES, strict=True))
    trace = {name: recorded(folder, file)[at:][:16][None] for at, (name, file) in files}
    chip = spikesam.write_raster(tmp_path / "chip.h5", trace)
    same = spikesam.diff(chip, network, data=image, backend="event")
    assert (bool(same), same.bits, same.first) == (False, 0, None)
    bits = 16 * sum(int(np.prod(shape)) for shape in network.shapes[1:])
    assert str(same).endswith(f"0 of {bits:,} bits differ: 1 sample, 16 steps")
    conv3 = network.layers[3]
    other = replace(conv3, neuron=replace(conv3.neuron, reset="subtract"))
    layers = tuple(other if each is conv3 else each for each in network.layers)
    found = spikesam.diff(
        chip, replace(network, layers=layers), data=image, backend="event", layer="fc1"
    )
    assert found.why is not None and found.why.root.layer == "conv3"
    assert found.layers["step"].isna().tolist() == 3 * [True] + 6 * [False]
    assert "so A has another rule: with a reset to zero, conv3 fires all that A has" in str(found)
    channel, row, column = found.first.neuron
    theirs = np.load(folder / "pilotnet_lif/fc-0-v.npy")[
        channel, 6:22
    ]  # after the reset: 0 and bias where it fired
    ours = found.why.steps["membrane_first"].to_numpy()
    quiet = ~found.why.steps["fired_first"].to_numpy()
    assert (row, column) == (0, 0)
    assert np.array_equal(ours[quiet], theirs[quiet])
    assert quiet.sum() > 8


def test_float32_against_fixed_point_of_bundled_digits(tmp_path: Path) -> None:
    raster = spikesam.simulate("cluttered-digits", samples=1, precision="float32", backend="event")
    found = spikesam.diff(raster, "cluttered-digits", backend="event")
    assert (found.first.layer, found.first.step, found.answers) == ("conv1", 1, 0)
    assert found.why.cause[-1] == (
        "so A and B each fire what their network makes of the same inputs; the networks differ: "
        "one is in fixed point, "
        "whose numbers are rounded"
    )
    assert found.layers["only_first"][0] == 0 < found.layers["only_first"][1:].min()
    path = found.draw(tmp_path / "diff.png")
    assert path.stat().st_size > 20_000
    same = spikesam.diff(raster, "cluttered-digits", precision="float32", backend="torch")
    assert not same
    assert same.draw(tmp_path / "same.png").is_file()


def test_a_library_against_the_network_it_became(tmp_path: Path) -> None:
    snn, torch = pytest.importorskip("snntorch"), pytest.importorskip("torch")
    from snntorch import utils

    torch.manual_seed(0)
    (first, last), nn = (
        (snn.Leaky(0.9, threshold=0.4, init_hidden=True) for _ in range(2)),
        torch.nn,
    )
    model = nn.Sequential(nn.Linear(20, 30), first, nn.Linear(30, 5), last).eval()
    inputs = (torch.rand(12, 8, 20) < 0.3).float()
    network = spikesam.from_torch(model, inputs)
    with torch.no_grad(), spikesam.record(model, tmp_path / "recorded.h5") as recording:
        utils.reset(model)
        recording.finish(torch.stack([model(step) for step in inputs]))
    spikes = inputs.numpy()[..., None, None]
    assert not spikesam.diff(
        recording.path, network, data=spikes, precision="float32", backend="event"
    )
    found = spikesam.diff(recording.path, network, data=spikes, backend="event")
    said = "leaky_1 reads input, which is not in both rasters: only B holds it"
    assert found and any(line.startswith(said) for line in found.why.cause)
    assert [*found.layers["layer"]] == ["leaky_1", "leaky_3"]


def test_a_current_is_known_from_its_data(tmp_path: Path) -> None:
    checkpoint = spikesam.load(constant_current_checkpoint(tmp_path / "current.safetensors"))
    images = np.random.default_rng(0).normal(0, 1, (2, 3, 16, 24)).clip(-2, 2).astype(np.float32)
    raster = spikesam.simulate(
        checkpoint, images, out=tmp_path / "run", precision="float32", backend="event"
    )
    raster.close()
    found = spikesam.diff(tmp_path / "run", checkpoint, data=images, backend="event")
    assert found.why.cause[-1].startswith(
        "so A and B each fire what their network makes of the same inputs"
    )
    fixed = spikesam.simulate(checkpoint, images, backend="event")
    unknown = spikesam.diff(tmp_path / "run", fixed, checkpoint)
    assert (unknown.first, unknown.why) == (found.first, None)
    assert unknown.notes == (
        "why it differs is not known: conv1: a current drives it, which neither raster holds; give "
        "the data that it is made of",
    )
    with pytest.raises(
        InputError,
        match="run/raster.h5: holds spikes, and a current drives the model; give data, whi",
    ):
        spikesam.diff(tmp_path / "run", checkpoint)


def test_a_network_that_is_not_the_rasters(shown: Shown, tmp_path: Path) -> None:
    """What differs is said; why, of the raster whose network is known."""
    network, spikes = shown
    a = of_network(tmp_path / "a.h5", network, spikes)
    b = edited(tmp_path / "b.h5", a, ("sum", 0, 3, ORIGIN))
    other = replace(network, readout=Readout(np.zeros((1, 1), np.float32)))
    found = spikesam.diff(a, b, other)
    assert (found.bits, found.why) == (1, None)
    assert found.notes[0].startswith(
        f"A's membranes are not known: network: network {other.sha256[:12]}, but {a.path} was "
        f"recorded from {network.sha256[:12]}"
    )
    assert len(found.notes) == 2
    write_network(network, tmp_path / "network.safetensors")  # beside the rasters: now it is known
    known = spikesam.diff(a, b, other)
    expected = [f"the network that was given is not {name}'s" for name in "AB"]
    assert [note.split(";")[0] for note in known.notes] == expected
    assert not spikesam.diff(a, b).notes


def test_the_command(shown: Shown, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit codes are those of diff(1): 0 where nothing differs, 1 where something does, 2 where it
    cannot be said.
    """
    network, spikes = shown
    a = of_network(tmp_path / "a.h5", network, spikes)
    edited(tmp_path / "b.h5", a, ("sum", 0, 3, ORIGIN))
    write_network(network, tmp_path / "mine.safetensors")

    def ending(*words: object) -> tuple[int, str, str]:
        code = 0
        try:
            main([str(word) for word in words])
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    first, second, model = (tmp_path / name for name in ("a.h5", "b.h5", "mine.safetensors"))
    code, out, _ = ending(first, model, "--precision", "float32", "--backend", "event")
    assert (code, out.splitlines()[-1]) == (0, "0 of 32 bits differ: 1 sample, 8 steps")
    code, out, _ = ending(first, second, "--network", model, "--out", tmp_path / "d.png")
    assert code == 1
    assert "so B was changed after it was recorded" in out
    assert out.splitlines()[-1] == str(tmp_path / "d.png")
    folder = tmp_path / "run"
    folder.mkdir()
    kept = first.rename(folder / "raster.h5").read_bytes()
    first.write_bytes(kept)
    for words, message in (
        (
            (folder, second, "--out", folder / "raster.h5", "--overwrite"),
            r"raster\.h5: is an input",
        ),
        (
            (first, second, "--out", tmp_path / "d.png"),
            r"d\.png: already exists; choose another --out, or replace it",
        ),
        (
            (first, second, "--out", second, "--overwrite"),
            r"b\.h5: is an input; choose another --out",
        ),
        ((first, second, "--layer", "summ"), r"layer: no layer 'summ'; did you mean sum\?"),
        ((first, second, "--sample", 1), r"sample: no sample 1, expected 0 to 0"),
        (
            (first, tmp_path),
            r"has no raster\.h5, expected the folder of a finished run, a raster or a network",
        ),
        ((first, tmp_path / "none.h5"), r"none\.h5"),
        ((first, "cluttered-digitz"), "did you mean 'cluttered-digits'"),
        (
            (first, "cluttered-digits"),
            r"a\.h5: its input is 2×1×1, that of the model 6×80×80; expected a raster",
        ),
        (
            (first, "cluttered-digits-ann"),
            "got an ANN, which does not spike, expected a spiking network; convert it",
        ),
        ((model, model), "diff: got two models, expected a raster among them"),
        (
            (first, second, "--backend", "event"),
            "--backend is for the simulation of a model, got two rasters",
        ),
        (
            (first, second, "--precision", "fixed"),
            "--precision is for the simulation of a model, got two rasters",
        ),
        (
            (first, second, "--data", "cluttered-digits"),
            r"data needs a network: diff\(a, b, network, data=…\)",
        ),
    ):
        code, _, err = ending(*words)
        assert code == 2, words
        assert re.search(message, err), err
        assert err.startswith("error: ")
        assert err.count("\n") == 1
    assert (folder / "raster.h5").read_bytes() == kept


def test_steps_that_cannot_be_found_in_the_networks_are_said(tmp_path: Path) -> None:
    """fc3 reads the input, too, by a way of one step; that of fc1 takes two, which rasters of 6
    steps do not hold.
    """
    one = np.ones((1, 1), np.float32)
    inputs = {"fc1": one, "fc2": one, "fc3": (one, Input(one, "input"))}
    layers = tuple(Layer(name, given, LIF(0.5, 0.5)) for name, given in inputs.items())
    network = Network((1, 1, 1), 7, layers, Readout(one), "spikes")
    bits = np.random.default_rng(0).random((1, 6, 1, 1, 1)) < 0.5
    for name, edit in (("a.h5", False), ("b.h5", True)):
        spikes = {each: bits.copy() for each in network.raster_names}
        spikes["fc3"][0, 2] ^= edit
        spikesam.write_raster(tmp_path / name, spikes, layer_delay=0)
    found = spikesam.diff(tmp_path / "a.h5", tmp_path / "b.h5", network)
    assert found
    assert any(
        note.startswith("why it differs is not known: layer 'fc1' is further from")
        for note in found.notes
    )


def driven_by(input_range: float) -> Network:
    """One neuron that sums a current and fires above 1; the wider the range, the fewer of 127 an
    image has.
    """
    layer = Layer("fc1", np.full((1, 1), 0.4 * 2 / input_range, np.float32), LIF(1.0))
    return Network(
        (1, 1, 1),
        9,
        (layer,),
        Readout(np.ones((1, 1))),
        "constant-current",
        input_range=input_range,
    )


def test_each_membrane_is_that_of_the_input_as_its_own_network_has_it(tmp_path: Path) -> None:
    """An image of 2 is 127 in the first network and 42 in the second: with 127, that one would fire
    thrice as often.
    """
    first, second = driven_by(2.0), driven_by(6.0)
    image = np.full((1, 1, 1, 1), 2.0, np.float32)
    about: Any = {"precision": "float32", "backend": "event"}
    raster = spikesam.simulate(first, image, out=tmp_path / "a", **about)
    found = spikesam.diff(raster, second, first, data=image, **about)
    assert not spikesam.diff(
        raster, first, data=open_samples(image, first), **about
    )  # prepared already
    for name, network in (("first", first), ("second", second)):
        membrane = found.why.steps[f"membrane_{name}"].to_numpy()
        fired = found.why.steps[f"fired_{name}"].to_numpy()
        assert np.array_equal(membrane > 1, fired), network


def test_numbers_that_were_not_rounded_are_a_reason(tmp_path: Path) -> None:
    """0.251 is 32 of 127 in 8 bits, 0.252, at which the neuron fires: a model that has 0.251 itself
    is silent.
    """
    layer = Layer("fc1", np.full((1, 1), 2, np.float32), LIF(0.0, 0.2515))
    network = Network(
        (1, 1, 1), 18, (layer,), Readout(np.ones((1, 1))), "constant-current", input_range=1.0
    )
    image = np.full((1, 1, 1, 1), 0.251, np.float32)
    about: Any = {"precision": "float32", "backend": "event"}
    spikesam.write_raster(tmp_path / "a.h5", {"fc1": np.zeros((1, 18, 1))}, layer_delay=1)
    run = spikesam.simulate(network, image, out=tmp_path / "run", **about)
    found = spikesam.diff(tmp_path / "a.h5", run, data=image)  # the network beside the run is found
    said = "A has the numbers of the input as they are, which the network has in 8 bits"
    assert found.bits == 9 and any(said in reason for reason in found.why.cause)
    spikesam.write_raster(
        tmp_path / "c.h5", {"fc1": np.tile([0, 1, 0], 6).reshape(1, 18, 1)}, layer_delay=1
    )
    assert not any(
        said in reason for reason in spikesam.diff(tmp_path / "c.h5", run, data=image).why.cause
    )


def test_a_raster_that_names_no_network_has_that_of_the_one(shown: Shown, tmp_path: Path) -> None:
    network, spikes = shown
    named = of_network(tmp_path / "named.h5", network, spikes)
    a = write(
        tmp_path / "a.h5",
        replace(named.header, network_sha256="", precision="fixed"),
        spikes,
        named.samples,
    )
    b = edited(tmp_path / "b.h5", a, ("sum", 0, 3, ORIGIN))
    found = spikesam.diff(a, b, network)
    assert found.why.steps["membrane_first"].dtype == np.int64


def test_no_answer_differs_from_an_answer(tmp_path: Path) -> None:
    """The third sample has none in A and B, the fourth none in B; in C nobody said any."""
    bits = np.random.default_rng(0).random((4, 3, 1, 2, 2)) < 0.5
    about: Any = {
        "a": {"predictions": [0, 1, -1, 2]},
        "b": {"predictions": [1, 1, -1, -1]},
        "c": {},
    }
    a, b, c = (
        spikesam.write_raster(tmp_path / f"{name}.h5", {"fc1": bits}, **each)
        for name, each in about.items()
    )
    assert (spikesam.diff(a, b).answers, spikesam.diff(a, c).answers) == (2, None)


def test_a_silent_sample_has_an_answer_where_scores_are_known(tmp_path: Path) -> None:
    layer = Layer("fc1", np.ones((1, 1), np.float32), LIF(0.0, 0.5))
    network = Network((1, 1, 1), 3, (layer,), Readout(np.ones((2, 1))), "spikes")
    loud, silent = (
        spikesam.simulate(network, np.full((3, 1, 1, 1, 1), fires)) for fires in (True, False)
    )
    assert (loud.predictions.tolist(), silent.predictions.tolist()) == ([0], [-1])
    assert spikesam.diff(loud, silent).answers == 1
