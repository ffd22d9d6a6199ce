"""What holds on one example alone is not taken for a network: numbers of the data, and states that are not at rest."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import spikesam
from tests.pipeline.imports.models import Jelly, Written, by_step, fires, loud, spikes

snn = pytest.importorskip("snntorch")


def model(forward: Callable[[Any, Tensor], Any]) -> Any:
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
    message = rf"from_torch: {re.escape(str(Path(__file__)))}:\d+: torch.Tensor.{exit_} makes a number of Python"
    with pytest.raises(spikesam.NetworkError, match=message) as caught:
        spikesam.from_torch(model(EXITS[exit_]), spikes(6, 3, 10))
    line = int(re.findall(r":(\d+): ", str(caught.value))[0])
    assert exit_.strip("_") in Path(__file__).read_text().splitlines()[line - 1] or exit_ in ("__bool__", "__index__")


def test_shapes_are_no_numbers_of_the_data() -> None:
    shaped = model(lambda m, x: m.lif(m.fc(x.view(x.size(0), x.shape[1], -1).flatten(1))) * (len(x) // x.shape[0]))
    assert len(spikesam.from_torch(shaped, spikes(6, 3, 10)).layers) == 1


class Doubled(nn.BatchNorm1d):
    """Looks like a normalisation, and doubles what it gives on loud inputs."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (2 if x.mean() < 0.7 else 1)


def of_the_data(m: Any, x: Tensor) -> Tensor:
    m.lif.threshold = x.mean()
    return by_step(lambda m, x: m.lif(m.fc(x)))(m, x)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: model(of_the_data), "the model is another network, in "),
        (lambda: loud(nn.Sequential(Doubled(10), nn.Linear(10, 10), fires())), "module '2' .* fires in"),
    ],
)
def test_what_holds_on_the_example_alone_is_found_on_a_second_input(build: Any, message: str) -> None:
    torch.manual_seed(0)
    dense = spikes(6, 3, 10, density=0.8)
    with pytest.raises(spikesam.NetworkError, match=f"from_torch: on a second input, which is made from .*: {message}"):
        spikesam.from_torch(build(), dense)


def test_currents_of_the_second_input_stay_in_the_range_of_the_network() -> None:
    """Those of an image that is darker than the range, of one that sets it, and of one that is all at its end."""
    shown = model(lambda m, x: torch.stack([m.lif(m.fc(x)) for _ in range(6)]))
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
    message = r"'lif' \(Leaky\): its input comes from a tensor that was changed in place, behind module 'fc' \(Linear\)"
    with pytest.raises(spikesam.NetworkError, match=message):
        spikesam.from_torch(model(forward), spikes(6, 3, 10))


def test_what_is_changed_in_place_is_followed() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        current = m.fc(x)
        current *= 2
        current += m.fc(x)
        return m.lif(current)

    assert len(spikesam.from_torch(model(forward), spikes(6, 3, 10)).layers) == 1


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
        (handed, "module 'own' (Leaky): is handed a state of up to 0.0001, expected neurons at rest"),
        (written, "module 'lif' (Leaky): begins with mem of up to 0.0001, expected neurons at rest"),
    ],
)
def test_membranes_that_do_not_begin_at_rest_are_refused(forward: Any, message: str) -> None:
    """They are too small to change a bit of the example."""
    with pytest.raises(spikesam.NetworkError, match=re.escape(message)):
        spikesam.from_torch(model(forward), spikes(6, 3, 10))


class Own(nn.Module):
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
    used, given = loud(nn.Sequential(nn.Linear(10, 10), Own())), spikes(6, 3, 10)
    neurons = {Own: spikesam.LIF(0.5, reset="zero")}
    assert len(spikesam.from_torch(used, given, neurons=neurons).layers) == 1
    with torch.no_grad():
        used(1e-4 * given[0])
    with pytest.raises(spikesam.NetworkError, match=r"module '1' \(Own\): begins with membrane of up to -?0"):
        spikesam.from_torch(used, given, neurons=neurons)


def test_another_rest_is_none() -> None:
    torch.manual_seed(0)
    used = loud(nn.Sequential(nn.Linear(10, 10), Jelly("neuron").LIFNode(v_threshold=0.5, v_reset=-0.25)))
    with torch.no_grad():
        used(spikes(3, 10))
    assert len(spikesam.from_torch(used, spikes(6, 3, 10)).layers) == 1


def test_a_layer_may_be_silent_on_the_second_input() -> None:
    """The neuron needs all of its eight spikes."""
    needy = nn.Sequential(nn.Linear(8, 1, bias=False), snn.Leaky(0.0, 7.5, init_hidden=True)).eval()
    needy[0].weight.data.fill_(1)
    assert len(spikesam.from_torch(needy, torch.ones(1, 8), timesteps=3).layers) == 1
