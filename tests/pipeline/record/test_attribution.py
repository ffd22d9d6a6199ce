"""The step and sample of each counted operation: worked by hand for each way to run a module."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import spikesam
from tests.pipeline.record.counting import Fires, counted

STEPS, SAMPLES = 3, 2
SPIKES = [[0, 5], [1, 3], [2, 4]]  # of the samples at each step
BY_STEP = [[[0, 1, 2], [0, 0, 0]], [[5, 3, 4], [0, 0, 0]]]  # additions and multiplications


def inputs(spikes: list[list[int]] = SPIKES) -> Tensor:
    """(T, B, 6): so many ones at each step of each sample."""
    return (torch.arange(6) < torch.tensor(spikes)[..., None]).float()


class Weighs(nn.Module):
    """One synapse for each number that arrives, and what the model does with it."""

    def __init__(self, way: Callable[[Any, Tensor], Tensor], synapses: nn.Module | None = None):
        super().__init__()
        self.way, self.fires = way, Fires()
        self.fc = synapses or nn.Linear(6, 1, bias=False)
        nn.init.ones_(self.fc.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.way(self, x)


def recorded(model: nn.Module, calls: list[Tensor], folder: Path, **options: Any) -> Any:
    """What was counted at `fc` in one batch."""
    model.eval()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        with spikesam.record(model, folder, ["fires"], operations=True, **options) as recording:
            for call in calls:
                model(call)
            recording.finish()
    return counted(folder)


def all_steps(model: Any, x: Tensor) -> Tensor:
    result: Tensor = model.fires(model.fc(x))
    return result


def merged(model: Any, x: Tensor) -> Tensor:
    result: Tensor = model.fires(model.fc(x.flatten(0, 1)).unflatten(0, x.shape[:2]))
    return result


def in_a_loop(model: Any, x: Tensor) -> Tensor:
    return torch.stack([model.fires(model.fc(step)) for step in x])


def twice_a_step(model: Any, x: Tensor) -> Tensor:
    steps = []
    for step in x:
        first = model.fc(step[:, :6])
        steps.append(model.fires(first + model.fc(step[:, :6] * 0)))
    return torch.stack(steps)


def all_steps_before_a_loop(model: Any, x: Tensor) -> Tensor:
    return torch.stack([model.fires(step) for step in model.fc(x)])


def with_samples_first_within(model: Any, x: Tensor) -> Tensor:
    return torch.stack([model.fires(model.fc(step)) for step in x.transpose(0, 1)])


@pytest.mark.parametrize(
    ("way", "layout", "arranged"),
    [
        (all_steps, "TB...", lambda x: [x]),
        (all_steps, "BT...", lambda x: [x.transpose(0, 1)]),
        (merged, "TB...", lambda x: [x]),
        (merged, "BT...", lambda x: [x.transpose(0, 1)]),
        (all_steps, "B...", list),
        (all_steps, "TB...", lambda x: list(x[:, None])),
        (in_a_loop, "B...", lambda x: [x]),
        (twice_a_step, "B...", lambda x: [x]),
        (with_samples_first_within, "B...", lambda x: [x.transpose(0, 1)]),
        (all_steps_before_a_loop, "B...", lambda x: [x]),
    ],
)
def test_each_way_to_run_a_module(way: Any, layout: str, arranged: Any, tmp_path: Path) -> None:
    counts = recorded(Weighs(way), arranged(inputs()), tmp_path, layout=layout)
    assert counts == {"fc": BY_STEP}


@pytest.mark.parametrize(("way", "layout"), [(merged, "TB..."), (merged, "BT...")])
def test_a_convolution_of_all_steps(way: Any, layout: str, tmp_path: Path) -> None:
    """As many spikes as above in a row of 6, each at one place of a kernel of 1."""
    x = inputs()[:, :, None] if layout == "TB..." else inputs().transpose(0, 1)[:, :, None]
    model = Weighs(way, nn.Conv1d(1, 1, 1, bias=False))
    axes = {"fires": "T B C N" if layout == "TB..." else "B T C N"}
    counts = recorded(model, [x], tmp_path, axes=axes)
    assert counts == {"fc": BY_STEP}


def repeated(model: Any, x: Tensor) -> Tensor:
    return torch.stack([model.fires(step) for step in model.fc(x).expand(STEPS, -1, -1)])


def averaged(model: Any, x: Tensor) -> Tensor:
    result: Tensor = model.fc(model.fires(x).mean(0).ceil())
    return result


def test_a_module_that_runs_once_for_all_steps(tmp_path: Path) -> None:
    """In front of the layers it counts at step 0, behind them at the last one."""
    counts = recorded(Weighs(repeated), [inputs()[2]], tmp_path / "in front")
    assert counts == {"fc": [[[2, 0, 0], [0, 0, 0]], [[4, 0, 0], [0, 0, 0]]]}
    counts = recorded(Weighs(averaged), [inputs()], tmp_path / "behind", layout="TB...")
    assert counts == {"fc": [[[0, 0, 2], [0, 0, 0]], [[0, 0, 5], [0, 0, 0]]]}


SQUARE = [[0, 1], [2, 5]]  # 2 steps of 2 samples


@pytest.mark.parametrize("layout", ["TB...", "BT..."])
def test_as_many_steps_as_samples(layout: str, tmp_path: Path) -> None:
    """The model's input has them in the order of its layers."""
    counts = recorded(Weighs(all_steps), [inputs(SQUARE)], tmp_path, layout=layout)
    rows = [[0, 2], [1, 5]] if layout == "TB..." else SQUARE
    assert counts == {"fc": [[row, [0, 0]] for row in rows]}


def repeated_in_front(model: Any, x: Tensor) -> Tensor:
    result: Tensor = model.fires(model.fc(x.expand(2, *x.shape)))
    return result


def test_steps_that_may_be_tokens_are_refused(tmp_path: Path) -> None:
    """(2, 2, C) of 2 steps and 2 samples may be 2 tokens of each sample. Of 3 samples it is known,
    and later batches follow.
    """
    model, image = Weighs(repeated_in_front).eval(), inputs([[1, 2, 5]])[0]
    message = r"operations: module 'fc' multiplies \(2, 2\) rows.*may be something else"
    with pytest.raises(spikesam.InputError, match=message):
        recorded(model, [image[:2]], tmp_path / "refused", layout="TB...")
    folder, options = tmp_path / "run", {"layout": "TB...", "operations": True}
    with torch.no_grad(), spikesam.record(model, folder, ["fires"], **options) as recording:
        for samples in (image, image[:2]):
            model(samples)
            recording.finish()
    additions = [sample[0] for sample in counted(folder)["fc"]]
    assert additions == [[1, 1], [2, 2], [5, 5], [1, 1], [2, 2]]


def exchanged(model: Any, x: Tensor) -> Tensor:
    """Steps and samples in one axis, samples first, though layers have the steps first."""
    rows = model.fc(x.permute(1, 0, 2).reshape(-1, 6))
    result: Tensor = model.fires(rows.reshape(x.shape[1], x.shape[0], -1).movedim(1, 0))
    return result


def exchanged_in_front(model: Any, x: Tensor) -> Tensor:
    result: Tensor = model.fires(model.fc(x.swapaxes(0, 1)))
    return result


def test_axes_that_are_exchanged(tmp_path: Path) -> None:
    with pytest.raises(spikesam.InputError, match="module 'fc'.*axes are exchanged and no layer"):
        recorded(Weighs(exchanged), [inputs()], tmp_path / "refused", layout="TB...")
    first = inputs().transpose(0, 1)
    counts = recorded(Weighs(exchanged_in_front), [first], tmp_path / "run", layout="TB...")
    assert counts == {"fc": BY_STEP}


def test_tokens_in_front_of_samples_are_refused(tmp_path: Path) -> None:
    """2 tokens and 2 samples, (N, B, C), one step: they look like (B, N, C)."""

    def tokens_first(model: Any, x: Tensor) -> Tensor:
        result: Tensor = model.fires(model.fc(x.transpose(0, 1)).transpose(0, 1))
        return result

    with pytest.raises(spikesam.InputError, match="axes are exchanged and no layer"):
        recorded(Weighs(tokens_first), [inputs(SQUARE)], tmp_path, axes={"fires": "B N C"})


def test_weights_that_are_written_within_a_batch(tmp_path: Path) -> None:
    """Half of the synapses vanish before the second step, and the others within the third one."""
    data: list[Tensor] = []

    def pruned(model: Any, x: Tensor) -> Tensor:
        if len(data) == 2:
            model.fc(x * 0)
            model.fc.weight.data[:, 1:] = 0
        if len(data) == 1:
            model.fc.weight.data[:, 3:] = 0
        data.append(x)
        return all_steps(model, x)

    x = torch.ones(3, 1, 6)
    assert recorded(Weighs(pruned), list(x), tmp_path / "within") == {
        "fc": [[[6, 3, 1], [0, 0, 0]]]
    }
    model = Weighs(all_steps)
    weight = model.fc.weight.data  # of another version

    def written(model: Any, x: Tensor) -> Tensor:
        model.fc(x * 0)
        weight[:, 1:] = 0
        return all_steps(model, x)

    model.way = written
    counts = recorded(model, [x[0]], tmp_path / "through another tensor")
    assert counts == {"fc": [[[1], [0]]]}


@pytest.mark.parametrize("write", [lambda x: x.mul_(2), lambda x: x.data.mul_(2)])
def test_spikes_that_become_other_numbers_multiply(write: Any, tmp_path: Path) -> None:
    """They were known as spikes, as neurons gave them."""

    def changed(model: Any, x: Tensor) -> Tensor:
        spikes = model.fires(x)
        currents = model.fc(spikes)
        write(spikes)
        result: Tensor = currents + model.fc(spikes)
        return result

    counts = recorded(Weighs(changed), list(inputs()[:1]), tmp_path, layout="B...")
    assert counts == {"fc": [[[0], [0]], [[5], [5]]]}


def test_half_precision_of_a_model_rounds_no_counts(tmp_path: Path) -> None:
    """2050 is no number of bfloat16."""
    model = Weighs(all_steps, nn.Linear(2050, 1, bias=False))
    with torch.autocast("cpu", torch.bfloat16):
        counts = recorded(model, [torch.ones(1, 2050)], tmp_path)
    assert counts == {"fc": [[[2050], [0]]]}


class Hides(nn.Linear):
    """Multiplies by no function of torch."""

    def forward(self, x: Tensor) -> Tensor:
        return (x[..., None, :] * self.weight).sum(-1)


def in_vmap(model: Any, x: Tensor) -> Tensor:
    result: Tensor = model.fires(torch.vmap(model.fc)(x))
    return result


@pytest.mark.parametrize(
    ("way", "synapses", "message"),
    [
        (all_steps, lambda: Hides(6, 1), "module 'fc' multiplies by no function that is seen"),
        (in_vmap, lambda: nn.Linear(6, 1), "module 'fc' calls linear in vmap"),
    ],
)
def test_what_is_not_seen_is_refused(way: Any, synapses: Any, message: str, tmp_path: Path) -> None:
    model = Weighs(way)
    model.fc = synapses()
    with pytest.raises(spikesam.InputError, match=f"operations: {message}"):
        recorded(model, [inputs()], tmp_path, layout="TB...")


def test_weights_made_of_weights_count_nothing(tmp_path: Path) -> None:
    """Spectral normalisation multiplies weights, whatever arrives."""
    model = Weighs(all_steps, nn.utils.parametrizations.spectral_norm(nn.Linear(6, 1, bias=False)))
    assert recorded(model.eval(), [inputs()], tmp_path, layout="TB...") == {"fc": BY_STEP}
