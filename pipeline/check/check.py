"""Check a torch network by hooks: what it mixes, keeps and fires, without an import."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spikesam.common.arguments import checked_arguments
from spikesam.common.errors import InputError
from spikesam.pipeline.check._backend import Backends
from spikesam.pipeline.check._changes import first_that_differs, later_steps, samples_mixed
from spikesam.pipeline.check._dropped import ResultUses
from spikesam.pipeline.check._ignored import ParameterReads, ignored_input, ignored_parameters
from spikesam.pipeline.check._modes import modes
from spikesam.pipeline.check._multiplications import Multiplications
from spikesam.pipeline.check._neurons import CheckedNeurons, FiringBeside
from spikesam.pipeline.check._state import left_over, states
from spikesam.pipeline.check._trace import Trace
from spikesam.pipeline.check.findings import SEVERITIES, Check, Finding
from spikesam.pipeline.check.passes import (
    FirstNeurons,
    PassInputs,
    outputs_of_model,
    read_inputs,
    sized,
)
from spikesam.pipeline.imports.libraries.known import library_that_fires
from spikesam.pipeline.imports.torch.calling import preserved
from spikesam.pipeline.imports.torch.modules import reset as reset_known
from spikesam.pipeline.record.weights import refuse_missing_numbers

SEED = 0


@checked_arguments(model="a torch.nn.Module")
def check(
    model: nn.Module,
    inputs: Tensor | Sequence[Tensor],
    *,
    timesteps: int | None = None,
    takes: str | None = None,
    reset: Callable[[], object] | None = None,
) -> Check:
    """Check that a network is the one that its author thinks it is, in at most four runs.

    Hooks look at what every module takes and gives; nothing is imported, and the model is
    afterwards as it was before. One run is compared with another of the same input, with one in
    which a sample is replaced, and with one in which the last step is replaced.

    Parameters
    ----------
    model : of any library; neurons of snnTorch, SpikingJelly, Norse, sinabs and lava-dl are known
    inputs : what the model is called with once; or a list of tensors, one call for each step. At
        least two samples, so that mixed samples are seen
    timesteps : how often the model is called with `inputs`, where they are one tensor; once if not
        given
    takes : axes of `inputs`, "TB...", "BT...", "(BT)...", "B...T" or "B...", T being steps and B
        samples; told by the neurons that run first if not given
    reset : brings the model to rest; if not given, the neurons of known libraries are reset

    Returns
    -------
    Check : prints as a table; `findings`, and `raise_for` for a test

    Raises
    ------
    InputError : if the model cannot be called with `inputs`, or its axes cannot be told, or its
        weights hold NaN

    Examples
    --------
    >>> import snntorch, torch
    >>> import spikesam
    >>> _ = torch.manual_seed(0)
    >>> class Mixing(torch.nn.Module):
    ...     def forward(self, currents):
    ...         return currents - currents.mean(0)
    >>> model = torch.nn.Sequential(
    ...     torch.nn.Linear(20, 30), Mixing(), snntorch.Leaky(0.9, threshold=0.2, init_hidden=True)
    ... ).eval()
    >>> checked = spikesam.check(model, torch.rand(4, 20), timesteps=5)
    >>> faults = [finding for finding in checked.findings if finding.severity == "fault"]
    >>> [(fault.name, fault.module) for fault in faults]
    [('samples mixed', '1')]
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"check: got {type(model).__name__}, expected a torch.nn.Module")
    refuse_missing_numbers(model, "check")
    example = read_inputs(inputs, timesteps, takes)
    neurons_by_name = {
        name: module for name, module in model.named_modules() if library_that_fires(module)
    }
    runs = _Runs(model, reset)
    neurons, backends, operations = (
        CheckedNeurons(neurons_by_name),
        Backends(neurons_by_name),
        Multiplications(model),
    )
    reads, uses = ParameterReads(model), ResultUses(model)
    firing = FiringBeside(model, neurons_by_name)
    with preserved(model):
        base = runs.run(example, uses, backends, neurons, operations, reads, firing)
        example = sized(example, takes, _first(base, neurons_by_name))
        again = runs.run(example)
    findings = [*modes(model, base), *neurons.findings(operations.others_behind)]
    findings += [*backends.findings(), *operations.findings()]
    findings += [*ignored_parameters(model, base, reads), *uses.findings()]
    unchecked = operations.unchecked
    findings += _repeated(runs, base, again)
    differ = any(finding.name == "not deterministic" for finding in findings)
    if differ and not runs.by_chance:  # then no seed makes two runs comparable
        unchecked.append("mixed samples and later steps: equal runs differ, whatever the seed")
    else:
        findings += _replaced(runs, base, example, neurons_by_name, unchecked)
    statistics = {finding.module for finding in findings if finding.name == "batch statistics"}
    findings = [
        finding
        for finding in findings
        if not (finding.name == "samples mixed" and finding.module in statistics)
    ]
    unchecked += [*neurons.unchecked, *firing.unchecked]
    order = {name: place for place, name in enumerate(dict.fromkeys(c.module for c in base.calls))}
    findings.sort(
        key=lambda finding: (
            SEVERITIES.index(finding.severity),
            order.get(finding.module, len(order)),
        )
    )
    return Check(tuple(findings), tuple(unchecked), runs.count)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Random numbers of PyTorch, NumPy and Python from a seed, and afterwards as before."""
    of_python, of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  models draw from it
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002  models draw from it
            random.seed(seed)
            yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)  # noqa: NPY002  models draw from it


def _drawn() -> tuple[bytes, bytes, int, object]:
    """A value that changes with every random number that is drawn."""
    of_numpy: Any = np.random.get_state()  # noqa: NPY002  models draw from it
    of_torch = torch.get_rng_state().numpy().tobytes()
    return of_torch, of_numpy[1].tobytes(), of_numpy[2], random.getstate()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]


class _Runs:
    """Runs of a model, each from rest, and with the same seed if it is not the second."""

    def __init__(self, model: nn.Module, reset: Callable[[], object] | None) -> None:
        self._model, self._reset = model, reset
        self.count, self.by_chance = 0, False
        self.at_rest: list[dict[tuple[str, str], Any]] = []

    def run(
        self,
        inputs: PassInputs,
        *watchers: CheckedNeurons
        | FiringBeside
        | Backends
        | Multiplications
        | ParameterReads
        | ResultUses,
    ) -> Trace:
        """The trace of a run."""
        model, trace = self._model, Trace()
        reset_known(model)
        if self._reset is not None:
            try:
                self._reset()
            except Exception as error:
                raise InputError(
                    f"check: reset is a function that fails with {type(error).__name__}: "
                    f"{_first_line(error)}"
                ) from error
        self.at_rest.append(states(model))
        with _seeded(SEED + (self.count == 1)), torch.no_grad(), trace.attached(model):
            drawn = _drawn()
            try:
                with ExitStack() as watching:
                    for watcher in watchers:
                        watching.enter_context(watcher.attached())
                    outputs_of_model(model, inputs)
            except Exception as error:
                shape = tuple(inputs.calls[0].shape)
                raise InputError(
                    f"check: called with {shape}, the model fails with {type(error).__name__}: "
                    f"{_first_line(error)}"
                ) from error
            self.by_chance |= drawn != _drawn()
        self.count += 1
        return trace


def _first(base: Trace, neurons_by_name: dict[str, nn.Module]) -> FirstNeurons | None:
    """The known neurons that ran first."""
    for call in base.calls:
        if call.module in neurons_by_name and call.arrived:
            shape, count = call.arrived[0].shape, base.counts[call.module]
            return FirstNeurons(neurons_by_name[call.module], shape, count)
    return None


def _repeated(runs: _Runs, base: Trace, again: Trace) -> list[Finding]:
    """Findings of the second of two equal runs: state that nothing resets, or chance."""
    module = first_that_differs(base, again)
    if module is None:
        return []
    first, second = runs.at_rest[:2]
    left = left_over(first, second, module, by_chance=runs.by_chance)
    if left is not None:
        return [left]
    return [
        Finding(
            "not deterministic",
            module,
            "two runs of the same input from the same state differ first in what it gives",
            "see what is random there: dropout, noise, or an encoder that draws spikes",
        )
    ]


def _replaced(
    runs: _Runs,
    base: Trace,
    example: PassInputs,
    neurons_by_name: dict[str, nn.Module],
    unchecked: list[str],
) -> list[Finding]:
    """Findings of runs with another sample, and with another last step."""
    findings: list[Finding | None] = []
    model = runs._model
    sample = example.samples // 2 if example.samples > 2 else 0
    replaced = example.with_sample_replaced(sample) if example.samples > 1 else None
    if replaced is None:
        unchecked.append("mixed samples: give inputs of at least two samples")
    else:
        with preserved(model):
            changed_run = runs.run(replaced)
        findings.append(samples_mixed(base, changed_run, sample, example.samples))
        findings.append(ignored_input(base, changed_run, f"sample {sample} of {example.samples}"))
    last = example.with_last_step_replaced()
    if last is None:
        unchecked.append("later steps: the inputs have no axis of steps")
    else:
        axes: dict[str, str] = {
            name: library.axes(module)
            for name, module in neurons_by_name.items()
            if (library := library_that_fires(module))
        }
        with preserved(model):
            sizes = example.steps, example.samples
            changed_run = runs.run(last)
        findings.append(later_steps(base, changed_run, sizes, axes))
        findings.append(ignored_input(base, changed_run, f"the last of {example.steps} steps"))
    return [finding for finding in findings if finding is not None]
