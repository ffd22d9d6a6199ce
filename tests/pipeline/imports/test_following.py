"""However a model is called, and whatever it does between its modules, it is followed, and left as it was."""

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import spikesam
from tests.pipeline.imports.models import loud, make, spikes

snn = pytest.importorskip("snntorch")
STEPS, SAMPLES = 7, 3


class Net(nn.Module):
    """Two layers of neurons, around which a test writes the rest."""

    def __init__(self, forward: Callable[..., Any]) -> None:
        super().__init__()
        self.conv, self.lif1 = nn.Conv2d(1, 2, 3), snn.Leaky(beta=0.9, threshold=0.5, init_hidden=True)
        self.fc, self.lif2 = nn.Linear(32, 5), snn.Leaky(beta=0.8, threshold=0.3, init_hidden=True)
        self.out = nn.Linear(5, 3)
        self._forward = forward

    def forward(self, x: Tensor) -> Any:
        return self._forward(self, x)

    def step(self, x: Tensor) -> Tensor:
        return self.lif2(self.fc(self.lif1(self.conv(x)).flatten(1)))


def net(forward: Callable[..., Any]) -> nn.Module:
    torch.manual_seed(0)
    return loud(Net(forward))


def example(*, seed: int = 1) -> Tensor:
    torch.manual_seed(seed)
    return spikes(STEPS, SAMPLES, 1, 6, 6)


def written_into_a_tensor(model: Any, x: Tensor) -> Tensor:
    given = torch.zeros(len(x), x.shape[1], 5)
    for step in range(len(x)):
        given[step] = model.step(x[step])
    return given


def written_by_slices(model: Any, x: Tensor) -> Tensor:
    given = torch.empty(x.shape[1], len(x), 5)
    for step in range(len(x)):
        given[:, step] = model.step(x[step])
    return given


def added_up(model: Any, x: Tensor) -> Tensor:
    total: Any = 0
    for step in x:
        total += model.step(step)
    return total / len(x)


def added_to_zeros(model: Any, x: Tensor) -> Tensor:
    total = torch.zeros(x.shape[1], 3)
    for step in x:
        total = total + model.out(model.step(step))
    return functional.log_softmax(total, dim=1)


def python_sum(model: Any, x: Tensor) -> Tensor:
    return sum(model.step(step) for step in x.unbind(0))


def mean_of_a_stack(model: Any, x: Tensor) -> dict[str, Tensor]:
    return {"rate": torch.stack([model.step(step) for step in x], dim=1).mean(dim=1)}


def linear_behind_the_mean(model: Any, x: Tensor) -> Tensor:
    return model.out(torch.stack([model.step(step) for step in x]).mean(0))


def linear_behind_the_sum(model: Any, x: Tensor) -> Tensor:
    return torch.softmax(model.out(torch.stack([model.step(step) for step in x]).sum(dim=0)), dim=-1)


def a_list_of_steps(model: Any, x: Tensor) -> tuple[list[Tensor], int]:
    return [model.out(model.step(step)) for step in x], 7


def channels_last(model: Any, x: Tensor) -> Tensor:
    given = []
    for step in x:
        maps = model.lif1(model.conv(step)).permute(0, 2, 3, 1)
        given.append(model.lif2(model.fc(maps.reshape(len(maps), -1))))
    return torch.stack(given)


def mean_over_places(model: Any, x: Tensor) -> Tensor:
    given = []
    for step in x:
        means = model.lif1(model.conv(step)).flatten(2).mean(-1)
        given.append(model.lif2(model.fc(means.repeat(1, 16))))
    return torch.stack(given)


def some_neurons(model: Any, x: Tensor) -> Tensor:
    given = []
    for step in x:
        maps = model.lif1(model.conv(step))
        half = torch.cat([maps[:, 1], maps[:, 0]], dim=1).view(len(maps), -1)
        given.append(model.lif2(model.fc(half)))
    return torch.stack(given)


def dropped(model: Any, x: Tensor) -> Tensor:
    return torch.stack([functional.dropout(model.step(step), 0.5, model.training) for step in x])


def scaled(model: Any, x: Tensor) -> Tensor:
    given = []
    for step in x:
        maps = model.lif1(2 * model.conv(step / 4) * 3)
        given.append(model.lif2(model.fc(maps.flatten(1)) / 0.5))
    return torch.stack(given)


def an_unused_detour(model: Any, x: Tensor) -> Tensor:
    given = []
    for step in x:
        given.append(model.step(step))
        given[-1].cumsum(0).max()
    return torch.stack(given)


WRITTEN = [
    written_into_a_tensor,
    written_by_slices,
    added_up,
    added_to_zeros,
    python_sum,
    mean_of_a_stack,
    linear_behind_the_mean,
    linear_behind_the_sum,
    a_list_of_steps,
    channels_last,
    mean_over_places,
    some_neurons,
    dropped,
    scaled,
    an_unused_detour,
]


@pytest.mark.parametrize("forward", WRITTEN, ids=lambda forward: forward.__name__)
def test_what_is_between_modules_is_followed(forward: Callable[..., Any]) -> None:
    model = net(forward)
    network = spikesam.from_torch(model, example())
    assert network.timesteps == STEPS + 2
    other = example(seed=2)
    compared = spikesam.compare(model, network, other)  # it is not the example alone that agrees
    assert compared.runs["differ"].tolist()[0] == 0
    assert (compared.answers["float32"] == compared.answers["model"]).all()


@pytest.mark.parametrize(
    ("axes", "arrange"),
    [
        ("BT...", lambda x: x.transpose(0, 1)),
        ("(BT)...", lambda x: x.view(SAMPLES, -1, 1, 6, 6).transpose(0, 1)),
        ("B...T", lambda x: x.movedim(-1, 0)),
    ],
)
def test_a_model_is_called_with_the_axes_that_one_names(axes: Any, arrange: Callable[[Tensor], Tensor]) -> None:
    model = net(lambda model, x: torch.stack([model.step(step) for step in arrange(x).unbind(0)]))
    assert (
        spikesam.from_torch(model, example(), takes=axes).sha256
        == spikesam.from_torch(
            net(lambda model, x: torch.stack([model.step(step) for step in x])), example(), takes="TB..."
        ).sha256
    )


def test_steps_first_or_second_an_image_or_a_step_at_a_time_are_found_out() -> None:
    ways = [
        net(lambda model, x: torch.stack([model.step(step) for step in x])),
        net(lambda model, x: torch.stack([model.step(x[:, step]) for step in range(x.shape[1])])),
        net(lambda model, x: model.step(x)),
    ]
    assert len({spikesam.from_torch(model, example()).sha256 for model in ways}) == 1
    image = example()[0]
    shown = [*ways, net(lambda model, x: torch.stack([model.step(x) for _ in range(STEPS)]))]
    assert len({spikesam.from_torch(model, image, timesteps=STEPS).sha256 for model in shown}) == 1


def test_a_sequence_that_does_not_change_is_one_image() -> None:
    model = net(lambda model, x: model.step(x))
    image = torch.rand(SAMPLES, 1, 6, 6)
    constant = spikesam.from_torch(model, image.expand(STEPS, *image.shape))
    assert constant.encoder == "constant-current"
    assert constant.sha256 == spikesam.from_torch(model, image.numpy(), timesteps=STEPS).sha256


def test_an_answer_that_is_dropped_is_named() -> None:
    def two(model: Any, x: Tensor) -> Any:
        fired = model.lif1(model.conv(x)).flatten(1)
        return {"spikes": model.lif2(model.fc(fired)), "currents": model.fc(fired)}

    message = (
        "several answers; kept that of module 'lif2', dropped that of module 'fc' (Linear); to import another, let"
    )
    with pytest.warns(UserWarning, match=re.escape(message)):
        spikesam.from_torch(net(two), example())


def test_membranes_and_spikes_of_its_layers_are_no_further_answers() -> None:
    def told(model: Any, x: Tensor) -> Any:
        fired = model.lif1(model.conv(x)).flatten(1)
        return model.lif2(model.fc(fired)), model.lif2.mem, [fired]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spikesam.from_torch(net(told), example())


@pytest.mark.parametrize("name", ["snntorch_tutorial", "spikingjelly_steps_hard", "norse_cells", "sinabs_squeezed"])
def test_the_model_is_left_as_it_was(name: str) -> None:
    model, given = make(name)
    with torch.no_grad():
        model(given.transpose(0, 1).flatten(0, 1) if name.startswith("sinabs") else given[0])  # states are not at rest

    def everything() -> dict[str, Any]:
        held = {
            f"{where}.{key}": value for where, module in model.named_modules() for key, value in vars(module).items()
        }
        buffers = {key: value.clone() for key, value in model.named_buffers()}
        hooks = {f"{where} hooks": len(module._forward_hooks) for where, module in model.named_modules()}
        memories = {where: dict(getattr(module, "_memories", {})) for where, module in model.named_modules()}
        return {"held": list(held), "buffers": buffers, "hooks": hooks, "memories": memories}

    before = everything()
    spikesam.from_torch(model, given)
    after = everything()
    assert before["held"] == after["held"] and before["hooks"] == after["hooks"]
    assert before["buffers"].keys() == after["buffers"].keys()
    assert all(torch.equal(before["buffers"][key], after["buffers"][key]) for key in before["buffers"])
    for where, memory in before["memories"].items():
        assert all(memory[key] is after["memories"][where][key] for key in memory)


def test_a_module_with_two_parents_is_followed_once() -> None:
    model = net(lambda model, x: model.step(x))
    shared = nn.Sequential(nn.Sequential(model.conv, model.lif1, nn.Flatten()), nn.Sequential(model.fc, model.lif2))
    shared.add_module("again", nn.ModuleList([model.conv, model.lif1]))
    shared.eval().forward = lambda x: shared[1](shared[0](x))
    assert len(spikesam.from_torch(shared, example()).layers) == 2


def test_a_model_that_fails_is_left_as_it_was() -> None:
    model = net(lambda model, x: model.step(x)[:, :7, :7])
    with pytest.raises(
        spikesam.NetworkError, match=r"called at every step with \(3, 1, 6, 6\), the model fails with IndexE(?!.*fails)"
    ):
        spikesam.from_torch(model, example())
    assert not any(module._forward_hooks for module in model.modules())
    assert model.lif1.mem.numel() == 0


class Own(nn.Module):
    """A neuron of one's own, with a surrogate gradient that no function mode sees."""

    class Fire(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return (x >= 0).float()

    def __init__(self) -> None:
        super().__init__()
        self.membrane: Any = 0.0

    def forward(self, current: Tensor) -> Tensor:
        self.membrane = 0.5 * self.membrane + current
        fired = self.Fire.apply(self.membrane - 1)
        self.membrane = self.membrane * (1 - fired)
        return fired


def own() -> nn.Module:
    torch.manual_seed(0)
    return loud(nn.Sequential(nn.Linear(20, 30), Own(), nn.Linear(30, 9), Own()))


def test_neurons_of_ones_own_are_imported_by_their_equation() -> None:
    torch.manual_seed(1)
    given, neuron = spikes(9, 3, 20), spikesam.LIF(0.5, reset="zero", fires_at_threshold=True)
    network = spikesam.from_torch(own(), given, neurons={Own: neuron})
    assert [layer.name for layer in network.layers] == ["own_1", "own_3"]
    assert network.sha256 == spikesam.from_torch(own(), given, neurons={"1": neuron, "3": neuron}).sha256
    assert spikesam.compare(own(), network, given, neurons={Own: neuron}).runs["differ"][0] == 0


def test_neurons_of_ones_own_may_take_all_steps_at_once() -> None:
    class All(Own):
        def forward(self, current: Tensor) -> Tensor:
            self.membrane = 0.0
            return torch.stack([Own.forward(self, step) for step in current])

    torch.manual_seed(0)
    model = loud(nn.Sequential(nn.Linear(20, 30), All(), nn.Linear(30, 9), All()))
    torch.manual_seed(1)
    given, neuron = spikes(9, 3, 20), spikesam.LIF(0.5, reset="zero", fires_at_threshold=True)
    network = spikesam.from_torch(model, given, neurons={All: neuron}, takes="TB...")
    assert np.array_equal(
        network.layers[0].inputs[0].weight,
        spikesam.from_torch(own(), given, neurons={Own: neuron}).layers[0].inputs[0].weight,
    )
