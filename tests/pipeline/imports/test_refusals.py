"""What cannot be imported is refused in one line: which module, which property, and what would be
possible.
"""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import spikesam
from tests.pipeline.imports.models import Jelly, Written, fires, loud, spikes

snn = pytest.importorskip("snntorch")


def dense(neuron: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(10, 10), neuron)


def maps(*modules: nn.Module) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), fires(), *modules, nn.Conv2d(4, 4, 1), fires(), nn.Flatten()
    )


def currents(*modules: nn.Module) -> nn.Module:
    return alone(nn.Conv2d(2, 4, 3, padding=1), *modules)


def alone(*modules: nn.Module) -> nn.Module:
    return nn.Sequential(*modules, fires(), nn.Flatten())


def norse(name: str, **options: Any) -> nn.Module:
    return dense(getattr(pytest.importorskip("norse.torch"), name)(**options))


def sinabs(name: str, **options: Any) -> nn.Module:
    return dense(getattr(pytest.importorskip("sinabs.layers"), name)(**options))


def held_after_the_reset() -> nn.Module:
    activation = pytest.importorskip("sinabs.activation")
    reset = activation.MembraneSubtract(2.5)
    return sinabs("IAF", spike_fn=activation.SingleSpike, min_v_mem=-1.0, reset_fn=reset)


def single_spike() -> Any:
    return pytest.importorskip("sinabs.activation").SingleSpike


def blocks(**options: Any) -> nn.Module:
    pytest.importorskip("lava.lib.dl.slayer")
    from lava.lib.dl.slayer.block import cuba

    neuron = {"threshold": 1.0, "current_decay": 1.0, "voltage_decay": 0.0, **options}
    return nn.Sequential(cuba.Dense(neuron, 10, 10, weight_scale=4))


def layers() -> dict[str, nn.Module]:
    return {"a": nn.Linear(10, 10), "lif1": fires(), "b": nn.Linear(10, 10), "lif2": fires()}


def feedback(m: Any, x: Tensor) -> Tensor:
    """The second layer drives the first, a step later."""
    fired, given = torch.zeros(x.shape[1], 10), []
    for step in x:
        fired = m.lif2(m.b(m.lif1(m.a(step) + fired)))
        given.append(fired)
    return torch.stack(given)


def shifted() -> nn.Module:
    """A normalisation that adds a half."""
    normalisation = nn.BatchNorm2d(4)
    normalisation.bias.data.fill_(0.5)
    return normalisation


def pooled_sum(m: Any, x: Tensor) -> Tensor:
    return functional.max_pool2d(m.lif1(x) + m.lif2(0.5 * x), 2)


def changed(module: nn.Module, **attributes: Any) -> nn.Module:
    """A module whose attributes were set after it was made."""
    for name, value in attributes.items():
        setattr(module, name, value)
    return module


class Counter(nn.Module):
    """Fires several spikes at a step."""

    def forward(self, current: Tensor) -> Tensor:
        return current.clamp(min=0).floor()


# What a module has, and what the refusal says of it.
REFUSED: dict[str, Callable[[], nn.Module]] = {
    "'1' (Alpha): has two synaptic currents, which reset_mechanism='zero' changes": lambda: dense(
        snn.Alpha(0.9, 0.8, reset_mechanism="zero", init_hidden=True)
    ),
    "'1' (Leaky): has inhibition=True, expected False": lambda: dense(fires(inhibition=True)),
    "'1' (Leaky): has graded_spikes_factor=2.0, expected 1": lambda: dense(
        fires(graded_spikes_factor=2.0)
    ),
    "'2' (Leaky): its leak has shape (8,), expected one number, or one for each channel": lambda: (
        currents(nn.Identity(), fires(beta=torch.rand(8)), nn.Conv2d(4, 4, 1))
    ),
    "'1' (Synaptic): has reset_mechanism='zero', which drops the next step's current, too, "
    "expected": lambda: dense(snn.Synaptic(0.5, 0.5, init_hidden=True, reset_mechanism="zero")),
    "'1' (RLeaky): has reset_mechanism='zero', which drops the next step's current, too, expected "
    "'sub": lambda: dense(
        snn.RLeaky(0.5, linear_features=10, init_hidden=True, reset_mechanism="zero")
    ),
    "'1' (RSynaptic): has reset_delay=False, which snnTorch loses here, expected True": lambda: (
        dense(snn.RSynaptic(0.5, 0.5, linear_features=10, init_hidden=True, reset_delay=False))
    ),
    "'1' (Leaky): has reset_mechanism='zero', but was made with another": lambda: dense(
        changed(fires(), reset_mechanism="zero")
    ),
    "'1' (IzhikevichNode): has an equation that is not known": lambda: dense(
        Jelly("neuron").IzhikevichNode()
    ),
    # Releases without ILIFNode have this one, and cannot make it.
    "'1' (LIAFNode): has an equation that is not known here; IFNode, HalfThresholdIFNode, LIFNode, "
    "": lambda: dense((Jelly("neuron").ILIFNode, Jelly("neuron").LIAFNode)[1](torch.relu, True)),
    "'1' (PSN): has membranes that are weighted sums over many steps": lambda: dense(
        Jelly("neuron").PSN(T=6)
    ),
    "'1' (GatedLIFNode): has learned gates between kinds of leak": lambda: dense(
        Jelly("neuron").GatedLIFNode(T=6, inplane=10)
    ),
    "'3' (NonSpikingIFNode): has decode='max-mem', expected None or 'last_mem'": lambda: (
        nn.Sequential(
            *dense(Jelly("neuron").IFNode(step_mode="m")),
            nn.Linear(10, 3),
            Jelly("neuron").NonSpikingIFNode("max-mem"),
        )
    ),
    "'1' (LIFRefracCell): has an equation that is not known here; IAFCell": lambda: norse(
        "LIFRefracCell"
    ),
    "'1' (LIFBoxCell): has v_reset=0.5, v_leak=0.0, expected equal ones": lambda: norse(
        "LIFBoxCell",
        p=pytest.importorskip("norse.torch").LIFBoxParameters(v_reset=torch.as_tensor(0.5)),
    ),
    "(LSNNRecurrentCell): has an equation that is not known here; LIFRecurrentCell and "
    "LIFRecurrent": lambda: norse("LSNNRecurrentCell", input_size=10, hidden_size=10),
    "'1' (IAFSqueeze): has spike_fn=MultiSpike, several spikes per step": lambda: sinabs(
        "IAFSqueeze", batch_size=3
    ),
    "'1' (IAF): subtracts 2.5, after which a membrane can lie below min_v_mem=-1.0": (
        held_after_the_reset
    ),
    "'1' (IAFRecurrent): has rec_connect=Linear, expected one Linear or Conv2d without": lambda: (
        sinabs("IAFRecurrent", rec_connect=nn.Linear(10, 10))
    ),
    "'4' (Leaky): its input comes from module '2' (SynapseFilter)": lambda: nn.Sequential(
        *dense(fires()), Jelly("layer").SynapseFilter(), *dense(fires())
    ),
    "'1' (IAF): has min_v_mem=-100.0, in whose size sinabs rounds every membrane": lambda: sinabs(
        "IAF", spike_fn=single_spike(), min_v_mem=-100.0
    ),
    "'0' (Dense): lava-dl rounds what leaks to 0.000244 at every step, and this": lambda: blocks(
        voltage_decay=0.5
    ),
    "'0' (Dense): has voltage_decay=0 and current_decay=0.5, whose rounding adds up": lambda: (
        blocks(current_decay=0.5)
    ),
    "'0' (Dense): has shared_param=False, expected True": lambda: blocks(shared_param=False),
    "'0' (Dense): has graded_spike=True, expected False": lambda: blocks(graded_spike=True),
    "'0' (Dense): has persistent_state=True, expected False": lambda: blocks(persistent_state=True),
    "pools a sum by maximum, expected one layer, or a concatenation": lambda: nn.Sequential(
        nn.Conv2d(2, 2, 1),
        Written(pooled_sum, lif1=fires(), lif2=fires()),
        nn.Conv2d(2, 2, 1),
        fires(),
        nn.Flatten(),
    ),
    "'4' (MaxPool2d): pools a sum by maximum, expected one layer": lambda: maps(
        shifted(), nn.Conv2d(4, 4, 3, padding=1), nn.MaxPool2d(2)
    ),
    "'2' (Leaky): its input comes from module '1' (Tanh), behind module '0' (Linear), which is not "
    "linear": lambda: nn.Sequential(nn.Linear(10, 10), nn.Tanh(), fires()),
    "'0' (ConvTranspose2d): has stride=(2, 2), expected 1: maps are not made larger here": lambda: (
        alone(nn.ConvTranspose2d(2, 4, 3, stride=2))
    ),
    "module '3' (Conv2d): is behind padding of a map that has a bias, expected no bias or no "
    "padding": lambda: nn.Sequential(
        nn.Conv2d(2, 4, 1),
        fires(),
        nn.Conv2d(4, 4, 1),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.Flatten(),
    ),
    "module '1.1' (Conv2d): is behind a maximum of currents, which is not linear": lambda: currents(
        nn.Sequential(nn.MaxPool2d(3, 2, padding=1), nn.Conv2d(4, 4, 1))
    ),
    "behind module '0' (Conv2d), which has ceil_mode=True or dilation, expec": lambda: currents(
        nn.AvgPool2d(3, 2, ceil_mode=True)
    ),
    "'2' (MaxPool2d): pools a maximum again, expected": lambda: currents(
        nn.MaxPool2d(2), nn.MaxPool2d(2, padding=1)
    ),
    "'2' (AvgPool2d), behind module '1', which has padding and count_include_pad=False, expected "
    "True": lambda: maps(nn.AvgPool2d(3, padding=1, count_include_pad=False)),
    "averages what was pooled by maximum, expected one": lambda: maps(
        nn.MaxPool2d(2), nn.AvgPool2d(2)
    ),
    "'0' (ConstantPad2d), behind the input, which pads with mode='constant', value=1.0, expected "
    "zeros": lambda: alone(nn.ConstantPad2d(1, 1.0), nn.Conv2d(2, 2, 3)),
    "'0' (ConstantPad3d), behind the input, which pads channels or crops, expected a border around "
    "a map": lambda: alone(nn.ConstantPad3d((0, 0, 0, 0, 1, 1), 0.0), nn.Conv2d(4, 2, 3)),
    "the map before it of module '2' (AdaptiveAvgPool2d), whose windows are uneven": lambda: maps(
        nn.AdaptiveAvgPool2d(5), nn.Conv2d(4, 4, 3)
    ),
    "model: module '2' is scripted or traced, expected the module ": lambda: maps(
        torch.jit.script(nn.Conv2d(4, 4, 3))
    ),
    "'1' (BatchNorm2d): has track_running_stats=False, expected running statistics": lambda: (
        currents(nn.BatchNorm2d(4, track_running_stats=False))
    ),
    "'lif2' (Leaky): answers with membranes that are reset, expected spikes, or": lambda: Written(
        lambda m, x: m.lif2(m.b(m.lif1(m.a(x))))[1], **layers() | {"lif2": fires(output=True)}
    ),
    "no neurons in Sequential, Linear, ReLU; expected those of": lambda: nn.Sequential(
        nn.Linear(10, 10), nn.ReLU()
    ),
    "found no neurons in Sequential, Linear, Counter": lambda: nn.Sequential(
        nn.Linear(10, 10), Counter()
    ),
}
# What a forward does between two layers of neurons, and what the refusal says of it.
WRITTEN: dict[str, Callable[[Any, Tensor], Any]] = {
    "'lif2' (Leaky) → module 'lif1' (Leaky): form a loop of 2 layers, whose spikes are back sooner "
    "than 2 st": feedback,
    "a sum of unequal shapes, (3, 10) and (3, 1); expected": lambda m, x: m.lif2(
        m.b(y := m.lif1(m.a(x))) + y[:, :1]
    ),
    "a sum of different neurons or steps; expected": lambda m, x: m.lif2(
        m.b(y := m.lif1(m.a(x))) + y.flip(0)
    ),
    "behind the sum over steps and module 'lif1', a sum of different neurons": lambda m, x: (
        sum(fired := [m.lif1(m.a(step)) for step in x]) + fired[0]
    ),
    "a product with a current of module 'b' (Linear), expected spikes": lambda m, x: m.lif2(
        m.lif1(m.a(x)) * m.b(x)
    ),
    "a product of 1 less spikes of torch.Tensor.__rsub__ and of": lambda m, x: m.lif2(
        (1 - x) * (1 - m.lif1(m.a(x)))
    ),
    "'lif1' (Leaky): gets what module 'b' (Linear) gives, and in": lambda m, x: m.lif1(
        m.b(m.lif1(m.a(x)))
    ),
    "'lif1' (Leaky): takes one step in each call, got others than": lambda m, x: (
        m.lif1(m.a(x)),
        m.lif1(m.a(x)),
    ),
    "comes from torch.sin, behind module 'a' (Linear); expected Conv2d": lambda m, x: m.lif1(
        torch.sin(m.a(x))
    ),
    "comes from torch.bernoulli, behind the input; expected": lambda m, x: m.lif1(
        m.a(torch.bernoulli(x))
    ),
    "functional.dropout, behind module 'a' (Linear), with training": lambda m, x: m.lif1(
        functional.dropout(m.a(x))
    ),
    "functional.linear, behind the input, whose weights": lambda m, x: m.lif1(
        functional.linear(x, x, m.a.bias[:3])
    ),
    "the model's output comes from torch.Tensor.add, behind": lambda m, x: (
        m.lif1(m.a(x)) * 0 + m.lif1.mem
    ),
    "from module 'lif1', but from 1 of 6 steps; expected all": lambda m, x: [
        m.lif1(m.a(step)) for step in x
    ][-1],
    "torch.softmax: is of every step, expected of the sum over": lambda m, x: torch.softmax(
        m.b(m.lif1(m.a(x))), 1
    ),
    "torch.Tensor.sum, behind module 'lif1', over samples, or over steps": lambda m, x: m.lif1(
        m.a(x)
    ).sum(0),
    "the model's output is str, expected a tensor": lambda m, x: str(m.lif1(m.a(x))),
    "the model's output comes from the input, with nothing in between, expected": lambda m, x: (
        x,
        m.lif1(m.a(x)),
    ),
}


@pytest.mark.parametrize("message", [*REFUSED, *WRITTEN])
def test_it_is_refused_by_name_and_property(message: str) -> None:
    torch.manual_seed(0)
    model = loud(
        REFUSED[message]() if message in REFUSED else Written(WRITTEN[message], **layers())
    )
    first = next(module for module in model.modules() if hasattr(module, "weight"))
    given = spikes(6, 3, 2, 8, 8) if first.weight.ndim == 4 else spikes(6, 3, 10)
    with pytest.raises(spikesam.NetworkError, match=re.escape(message)) as caught:
        spikesam.from_torch(model, given)
    assert str(caught.value).startswith("from_torch: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("neurons", "message"),
    [
        (
            {Counter: spikesam.LIF(0.0)},
            r"'1' \(Counter\): gave values in 0 … \d, expected spikes of 0 and 1; graded",
        ),
        (
            {"lif": spikesam.LIF(0.5)},
            "neurons: got 'lif', expected the name or the class of a module, such as 0, 1",
        ),
        (
            {nn.ReLU: spikesam.LIF(0.5)},
            "neurons: got <class 'torch.nn.modules.activation.ReLU'>, expected the name or",
        ),
        ({"1": 0.5}, r"neurons: got float for '1', expected LIF\(…\)"),
    ],
)
def test_equations_that_nothing_has(neurons: Any, message: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(spikesam.NetworkError, match=message):
        spikesam.from_torch(loud(dense(Counter())), spikes(6, 3, 10), neurons=neurons)


@pytest.mark.parametrize(
    ("example", "options", "message"),
    [
        ("cat", {}, "example: got str, expected one batch as the model takes it at every step"),
        (torch.zeros(10), {}, r"example: got shape \(10,\), expected one batch"),
        (torch.zeros(0, 3, 10), {}, r"example: got shape \(0, 3, 10\), expected one batch"),
        (
            torch.ones(3, 10),
            {},
            r"timesteps: got none for one batch, \(3, 10\); say how many steps",
        ),
        (
            torch.ones(3, 10),
            {"timesteps": 0},
            "timesteps: got 0, expected a whole number, at least 1",
        ),
        (spikes(6, 3, 10), {"timesteps": 7}, "timesteps: got 7, expected 6, as the example has"),
        (spikes(6, 3, 10).half(), {}, "example: has dtype torch.float16, expected float32; give"),
        (spikes(6, 3, 10) / 0, {}, "example: holds NaN or infinite numbers, expected finite ones"),
        (
            torch.zeros(6, 3, 10, device="meta"),
            {},
            "example is a tensor without numbers, on the device 'meta'",
        ),
        (spikes(6, 3, 10), {"takes": "N"}, "takes is 'N', expected one of B..., TB..."),
        (
            spikes(6, 3, 10) / 100,
            {},
            "module '1' .Leaky.: none of its neurons fires on the example, so that",
        ),
        (
            torch.zeros(6, 3, 10),
            {},
            "example: holds zeros alone, which shows nothing of the input; give some of",
        ),
    ],
)
def test_examples_that_prove_nothing(example: Any, options: dict[str, Any], message: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(spikesam.InputError, match=f"from_torch: .*{message}"):
        spikesam.from_torch(loud(dense(fires(threshold=3.0))), example, **options)


def looping(m: Any, x: Tensor) -> Tensor:
    """Shows itself its image, at 25 steps."""
    membrane, fired = m.lif1.reset_mem(), []
    for _ in range(25):
        spikes, membrane = m.lif1(m.fc(x), membrane)
        fired.append(spikes)
    return torch.stack(fired)


@pytest.mark.parametrize("timesteps", [10, 30])
def test_a_model_that_loops_itself_says_how_often(timesteps: int) -> None:
    torch.manual_seed(0)
    model: Any = Written(
        looping, fc=nn.Linear(10, 10), lif1=snn.Leaky(beta=0.9, threshold=0.3)
    ).eval()
    with pytest.raises(
        spikesam.NetworkError, match=rf"lif1 ran 25 times, expected {timesteps}: pass timesteps=25$"
    ):
        spikesam.from_torch(model, torch.rand(3, 10), timesteps=timesteps)
    assert not model.lif1._forward_hooks
    assert spikesam.from_torch(model, torch.rand(3, 10), timesteps=25).timesteps == 26


def spoilt(model: Any) -> nn.Module:
    model[0].bias.data[3] = float("nan")
    return model


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda model: "cat", "model: got str, expected a torch.nn.Module"),
        (
            nn.Module.train,
            "model: module '0' is in training mode, expected evaluation; call model.eval()",
        ),
        (
            nn.Module.half,
            "model: '0.weight' has dtype torch.float16, expected float32; call model.float",
        ),
        (nn.Module.double, "model: '0.weight' has dtype torch.float64, expected float32"),
        (spoilt, "model: '0.bias' holds NaN or infinite numbers, expected finite ones"),
    ],
)
def test_models_that_would_not_be_what_they_seem(
    spoil: Callable[[nn.Module], Any], message: str
) -> None:
    with pytest.raises(spikesam.NetworkError, match=re.escape(message)):
        spikesam.from_torch(spoil(dense(fires()).eval()), spikes(6, 3, 10))
