"""What is wrong, or holds on one example alone, is found out and not taken for a network."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import spikesam
from spikesam.backends.network import LIF
from tests.pipeline.imports.models import Jelly, Written, by_step, fires, loud, spikes


class Neurons(nn.Module):
    """v ← v/2 + i; fires at v ≥ 1, or another threshold, and loses 1 at once."""

    def __init__(self, threshold: float = 1.0) -> None:
        super().__init__()
        self.membrane: Any = 0.0
        self.threshold = threshold

    def forward(self, current: Tensor) -> Tensor:
        self.membrane = self.membrane / 2 + current
        fired = (self.membrane >= self.threshold).float()
        self.membrane = self.membrane - fired
        return fired


class Identity(nn.Linear):
    """Each input drives one neuron, by 0.75."""

    def __init__(self) -> None:
        super().__init__(2, 2, bias=False)
        self.weight.data = 0.75 * torch.eye(2)


RIGHT = LIF(0.5, 1.0, reset_by=0.5, fires_at_threshold=True)


def model() -> nn.Module:
    return nn.Sequential(Identity(), Neurons()).eval()


def given() -> Tensor:
    """Spikes for the second neuron of the second sample: v is 0.75, 1.125, 0.0625, 0.78125,
    1.140625.
    """
    input_spikes = torch.zeros(5, 2, 2)
    input_spikes[[0, 1, 3, 4], 1, 1] = 1
    return input_spikes


def test_the_right_equation_is_proven() -> None:
    network = spikesam.from_torch(model(), given(), neurons={Neurons: RIGHT})
    raster = spikesam.simulate(network, given()[..., None, None], precision="float32")
    assert raster["neurons_1"][1][:, 1, 0, 0].tolist() == [False, False, True, False, False, True]


@pytest.mark.parametrize(
    ("neuron", "message"),
    [
        # Without the leak, v would be 0.75, 1.5, 0.5, 1.25: the network fires at step 3, where the
        # model does not.
        (
            LIF(1.0, 1.0, fires_at_threshold=True),
            "module '1' (Neurons): at step 3 of sample 1, neuron (1, 0, 0) fires in the network, "
            "not in the model; its "
            "membrane is 1.25 in the network, 1.25 with the model's own currents, its threshold 1",
        ),
        # With another threshold, nothing fires at step 1.
        (
            LIF(0.5, 1.2, reset_by=0.5),
            "module '1' (Neurons): at step 1 of sample 1, neuron (1, 0, 0) fires in the model, not "
            "in the network; its membrane is 1.125 in the network, 1.125 with the model's own "
            "currents, its threshold "
            "1.2",
        ),
    ],
)
def test_a_wrong_equation_is_named_with_both_membranes(neuron: LIF, message: str) -> None:
    for rounding in (False, True):
        with pytest.raises(spikesam.NetworkError, match=re.escape(message) + "$"):
            spikesam.from_torch(model(), given(), neurons={Neurons: neuron}, rounding=rounding)


class Doubled(nn.BatchNorm1d):
    """Looks like a normalisation, and is another."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(2 * x)


def test_wrong_synapses_are_told_from_wrong_neurons() -> None:
    doubled = nn.Sequential(Identity(), Doubled(2, eps=0), Neurons()).eval()
    message = (
        "step 0 .* fires in the model, .* its membrane is 0.75 in the network, 1.5 with the "
        "model's own currents"
    )
    with pytest.raises(spikesam.NetworkError, match=message):
        spikesam.from_torch(doubled, given(), neurons={Neurons: RIGHT})


def test_an_image_is_explained_too() -> None:
    image = torch.tensor([[0.0, 2.0]])
    with pytest.raises(
        spikesam.NetworkError,
        match=r"step 0 .* its membrane is 1.5 in the network, 1.5 with .* 1.6$",
    ):
        spikesam.from_torch(model(), image, timesteps=3, neurons={Neurons: LIF(0.5, 1.6)})


def test_rounding_may_decide_where_it_is_accepted() -> None:
    """A membrane meets the threshold: the model fires at it, the network above it, and everything
    after differs.
    """
    at_threshold, above = (
        LIF(0.5, 1.125, reset_by=0.5, fires_at_threshold=fires) for fires in (True, False)
    )
    exact = nn.Sequential(Identity(), Neurons(1.125), Identity(), Neurons(1.125)).eval()
    exact[2].weight.data *= 2
    message = "its threshold 1.125; the order of additions decides, which rounding=True accepts$"
    torch.manual_seed(0)
    loud = spikes(9, 8, 2, density=0.6)
    assert spikesam.from_torch(exact, loud, neurons={Neurons: at_threshold}).timesteps == 11
    with pytest.raises(spikesam.NetworkError, match=message):
        spikesam.from_torch(exact, loud, neurons={Neurons: above})
    network = spikesam.from_torch(exact, loud, neurons={Neurons: above}, rounding=True)
    assert spikesam.compare(exact, network, loud, neurons={Neurons: above}).runs["differ"][0] > 0


def test_lava_dls_rounding_is_accepted_where_it_decides() -> None:
    """Currents and membranes that leak are multiples of 1/4096 in lava-dl, and of nothing in
    float32.
    """
    pytest.importorskip("lava.lib.dl.slayer")
    from lava.lib.dl.slayer.block import cuba

    neuron = {"threshold": 0.7, "current_decay": 0.3, "voltage_decay": 0.1}
    torch.manual_seed(0)
    first = cuba.Conv(neuron, 2, 6, 3, weight_scale=3)
    leaky, loud = (
        nn.Sequential(first, cuba.Flatten(), cuba.Dense(neuron, 600, 10)).eval(),
        spikes(20, 3, 2, 12, 12),
    )
    with pytest.raises(
        spikesam.NetworkError,
        match="lava-dl rounds what leaks to 0.000244 at every step, and this .* rounding=True, "
        "which",
    ):
        spikesam.from_torch(leaky, loud)
    network = spikesam.from_torch(leaky, loud, rounding=True)
    differ = spikesam.compare(leaky, network, loud).layers["differ_float32"]
    assert 0 < differ[0] < 0.01


def test_lava_dls_currents_are_not_cut() -> None:
    """It cuts them to multiples of 1/4096, as weights of 8 bits times spikes are, but no pixels."""
    pytest.importorskip("lava.lib.dl.slayer")
    from lava.lib.dl.slayer.block import cuba

    torch.manual_seed(0)
    neuron = {"threshold": 1.0, "current_decay": 1.0, "voltage_decay": 0.0}
    model = nn.Sequential(cuba.Dense(neuron, 10, 10, weight_scale=4)).eval()
    message = r"'0' \(Dense\): cuts currents to multiples of 0.000244, between which some lie, exp"
    with pytest.raises(spikesam.NetworkError, match=message):
        spikesam.from_torch(model, torch.rand(6, 3, 10), rounding=True)
    assert len(spikesam.from_torch(model, spikes(6, 3, 10, density=0.6)).layers) == 1


def test_an_answer_that_the_readout_does_not_give_is_refused() -> None:
    class Squared(nn.BatchNorm1d):
        """Looks like a normalisation."""

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) ** 2 + 1

    torch.manual_seed(0)
    squared = nn.Sequential(Identity(), Neurons(), Squared(2)).eval()
    with pytest.raises(
        spikesam.NetworkError,
        match="output: all spikes are the same, but its scores differ by up to",
    ):
        spikesam.from_torch(squared, given(), neurons={Neurons: RIGHT})


snn = pytest.importorskip("snntorch")


def around(forward: Callable[[Any, Tensor], Any]) -> Any:
    """A dense layer and neurons, around which a test writes the rest."""
    torch.manual_seed(0)
    own = snn.Leaky(beta=0.9, threshold=0.3)
    return loud(Written(forward, fc=nn.Linear(10, 10), lif=fires(), own=own))


def branched(m: Any, x: Tensor) -> Tensor:
    current = m.fc(x)
    return m.lif(2 * current if x.sum() > 3 else current)


EXITS: dict[str, Callable[[Any, Tensor], Any]] = {
    "__float__": lambda m, x: m.lif(m.fc(x * float(x.mean()))),
    "__int__": lambda m, x: m.lif(m.fc(x) * int(x.sum())),
    "item": lambda m, x: m.lif(m.fc(x) / x.max().item()),
    "__bool__": branched,
    "tolist": lambda m, x: m.lif(m.fc(torch.tensor(x.tolist()))),
    "numpy": lambda m, x: m.lif(m.fc(torch.from_numpy(x.numpy()))),
    "__index__": lambda m, x: next(m.lif(m.fc(x)) for _ in range(x.sum().int())),
}


@pytest.mark.parametrize("exit_", EXITS)
def test_a_number_that_leaves_the_graph_is_refused_where_it_does(exit_: str) -> None:
    message = (
        rf"from_torch: {re.escape(str(Path(__file__)))}:\d+: torch.Tensor.{exit_} makes a "
        rf"number of Python"
    )
    with pytest.raises(spikesam.NetworkError, match=message) as caught:
        spikesam.from_torch(around(EXITS[exit_]), spikes(6, 3, 10))
    line = int(re.findall(r":(\d+): ", str(caught.value))[0])
    assert exit_.strip("_") in Path(__file__).read_text().splitlines()[line - 1] or exit_ in (
        "__bool__",
        "__index__",
    )


def test_shapes_are_no_numbers_of_the_data() -> None:
    shaped = around(
        lambda m, x: (
            m.lif(m.fc(x.view(x.size(0), x.shape[1], -1).flatten(1))) * (len(x) // x.shape[0])
        )
    )
    assert len(spikesam.from_torch(shaped, spikes(6, 3, 10)).layers) == 1


class Loud(nn.BatchNorm1d):
    """Looks like a normalisation, and halves what it gives on loud inputs."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / (2 if x.mean() > 0.6 else 1)


class Quiet(nn.BatchNorm1d):
    """Looks like a normalisation, and drives all neurons where nothing reaches it."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + (0 if x.any() else 5)


def of_the_data(m: Any, x: Tensor) -> Tensor:
    m.lif.threshold = x.mean()
    return by_step(lambda m, x: m.lif(m.fc(x)))(m, x)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: around(of_the_data), "a second input, .*: the model is another network, in "),
        (
            lambda: loud(nn.Sequential(Loud(10), nn.Linear(10, 10), fires())),
            "a second input, which is made from the example: module '2' .* fires in",
        ),
        (
            lambda: loud(nn.Sequential(Quiet(10), nn.Linear(10, 10), fires())),
            "silence: module '2' .* fires in the model, not in the network",
        ),
    ],
)
def test_what_holds_on_the_example_alone_is_found_on_other_inputs(build: Any, message: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(spikesam.NetworkError, match=f"from_torch: on {message}"):
        spikesam.from_torch(build(), spikes(6, 3, 10, density=0.3))


def test_currents_of_the_second_input_stay_in_the_range_of_the_network() -> None:
    """Those of an image that is darker than the range, of one that sets it, and of one that is all
    at its end.
    """
    shown = around(lambda m, x: torch.stack([m.lif(m.fc(x)) for _ in range(6)]))
    for image in (torch.rand(3, 10), 5 * torch.rand(3, 10) - 2, torch.full((3, 10), 2.0)):
        assert spikesam.from_torch(shown, image, timesteps=6).encoder == "constant-current"


def clamped(m: Any, x: Tensor) -> Tensor:
    current = m.fc(x)
    current[:, 0].clamp_(-0.2, 0.2)
    return m.lif(current)


def doubled(m: Any, x: Tensor) -> Tensor:
    current = m.fc(x)
    current.view(-1, 2, 5).mul_(2)
    return m.lif(current)


@pytest.mark.parametrize("forward", [clamped, doubled])
def test_what_is_changed_through_a_view_is_refused(forward: Any) -> None:
    message = (
        r"'lif' \(Leaky\): its input comes from a tensor that was changed in place, behind "
        r"module 'fc' \(Linear\)"
    )
    with pytest.raises(spikesam.NetworkError, match=message):
        spikesam.from_torch(around(forward), spikes(6, 3, 10))


def test_what_is_changed_in_place_is_followed() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        current = m.fc(x)
        current *= 2
        current += m.fc(x)
        return m.lif(current)

    assert len(spikesam.from_torch(around(forward), spikes(6, 3, 10)).layers) == 1


def handed(m: Any, x: Tensor) -> Tensor:
    membrane, fired = torch.full((x.shape[1], 10), 1e-4), []
    for step in x:
        spike, membrane = m.own(m.fc(step), membrane)
        fired.append(spike)
    return torch.stack(fired)


def written(m: Any, x: Tensor) -> Tensor:
    m.lif.mem = torch.full((x.shape[1], 10), 1e-4)
    return torch.stack([m.lif(m.fc(step)) for step in x])


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (
            handed,
            "module 'own' (Leaky): is handed a state of up to 0.0001, expected neurons at rest",
        ),
        (
            written,
            "module 'lif' (Leaky): begins with mem of up to 0.0001, expected neurons at rest",
        ),
    ],
)
def test_membranes_that_do_not_begin_at_rest_are_refused(forward: Any, message: str) -> None:
    """They are too small to change a bit of the example."""
    with pytest.raises(spikesam.NetworkError, match=re.escape(message)):
        spikesam.from_torch(around(forward), spikes(6, 3, 10))


class Kept(nn.Module):
    """A neuron of one's own, which nothing brings to rest."""

    def __init__(self) -> None:
        super().__init__()
        self.membrane, self.decay = torch.zeros(()), 0.5

    def forward(self, current: Tensor) -> Tensor:
        self.membrane = self.decay * self.membrane + current
        fired = (self.membrane > 1).float()
        if fired.any():  # what is inside of neurons is not followed
            self.membrane = self.membrane * (1 - fired)
        return fired


def test_a_state_that_is_left_over_is_refused() -> None:
    torch.manual_seed(0)
    used, given = loud(nn.Sequential(nn.Linear(10, 10), Kept())), spikes(6, 3, 10)
    neurons = {Kept: spikesam.LIF(0.5, reset="zero")}
    assert len(spikesam.from_torch(used, given, neurons=neurons).layers) == 1
    with torch.no_grad():
        used(1e-4 * given[0])
    with pytest.raises(
        spikesam.NetworkError, match=r"module '1' \(Kept\): begins with membrane of up to -?0"
    ):
        spikesam.from_torch(used, given, neurons=neurons)


def test_another_rest_is_none() -> None:
    torch.manual_seed(0)
    used = loud(
        nn.Sequential(nn.Linear(10, 10), Jelly("neuron").LIFNode(v_threshold=0.5, v_reset=-0.25))
    )
    with torch.no_grad():
        used(spikes(3, 10))
    assert len(spikesam.from_torch(used, spikes(6, 3, 10)).layers) == 1


def test_a_layer_may_be_silent_on_the_second_input() -> None:
    """The neuron needs all of its eight spikes."""
    needy = nn.Sequential(nn.Linear(8, 1, bias=False), snn.Leaky(0.0, 7.5, init_hidden=True)).eval()
    needy[0].weight.data.fill_(1)
    assert len(spikesam.from_torch(needy, torch.ones(1, 8), timesteps=3).layers) == 1
