"""A model and its network are compared: bits, rates and answers, layer by layer, in both
precisions.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import spikesam
from spikesam.backends.network import LIF, Network
from spikesam.backends.network.quantise import quantise
from spikesam.pipeline.comparison.compare import Comparison
from tests.layers import with_first
from tests.pipeline.imports.models import fires

pytest.importorskip("snntorch")


def model() -> nn.Module:
    torch.manual_seed(0)
    first, last = (nn.Conv2d(1, 4, 3), fires(0.5, 0.9)), (nn.Linear(36, 5), fires(0.5, 0.9))
    made = nn.Sequential(*first, nn.MaxPool2d(2), nn.Flatten(), *last)
    for weight in made.parameters():
        weight.data *= 3
    return made.eval()


def data(samples: int = 6) -> Tensor:
    torch.manual_seed(1)
    return (torch.rand(10, samples, 1, 8, 8) < 0.3).float()


@pytest.fixture(scope="module")
def network() -> Network:
    return spikesam.from_torch(model(), data())


def test_its_tables_say_what_was_measured(network: Network) -> None:
    compared = spikesam.compare(
        model(), network, data(), labels=[0, 1, 2, 3, -1, 4], backends=("event", "torch")
    )
    layers, runs, answers = compared.layers, compared.runs, compared.answers
    assert layers["layer"].tolist() == ["leaky_1", "leaky_5"]
    assert layers["neurons"].tolist() == [4 * 6 * 6, 5]
    assert layers["differ_float32"].tolist() == [0, 0]
    assert layers["rate_float32"].tolist() == layers["rate"].tolist()
    assert layers["alone_fixed"][0] == layers["differ_fixed"][0]  # in front of it, all is the same
    bits = 10 * 6 * (144 + 5)
    assert runs["bits"].tolist() == 4 * [bits]
    each = [
        [backend, precision] for backend in ("event", "torch") for precision in ("float32", "fixed")
    ]
    assert runs[["backend", "precision"]].to_numpy().tolist() == each
    share = np.average(layers["differ_fixed"], weights=layers["neurons"])
    assert runs["differ"].tolist()[:2] == [0, round(share * bits)]
    assert runs["digest"][1] == runs["digest"][3]
    assert answers["label"].tolist() == [0, 1, 2, 3, -1, 4]
    with torch.no_grad():
        tried = model()
        chosen = torch.stack([tried(step) for step in data()]).sum(0).argmax(1)
    assert answers["model"].tolist() == answers["float32"].tolist() == chosen.tolist()
    assert str(compared).splitlines()[-1] == "fixed point is the same bits on event, torch"


def test_another_network_differs_where_its_weights_do(network: Network) -> None:
    first, second = network.layers
    other = replace(
        network, layers=(first, with_first(second, weight=second.inputs[0].weight[::-1]))
    )
    compared = spikesam.compare(model(), other, data())
    assert compared.layers["differ_float32"][0] == 0 < compared.layers["differ_float32"][1]
    assert compared.drifts_from == "leaky_5"


def test_a_layer_alone_is_driven_by_the_models_spikes(network: Network) -> None:
    """The first layer is spoilt in fixed point; the second is not, though everything behind the
    first differs.
    """
    first, second = network.layers
    assert isinstance(first.neuron, LIF)
    tiny = first.inputs[0].weight.copy()
    tiny[0, 0, 0, 0] = 100  # of the other weights, int8 leaves nothing
    spoilt = replace(network, layers=(with_first(first, weight=tiny), second))
    layers = spikesam.compare(model(), spoilt, data()).layers
    assert layers["alone_fixed"][0] > 0.1
    assert layers["differ_fixed"][1] > 5 * layers["alone_fixed"][1]
    assert (
        layers["alone_fixed"][1]
        == spikesam.compare(model(), network, data()).layers["alone_fixed"][1]
    )


def test_one_batch_is_shown_for_the_networks_steps(network: Network) -> None:
    image = torch.rand(3, 1, 8, 8)
    shown = spikesam.from_torch(model(), image, timesteps=7)
    compared = spikesam.compare(model(), shown, image.numpy())
    assert compared.runs["bits"][0] == 7 * 3 * (144 + 5)
    assert compared.runs["differ"][0] == 0
    black_and_white = image.round()  # of 0 and 1, and yet no spikes for this network
    assert spikesam.compare(model(), shown, black_and_white).runs["differ"][0] == 0


def test_the_model_as_it_is_stands_beside_the_model_on_rounded_input() -> None:
    """It fires for pixels above 0.25, of which 8 bits say 0.252 (32 of 127): 0.251 is no answer,
    rounded it is.
    """
    tried = nn.Sequential(nn.Linear(2, 2, bias=False), fires(0.2515, 0.0)).eval()
    tried[0].weight.data = torch.eye(2)
    network = spikesam.from_torch(tried, torch.tensor([[1.0, 0.5], [0.3, 0.9]]), timesteps=3)
    assert network.input_range == 1.0
    compared = spikesam.compare(
        tried, network, torch.tensor([[0.0, 0.251], [0.9, 0.1]]), labels=[1, 0]
    )
    assert compared.answers.to_numpy().tolist() == [[1, -1, 1, 1, 1], [0, 0, 0, 0, 0]]
    assert compared.runs["differ"][0] == 0
    rows = [line for line in str(compared).splitlines() if line.strip().startswith("model")]
    assert rows == [
        "                 model      50.0%                   -",
        "model, input in 8 bits     100.0%               50.0%",
    ]


def test_ties_at_the_threshold_are_counted(network: Network) -> None:
    """Thirds, quarters, fifths and sevenths add up to 1, which no common int8 scale holds; random
    weights do not.
    """
    tried = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), fires(1.0, 1.0)).eval()
    torch.manual_seed(0)
    units = torch.tensor([1 / 3, 1 / 4, 1 / 5, 1 / 7])[:, None, None, None]
    tried[0].weight.data = torch.randint(-1, 3, (4, 1, 3, 3)) * units
    compared = spikesam.compare(tried, spikesam.from_torch(tried, data(), rounding=True), data())
    (row,) = compared.layers.to_dict("records")
    assert 0.5 * row["alone_fixed"] < row["ties_fixed"] < row["alone_fixed"]
    share = row["ties_fixed"] / row["alone_fixed"]
    assert f"; {share:.0%} of these bits are membranes that meet the threshold exactly" in str(
        compared
    )
    random = spikesam.compare(model(), network, data())
    assert random.layers["alone_fixed"].max() > 0
    assert random.layers["ties_fixed"].tolist() == [0, 0]
    assert "exactly" not in str(random)


def test_a_report_by_hand() -> None:
    layers = pd.DataFrame(
        {
            "layer": ["a", "b"],
            "neurons": [10, 20],
            "rate": [0.5, 0.1],
            "rate_float32": [0.5, 0.1],
            "differ_float32": [0.0, 1e-6],
            "rate_fixed": [0.5, 0.2],
            "differ_fixed": [0.125, 0.026],
            "alone_fixed": [0.125, 0.001],
            "ties_fixed": [0.1, 0.0],
        }
    )
    run = {"backend": "event", "bits": 30}
    other = {"precision": "fixed", "differ": 5, "digest": "ab" * 32}
    runs = pd.DataFrame(
        [run | {"precision": "float32", "differ": 0, "digest": "0" * 64}, run | other]
    )
    answers = pd.DataFrame({"label": [-1, -1], "model": [0, 1], "float32": [0, 1], "fixed": [0, 0]})
    columns = "model fires float32 fires float32 differs fixed fires fixed differs fixed alone"
    head, *lines = str(Comparison(layers, runs, answers)).splitlines()
    assert " ".join(head.split()) == f"layer neurons {columns}"
    assert lines == [
        "    a       10      50.00%        50.00%               0      50.00%        12.50%      "
        "12.50%",
        "    b       20      10.00%        10.00%           1e-06      20.00%         2.60%       "
        "0.10%",
        "",
        "fixed point drifts from b on: bits that differ there are 26% of the model's spikes",
        "alone, a changes most: 25.00% of the model's spikes; 80% of these bits are membranes that "
        "meet the threshold "
        "exactly",
        "answers of 2 samples same as the model's",
        "               model                   -",
        "             float32              100.0%",
        "         fixed point               50.0%",
        "event: 0 of 30 bits differ in float32; fixed point has the digest abababababab",
    ]
    quiet = layers.assign(differ_fixed=0.0, alone_fixed=0.0)
    assert str(Comparison(quiet, runs, answers.assign(label=[0, -1]))).splitlines()[4:8] == [
        "fixed point does not drift: in every layer fewer bits differ than 25% of the model's "
        "spikes",
        "no layer alone changes a bit in fixed point",
        "answers of 2 samples right of 1 same as the model's",
        "               model     100.0%                   -",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"network": "a.safetensors"},
            "network: got str, expected a Network, such as from_torch gives",
        ),
        ({"network": quantise}, "network: is in fixed point, expected float32; both are compared"),
        (
            {"network": lambda one: replace(one, encoder="poisson")},
            "network: takes 'poisson', expected 'spikes' or",
        ),
        ({"data": data()[:9]}, "data: has 9 steps, expected 10, as the network was imported with"),
        (
            {"data": data()[..., :7]},
            r"data: samples are \(C, H, W\) = \(1, 8, 7\), expected \(1, 8, 8\)",
        ),
        (
            {"data": data() / 2},
            "example: holds other numbers than 0 and 1, but the network takes spikes",
        ),
        (
            {"model": lambda model: model[:2]},
            r"network: has layers of \[144, 5\] neurons, the model \[144\]; is it of",
        ),
        (
            {"model": lambda _: nn.Sequential(nn.Linear(2, 2), nn.ReLU()).eval()},
            "no neurons that fire in Sequential",
        ),
        ({"model": lambda model: model.train()}, "model: module '0' is in training mode"),
        ({"labels": [1, 2]}, "labels: got .2,., expected one for each of the 6 samples"),
        ({"backends": ("brain",)}, "backend is 'brain', expected one of"),
        ({"backends": "brain"}, "backend is 'brain', expected one of"),
        ({"backends": ()}, r"backends: got \(\), expected at least one"),
    ],
)
def test_what_does_not_fit_is_refused(
    network: Network, change: dict[str, Any], message: str
) -> None:
    given: dict[str, Any] = {"model": model(), "network": network, "data": data()}
    changed = {
        name: value(given[name]) if callable(value) else value for name, value in change.items()
    }
    with pytest.raises(spikesam.InputError, match=message):
        spikesam.compare(**(given | changed))


def of_numbers(outputs: int) -> nn.Module:
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(6, 20), fires(0.5, 0.9), nn.Linear(20, outputs))
    return made.eval()


@pytest.mark.parametrize("outputs", [1, 3])
def test_outputs_that_are_numbers_have_errors(outputs: int) -> None:
    regression = of_numbers(outputs)
    torch.manual_seed(1)
    steps = (torch.rand(10, 8, 6) < 0.4).float()
    network = spikesam.from_torch(regression, steps)
    targets = np.linspace(-2, 2, 8 * outputs).reshape(8, outputs)
    compared = spikesam.compare(regression, network, steps, targets, outputs="values")
    answers = compared.answers
    assert answers["sample"].tolist() == np.repeat(np.arange(8), outputs).tolist()
    np.testing.assert_allclose(answers["float32"], answers["model"], atol=1e-5)
    np.testing.assert_array_equal(answers["target"], targets.ravel())
    largest = (answers["fixed"] - answers["model"]).abs().max()
    assert 0 < largest < 1 and f"{largest:.3g}" in str(compared)
    for words in ("mean error", "largest error", "mean to targets"):
        assert words in str(compared)
    assert "same as the model's" not in str(compared)


def test_one_output_says_itself_that_it_is_a_number() -> None:
    steps = torch.ones(4, 2, 6)
    regression = of_numbers(1)
    network = spikesam.from_torch(regression, steps)
    assert "largest error" in str(spikesam.compare(regression, network, steps))
    with pytest.raises(spikesam.InputError, match="labels: got .3,., expected numbers .2,. or"):
        spikesam.compare(regression, network, steps, [0.5, 1, 2])


def test_samples_in_place_of_steps_are_noticed() -> None:
    model, steps = of_numbers(3), (torch.rand(10, 8, 6) < 0.4).float()
    network = spikesam.from_torch(model, steps)
    spikes = steps.numpy()[..., None, None]
    with pytest.raises(spikesam.InputError, match="steps come first, and 10 steps stand on the s"):
        spikesam.simulate(network, spikes.swapaxes(0, 1))
    with pytest.raises(spikesam.NetworkError, match="steps come first, and 10 stand on the second"):
        spikesam.compare(model, network, torch.rand(12, 10, 6).round())
    late = np.zeros((network.timesteps, 10, 6, 1, 1))
    with pytest.warns(UserWarning, match=r"is read as 11 steps of 10 samples; of 11 samples of"):
        spikesam.simulate(network, late)


def test_labels_that_are_real_numbers_are_refused() -> None:
    steps = (torch.rand(10, 3, 6) < 0.4).float()
    network = spikesam.from_torch(of_numbers(1), steps)
    spikes = steps.numpy()[..., None, None]
    with pytest.raises(spikesam.InputError, match="labels: got real numbers, expected 3 whole"):
        spikesam.simulate(network, spikes, labels=[0.5, 1.5, 2.5], outputs="values")
