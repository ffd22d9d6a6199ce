"""However a model is called, and whatever it does between modules, it is followed in its order, and
left as it was.
"""

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
from tests.pipeline.imports.models import Written, by_step, fires, loud, make, spikes

pytest.importorskip("snntorch")
STEPS, SAMPLES = 7, 3


def net(forward: Callable[..., Any]) -> Any:
    """Two layers of neurons, around which a test writes the rest."""
    torch.manual_seed(0)
    first = {"conv": nn.Conv2d(1, 2, 3), "lif1": fires(0.5, 0.9)}
    return loud(Written(forward, **first, fc=nn.Linear(32, 5), lif2=fires(), out=nn.Linear(5, 3)))


def of_step(m: Any, x: Tensor) -> Tensor:
    fired: Tensor = m.lif2(m.fc(m.lif1(m.conv(x)).flatten(1)))
    return fired


stacked = by_step(of_step)


def example(*, seed: int = 1) -> Tensor:
    torch.manual_seed(seed)
    return spikes(STEPS, SAMPLES, 1, 6, 6)


def written_into_a_tensor(m: Any, x: Tensor) -> Tensor:
    given = torch.zeros(len(x), x.shape[1], 5)
    for step in range(len(x)):
        given[step] = of_step(m, x[step])
    return given


def written_by_slices(m: Any, x: Tensor) -> Tensor:
    given = torch.empty(x.shape[1], len(x), 5)
    for step in range(len(x)):
        given[:, step] = of_step(m, x[step])
    return given


def added_up(m: Any, x: Tensor) -> Tensor:
    total: Any = 0
    for step in x:
        total += of_step(m, step)
    return total / len(x)


def added_to_zeros(m: Any, x: Tensor) -> Tensor:
    total = torch.zeros(x.shape[1], 3)
    for step in x:
        total = total + m.out(of_step(m, step))
    return functional.log_softmax(total, dim=1)


def some_neurons(m: Any, x: Tensor) -> Tensor:
    maps = m.lif1(m.conv(x))
    half: Tensor = m.lif2(m.fc(torch.cat([maps[:, 1], maps[:, 0]], dim=1).view(len(maps), -1)))
    return half


def an_unused_detour(m: Any, x: Tensor) -> Tensor:
    fired = of_step(m, x)
    fired.cumsum(0).max()
    return fired


WRITTEN: dict[str, Callable[[Any, Tensor], Any]] = {
    "written into a tensor": written_into_a_tensor,
    "written by slices": written_by_slices,
    "added up": added_up,
    "added to zeros": added_to_zeros,
    "a sum of Python": lambda m, x: sum(of_step(m, step) for step in x.unbind(0)),
    "the mean of a stack": lambda m, x: {
        "rate": torch.stack([of_step(m, step) for step in x], dim=1).mean(dim=1)
    },
    "weights behind the mean": lambda m, x: m.out(stacked(m, x).mean(0)),
    "weights behind the sum": lambda m, x: torch.softmax(m.out(stacked(m, x).sum(dim=0)), dim=-1),
    "a list of steps": lambda m, x: ([m.out(of_step(m, step)) for step in x], 7),
    "channels last": by_step(
        lambda m, x: m.lif2(m.fc(m.lif1(m.conv(x)).permute(0, 2, 3, 1).reshape(len(x), -1)))
    ),
    "a mean over places": by_step(
        lambda m, x: m.lif2(m.fc(m.lif1(m.conv(x)).flatten(2).mean(-1).repeat(1, 16)))
    ),
    "some neurons": by_step(some_neurons),
    "dropped": by_step(lambda m, x: functional.dropout(of_step(m, x), 0.5, m.training)),
    "scaled": by_step(lambda m, x: m.lif2(m.fc(m.lif1(2 * m.conv(x / 4) * 3).flatten(1)) / 0.5)),
    "an unused detour": by_step(an_unused_detour),
}


def assert_followed(model: nn.Module, given: Tensor, other: Tensor) -> None:
    """No bit and no answer differs on the example, nor on another input."""
    network = spikesam.from_torch(model, given)
    compared = spikesam.compare(model, network, other)
    assert compared.runs["differ"].tolist()[0] == 0
    assert (compared.answers["float32"] == compared.answers["model"]).all()


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_between_modules_is_followed(name: str) -> None:
    assert_followed(net(WRITTEN[name]), example(), example(seed=2))


@pytest.mark.parametrize(
    ("axes", "arrange"),
    [
        ("BT...", lambda x: x.transpose(0, 1)),
        ("(BT)...", lambda x: x.view(SAMPLES, -1, 1, 6, 6).transpose(0, 1)),
        ("B...T", lambda x: x.movedim(-1, 0)),
    ],
)
def test_a_model_is_called_with_the_axes_that_one_names(
    axes: Any, arrange: Callable[[Tensor], Tensor]
) -> None:
    network = spikesam.from_torch(net(lambda m, x: stacked(m, arrange(x))), example(), takes=axes)
    assert network.sha256 == spikesam.from_torch(net(stacked), example(), takes="TB...").sha256


def test_steps_first_or_second_an_image_or_a_step_at_a_time_are_found_out() -> None:
    ways = [net(stacked), net(lambda m, x: stacked(m, x.transpose(0, 1))), net(of_step)]
    assert len({spikesam.from_torch(model, example()).sha256 for model in ways}) == 1
    image = example()[0]
    shown = [*ways, net(lambda m, x: torch.stack([of_step(m, x) for _ in range(STEPS)]))]
    assert len({spikesam.from_torch(model, image, timesteps=STEPS).sha256 for model in shown}) == 1


def test_a_sequence_that_does_not_change_is_one_image() -> None:
    model, image = net(of_step), torch.rand(SAMPLES, 1, 6, 6)
    constant = spikesam.from_torch(model, image.expand(STEPS, *image.shape))
    assert constant.encoder == "constant-current"
    assert constant.sha256 == spikesam.from_torch(model, image.numpy(), timesteps=STEPS).sha256


def test_an_answer_that_is_dropped_is_named() -> None:
    def two(model: Any, x: Tensor) -> Any:
        fired = model.lif1(model.conv(x)).flatten(1)
        return {"spikes": model.lif2(model.fc(fired)), "currents": model.fc(fired)}

    message = (
        "several answers; kept that of module 'lif2', dropped that of module 'fc' (Linear); "
        "to import another"
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


@pytest.mark.parametrize(
    "name", ["snntorch_tutorial", "spikingjelly_steps_hard", "norse_cells", "sinabs_squeezed"]
)
def test_the_model_is_left_as_it_was(name: str) -> None:
    model, given = make(name)
    with torch.no_grad():
        model(
            given.transpose(0, 1).flatten(0, 1) if name.startswith("sinabs") else given[0]
        )  # states are not at rest

    def everything() -> dict[str, Any]:
        held = [f"{where}.{key}" for where, module in model.named_modules() for key in vars(module)]
        buffers = {key: value.clone() for key, value in model.named_buffers()}
        hooks = {
            f"{where} hooks": len(module._forward_hooks) for where, module in model.named_modules()
        }
        memories = {
            where: dict(getattr(module, "_memories", {})) for where, module in model.named_modules()
        }
        return {"held": held, "buffers": buffers, "hooks": hooks, "memories": memories}

    before = everything()
    spikesam.from_torch(model, given)
    after = everything()
    assert before["held"] == after["held"] and before["hooks"] == after["hooks"]
    assert before["buffers"].keys() == after["buffers"].keys()
    assert all(
        torch.equal(before["buffers"][key], after["buffers"][key]) for key in before["buffers"]
    )
    for where, memory in before["memories"].items():
        assert all(memory[key] is after["memories"][where][key] for key in memory)


def compiled_in_place(model: nn.Sequential, *modules: nn.Module) -> nn.Module:
    for module in modules or (model,):
        module.compile()
    return model


def compiled_in_part(model: nn.Sequential) -> nn.Module:
    model[2] = torch.compile(model[2])  # type: ignore[assignment]
    return model


@pytest.mark.long
@pytest.mark.parametrize(
    "compiled",
    [
        torch.compile,
        compiled_in_part,
        compiled_in_place,
        lambda model: compiled_in_place(model, *model),
    ],
    ids=["model", "module", "model in place", "modules in place"],
)
def test_a_compiled_model_is_the_one_that_it_was_made_from(
    compiled: Callable[[nn.Sequential], nn.Module],
) -> None:
    def two_layers() -> nn.Sequential:
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Linear(9, 8), fires(), nn.Linear(8, 4), fires())
        loud(layers)
        return layers

    given = spikes(STEPS, SAMPLES, 9)
    network = spikesam.from_torch(two_layers(), given)
    model = compiled(two_layers())
    assert spikesam.from_torch(model, given).sha256 == network.sha256
    assert spikesam.compare(model, network, given, backends="torch").runs["differ"][0] == 0


def test_a_module_with_two_parents_is_followed_once() -> None:
    model = net(of_step)
    shared = nn.Sequential(
        nn.Sequential(model.conv, model.lif1, nn.Flatten()), nn.Sequential(model.fc, model.lif2)
    )
    shared.add_module("again", nn.ModuleList([model.conv, model.lif1]))
    shared.eval().forward = lambda x: shared[1](shared[0](x))
    assert len(spikesam.from_torch(shared, example()).layers) == 2


def test_a_model_that_fails_is_left_as_it_was() -> None:
    model = net(lambda m, x: of_step(m, x)[:, :7, :7])
    message = r"called at every step with \(3, 1, 6, 6\), the model fails with IndexE(?!.*fails)"
    with pytest.raises(spikesam.NetworkError, match=message):
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


def own(kind: type[nn.Module] = Own) -> nn.Module:
    torch.manual_seed(0)
    return loud(nn.Sequential(nn.Linear(20, 30), kind(), nn.Linear(30, 9), kind()))


EQUATION = spikesam.LIF(0.5, reset="zero", fires_at_threshold=True)


def test_neurons_of_ones_own_are_imported_by_their_equation() -> None:
    torch.manual_seed(1)
    given = spikes(9, 3, 20)
    network = spikesam.from_torch(own(), given, neurons={Own: EQUATION})
    assert [layer.name for layer in network.layers] == ["own_1", "own_3"]
    assert (
        network.sha256
        == spikesam.from_torch(own(), given, neurons={"1": EQUATION, "3": EQUATION}).sha256
    )
    assert spikesam.compare(own(), network, given, neurons={Own: EQUATION}).runs["differ"][0] == 0

    class All(Own):
        """They may take all steps at once."""

        def forward(self, current: Tensor) -> Tensor:
            self.membrane = 0.0
            return torch.stack([Own.forward(self, step) for step in current])

    at_once = spikesam.from_torch(own(All), given, neurons={All: EQUATION}, takes="TB...")
    assert np.array_equal(at_once.layers[0].inputs[0].weight, network.layers[0].inputs[0].weight)


CHANNELS, NEURONS = [2, 0, 3, 1], [3, 5, 1, 0, 2, 4, 11, 10, 9, 8, 7, 6]


def ordered(step: Callable[[Any, Tensor], Tensor]) -> nn.Module:
    """Two convolutions and a dense layer, each with neurons,
    around which a test writes the rest.
    """

    def forward(m: Any, x: Tensor) -> Tensor:
        for lif in (m.lif1, m.lif2, m.lif3):
            lif.reset_mem()
        return torch.stack([step(m, each).flatten(1) for each in x])

    torch.manual_seed(0)
    synapses = {
        "conv1": nn.Conv2d(2, 4, 3, padding=1),
        "conv2": nn.Conv2d(4, 4, 3, padding=1),
        "fc": nn.Linear(144, 12),
    }
    return loud(
        Written(forward, **synapses, **{f"lif{number}": fires(beta=0.9) for number in (1, 2, 3)})
    )


def shuffled(maps: Tensor) -> Tensor:
    samples, channels, *sides = maps.shape
    return maps.view(samples, 2, channels // 2, *sides).transpose(1, 2).reshape(maps.shape)


def fired(m: Any, x: Tensor) -> Tensor:
    return m.lif1(m.conv1(x))


CASES: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "channels shuffled in front of neurons": lambda m, x: m.lif3(
        m.fc(m.lif1(shuffled(m.conv1(x))).flatten(1))
    ),
    "channels shuffled by a module": lambda m, x: m.lif1(nn.ChannelShuffle(2)(m.conv1(x))),
    "channels by their index": lambda m, x: m.lif1(
        m.conv1(x).index_select(1, torch.tensor(CHANNELS))
    ),
    "some channels, one twice": lambda m, x: m.lif2(m.conv2(fired(m, x)[:, [3, 3, 0, 1]])),
    "neurons of a dense layer": lambda m, x: m.lif3(m.fc(fired(m, x).flatten(1))[:, NEURONS]),
    "a transposed dense layer": lambda m, x: m.lif3(
        m.fc(fired(m, x).flatten(1)).view(-1, 3, 4).mT.flatten(1)
    ),
    "in front of a convolution": lambda m, x: m.lif2(m.conv2(shuffled(fired(m, x)))),
    "behind pooling": lambda m, x: m.lif2(m.conv2(shuffled(functional.max_pool2d(fired(m, x), 2)))),
    "in front of pooling": lambda m, x: m.lif2(
        m.conv2(functional.avg_pool2d(shuffled(fired(m, x)), 2))
    ),
    "twice, around pooling, and flattened with channels last": lambda m, x: m.lif3(
        m.fc(
            functional.max_pool2d(shuffled(fired(m, x)), 2)
            .permute(0, 2, 3, 1)
            .repeat(1, 2, 2, 1)
            .flatten(1)
        )
    ),
    "in front of a dense layer": lambda m, x: m.lif3(m.fc(shuffled(fired(m, x)).flatten(1))),
    "with no weights": lambda m, x: m.lif2(fired(m, x)[:, CHANNELS] * 0.5),
    "of a concatenation of halves": lambda m, x: m.lif2(
        shuffled(torch.cat([(y := fired(m, x))[:, :2], m.conv2(y)[:, 1:3]], 1))
    ),
    "of a sum": lambda m, x: m.lif2(shuffled(m.conv2(y := fired(m, x)) + shuffled(y))),
    "of the answer": lambda m, x: m.lif3(m.fc(fired(m, x).flatten(1)))[:, NEURONS],
    "of some classes": lambda m, x: m.lif3(m.fc(fired(m, x).flatten(1)))[:, NEURONS[:5]],
    "of the answer of a map": lambda m, x: shuffled(fired(m, x)).mean((2, 3)),
}


@pytest.mark.parametrize("case", CASES)
def test_orders_of_channels_and_neurons_are_followed(case: str) -> None:
    model = ordered(CASES[case])
    assert_followed(model, *spikes(2, STEPS, SAMPLES, 2, 6, 6))


MOVED = "moves places of a map between a convolution and neurons, expected channels in"
REFUSED: dict[str, Callable[[Any, Tensor], Tensor]] = {
    rf"torch.Tensor.transpose: {MOVED}": lambda m, x: m.lif1(m.conv1(x).transpose(2, 3)),
    rf"torch.Tensor.flip: {MOVED}": lambda m, x: m.lif1(m.conv1(x).flip(3).flatten(1)),
    rf"torch.nn.functional.pixel_shuffle: {MOVED}": lambda m, x: m.lif1(
        functional.pixel_shuffle(m.conv1(x), 2)
    ),
    r"module 'conv2' \(Conv2d\): sees a map whose places are moved": lambda m, x: m.lif2(
        m.conv2(fired(m, x).mT)
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_places_that_are_moved_around_a_convolution_are_refused(message: str) -> None:
    with pytest.raises(spikesam.NetworkError, match=f"from_torch: {message}"):
        spikesam.from_torch(ordered(REFUSED[message]), spikes(STEPS, SAMPLES, 2, 6, 6))
