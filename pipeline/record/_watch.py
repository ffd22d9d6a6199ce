"""The hooks on a model: they see the spikes of the batch at hand, change nothing,
and leave again.
"""

from __future__ import annotations

import difflib
import math
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from spikesam.common.arguments import listed
from spikesam.common.errors import InputError
from spikesam.common.warning import warn
from spikesam.pipeline.imports.libraries.known import layer_name, library_that_fires
from spikesam.pipeline.record._arrangement import Arrangement, is_convolution
from spikesam.pipeline.record._attribution import BatchSizes
from spikesam.pipeline.record._batch import Batch, Counts, Key, LayerBits
from spikesam.pipeline.record._outputs import first_tensor
from spikesam.pipeline.record._readout import ReadoutMembranes
from spikesam.pipeline.record.constants import unseen
from spikesam.pipeline.record.detection import Probe, beside, find_firing, find_firing_beside
from spikesam.recordings.schema import check_name

ONE_USE = "give each use a module of its own, or hand the spikes of each over with recording.tap()"
MODULE, TAP = "module", "tap"  # where the spikes of a layer come from


class Watch:
    """Collects the spikes of modules and of taps, batch by batch.

    `names` are module -> layer; None to find them by their values in the first batch. `by_library`:
    more may fire.
    """

    def __init__(
        self,
        model: nn.Module,
        names: Mapping[str, str] | None,
        arrangement: Arrangement,
        counts: Counts = None,
        *,
        by_library: bool = False,
    ) -> None:
        self.names = names
        self._model, self._arrangement, self._counts = model, arrangement, counts
        self.keeps_inputs = False
        self._looking = (
            by_library or names is None
        )  # for what else fires, until the first batch has ended
        self._handles: list[RemovableHandle] = []
        self._probes: dict[str, Probe] = {}
        self._unfit: dict[str, InputError] = {}
        self._membranes = ReadoutMembranes()  # of the first batch
        self.begin_batch()

    def begin_batch(self) -> None:
        """Forget what was collected."""
        self._batch = Batch(self._counts)
        self._passes = 0  # calls of the model
        self.inputs: list[Tensor] = []  # what they were given first, where that is kept
        self._called: set[Key] = set()  # in the pass at hand
        self._calls = Calls()
        self._holds: dict[str, list[Tensor]] = {"NaN": [], "infinity": []}  # True by input
        self._arrangement.convolutions.begin(())

    @property
    def pending(self) -> bool:
        """True if anything happened since the batch began."""
        return bool(self._batch.layers or self._passes)

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Watch within the block."""
        try:
            self._attach()
            yield
        finally:
            self._detach()

    @property
    def axes(self) -> dict[str, str]:
        """Names of layers -> the axes by which they were read,
        of those that are not as they come.
        """
        return {
            layer: self._arrangement.used[of]
            for of, layer in self._sources()
            if of in self._arrangement.used
        }

    @property
    def steps(self) -> int:
        """The fewest steps that a layer fired so far in the batch."""
        return self._batch.steps

    @property
    def progress(self) -> dict[Key, int]:
        """The steps that each layer fired so far in the batch."""
        return {key: layer.steps for key, layer in self._batch.layers.items()}

    def sizes(self, layers: Sequence[LayerBits]) -> BatchSizes:
        """Sizes of the batch, of the layers that are written down."""
        names = {
            key: layer.name
            for key, layer in self._batch.layers.items()
            if key[0] == MODULE and layer in layers
        }
        orders = frozenset(self._arrangement.orders[name] for _, name in names)
        neurons = frozenset(math.prod(layer.shape) for layer in layers)
        return BatchSizes(layers[0].steps, layers[0].samples, orders, names, neurons)

    def tap(self, name: str, spikes: Tensor, layout: str | None) -> None:
        """Take spikes that no module put out."""
        key = (TAP, name)
        self._batch.add(
            key, name, spikes, self._arrangement.layout_named(name, layout, self._batch, key)
        )

    def layers(self) -> list[LayerBits]:
        """The collected layers in order of depth; all have one number of steps and samples."""
        if self._looking and self.pending:
            self.names = self._found() if self.names is None else self._called_of(self.names)
            self._looking = False
            self._detach()
            self._attach()
        if not (self._batch.layers or (self.names and self._passes)):
            raise InputError("finish: got no spikes since the batch began; run the model before")
        for module, name in (self.names or {}).items():
            if (MODULE, module) not in self._batch.layers:
                raise InputError(
                    f"layer {name!r}: module {module!r} was not called; leave it out with layers="
                )
        for what, by_input in self._holds.items():
            if any(map(bool, by_input)):
                raise InputError(f"finish: the model's input holds {what}, expected finite numbers")
        layers = self._batch.agreed()
        check_names(layer.name for layer in layers)
        if self._passes not in (0, 1, layers[0].steps):
            raise InputError(
                f"finish: got {layers[0].steps} steps in {self._passes} calls of the model, "
                "expected one call, or one "
                "for each step; call finish() after each batch, and give each layer a module of "
                "its own"
            )
        return layers

    def without_readout(self, layers: list[LayerBits], scores: Tensor | None) -> list[LayerBits]:
        """The layers of the first batch, but for one that never fired and whose membrane is the
        model's answer; later batches do not hold it either.
        """
        names = self.names or {}
        # Answers of 0 alone are a silent layer's spikes as well as a membrane at rest.
        answered = scores is not None and bool(scores.any())
        readouts = self._membranes.that_are(scores) if scores is not None and answered else []
        readout = next((name for name in readouts if len(names) > 1 and name in names), None)
        if readout is None:
            return layers
        _say(
            f"{readout!r} never fires, and its membrane is the output, so it is the readout and no "
            "layer; to record it, name all layers with layers="
        )
        self.names = {name: layer for name, layer in names.items() if name != readout}
        self._detach()
        self._attach()
        return [layer for layer in layers if layer.name != names[readout]]

    def _attach(self) -> None:
        hold = self._handles.append
        hold(self._model.register_forward_pre_hook(self._pass_begins, with_kwargs=True))
        modules = (name for name, module in self._model.named_modules() if name)
        probed = beside(modules, self.names or ()) if self._looking else set()
        for name, module in self._model.named_modules():
            if module is not self._model:
                hold(module.register_forward_hook(partial(self._see_call, name)))
            if is_convolution(module):
                hold(module.register_forward_hook(self._arrangement.convolutions.see))
            if name in probed:
                hold(
                    module.register_forward_pre_hook(
                        partial(self._probe_input, name), with_kwargs=True
                    )
                )
                hold(module.register_forward_hook(partial(self._probe_output, name)))
        for name, layer in (self.names or {}).items():
            module = self._model.get_submodule(name)
            if library := library_that_fires(module):
                if self._looking:
                    hold(module.register_forward_hook(partial(self._membranes.see, name, library)))
                hold(module.register_forward_pre_hook(partial(self._warn_of_state, name, layer)))
            hold(module.register_forward_hook(partial(self._take, name, layer)))

    def _detach(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _pass_begins(self, model: nn.Module, inputs: Any, keywords: Mapping[str, Any]) -> None:
        if self.names is not None and self._passes and self._batch.steps > self._passes:
            raise InputError(
                "record: the model was called again before recording.finish(): call finish() after "
                "each batch, and where the model runs one step a call, give each layer a module of "
                "its own"
            )
        self._passes += 1
        if self.keeps_inputs and inputs and isinstance(inputs[0], Tensor):
            self.inputs.append(inputs[0].detach().to("cpu", copy=True))
        numbers = [
            tensor.detach()
            for tensor in (*inputs, *keywords.values())
            if isinstance(tensor, Tensor) and tensor.is_floating_point()
        ]
        self._holds["NaN"] += [tensor.isnan().any() for tensor in numbers]
        # Inputs behind the first may be masks, in which infinity means "not this one".
        self._holds["infinity"] += [tensor.isinf().any() for tensor in numbers[:1]]
        self._called.clear()
        self._calls = Calls()
        self._arrangement.convolutions.begin(inputs)

    def _see_call(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        self._calls.see(name, inputs, output)

    @unseen
    def _warn_of_state(self, name: str, layer: str, module: nn.Module, inputs: Any) -> None:
        library = library_that_fires(module)
        if library and (MODULE, name) not in self._batch.layers and library.keeps_state(module):
            warn(
                f"layer {layer!r}: begins a batch with the membrane that an earlier one left; "
                "reset the model before "
                "each batch",
            )

    @unseen
    def _take(self, name: str, layer: str, module: nn.Module, inputs: Any, output: Any) -> None:
        """Take what a call of a module gave, all steps at once at most once in a call of the
        model.
        """
        key, spikes = (MODULE, name), first_tensor(output, f"layer {layer!r}")
        steps = self._batch.add(
            key, layer, spikes, self._arrangement.layout_of(name, module, self._batch, key)
        )
        if steps > 1 and key in self._called and self._passes:
            raise InputError(
                f"layer {layer!r}: called twice in one call of the model, each time with {steps} "
                "steps, so these would "
                f"be two layers; {ONE_USE}"
            )
        if self._passes and self._calls.differ(name):
            raise InputError(
                f"layer {layer!r}: called several times in one call of the model, and what is "
                "called in between differs, so these would be several layers, not several steps; "
                f"{ONE_USE}"
            )
        self._called.add(key)

    @unseen
    def _probe_input(
        self, name: str, module: nn.Module, inputs: Any, keywords: Mapping[str, Any]
    ) -> None:
        self._probes.setdefault(name, Probe(self._counts == "ternary")).enter(
            [*inputs, *keywords.values()]
        )

    @unseen
    def _probe_output(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        grid, key = (
            self._probes.setdefault(name, Probe(self._counts == "ternary")).left,
            (MODULE, name),
        )
        try:
            grid.see(first_tensor(output, name))
        except InputError:  # not a tensor
            grid.fits = False
        if self.names is not None:  # only looking for what else fires
            return
        if not grid.fits:
            self._batch.layers.pop(key, None)
            return
        try:
            self._take(name, name, module, inputs, output)
        except InputError as error:  # of interest only if the module turns out to fire
            self._unfit.setdefault(name, error)

    def _called_of(self, names: Mapping[str, str]) -> dict[str, str]:
        """The modules that the first batch called; says which were not, and what else fired."""
        called = {
            name: layer for name, layer in names.items() if (MODULE, name) in self._batch.layers
        }
        idle = [name for name in names if name not in called]
        if idle and self._passes and called:
            _say(f"{_listed(idle)} not called by the model, and left out")
        firing = find_firing_beside(self._probes)
        if firing:
            _say(
                f"{_listed(firing)} not recorded, but seem to fire, too; to record them, name all "
                "layers with layers="
            )
        return called if self._passes and called else dict(names)

    def _sources(self) -> list[tuple[str, str]]:
        """Names of modules, or of taps, beside those of their layers."""
        taps = [(layer, layer) for place, layer in self._batch.layers if place == TAP]
        return [*(self.names or {}).items(), *taps]

    def _found(self) -> dict[str, str]:
        """The modules that fire, of which alone the spikes are kept."""
        firing = find_firing(self._probes)
        for name in firing:
            if name in self._unfit:
                raise self._unfit[name]
        taps = {key: layer for key, layer in self._batch.layers.items() if key[0] == TAP}
        if not (firing or taps):
            modules = [
                (name, type(module).__name__)
                for name, module in self._model.named_modules()
                if name
            ]
            seen = ", ".join(f"{name} ({kind})" for name, kind in modules[:16]) + ", …" * (
                len(modules) > 16
            )
            raise InputError(
                f"record: found no spiking layer in {type(self._model).__name__}, neither of "
                "snnTorch, SpikingJelly, "
                f"Norse, sinabs or lava-dl, nor by the values of {seen or 'a part'}; name modules "
                "with layers=, or hand spikes over with recording.tap()"
            )
        names = {name: layer_name(self._model, name) for name in firing}
        self._batch.layers = {
            key: layer
            for key, layer in self._batch.layers.items()
            if key in taps or key[1] in names
        }
        for key, layer in self._batch.layers.items():
            layer.name = names[key[1]] if key[0] == MODULE else layer.name
        return names


def find_known(model: nn.Module) -> list[str]:
    """Names of the spiking modules of known libraries in the model; of none that lies within
    another.
    """
    found: list[str] = []
    for name, module in model.named_modules():  # outer ones first
        if library_that_fires(module) and not any(name.startswith(f"{outer}.") for outer in found):
            found.append(name)
    return found


def named_modules(model: nn.Module, layers: Iterable[str] | Mapping[str, str]) -> dict[str, str]:
    """Names of modules, as `model.named_modules()` gives them -> names of layers, which `layers`
    may say, too.
    """
    names = listed(layers, "record: layers")
    modules = dict(model.named_modules())
    for name in names:
        if name not in modules:
            near = (
                difflib.get_close_matches(str(name), modules, 3)
                or [other for other in modules if other][:8]
            )
            raise InputError(
                f"layers: no module {name!r} in {type(model).__name__}; did you mean "
                f"{' or '.join(near)}?"
            )
    return (
        dict(layers)
        if isinstance(layers, Mapping)
        else {name: layer_name(model, name) for name in names}
    )


def check_names(names: Iterable[str]) -> None:
    """Refuse what cannot be the names of layers."""
    known = set()
    for name in names:
        check_name(name)
        if name in known:
            raise InputError(
                f"layer {name!r}: got two of this name; give names with layers={{module: name}}"
            )
        known.add(name)


def _listed(modules: Sequence[str]) -> str:
    """Names of modules, the first of many."""
    first = ", ".join(map(repr, modules[:8])) + (
        f" and {len(modules) - 8} more" if len(modules) > 8 else ""
    )
    return f"module {first} is" if len(modules) == 1 else f"modules {first} are"


def _say(text: str) -> None:
    """Warn of something that does not end the recording."""
    warn(f"record: {text}")


Call = tuple[
    str, str | None
]  # a module, and the one whose output it got, as it was; None if that is not known


class Calls:
    """The calls of modules in one call of the model.

    Where it loops over steps, from the second step on a layer is called after the same modules as
    at the step before, with what the same modules put out; to know that may take some steps. What
    is called before the first step may differ.
    """

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._outputs: dict[str, weakref.ref[Tensor]] = {}  # of each module, the last one
        self._ways: dict[
            str, list[tuple[Call, ...]]
        ] = {}  # calls that led to the first and last call of a module
        self._ends: dict[str, int] = {}

    def see(self, name: str, inputs: Any, output: Any) -> None:
        """Note a call that has ended."""
        given = inputs[0] if inputs else None
        made = (
            module
            for module, output in self._outputs.items()
            if given is not None and output() is given
        )
        self._calls.append((name, next(made, None)))
        while isinstance(output, tuple) and output:
            output = output[0]
        if isinstance(output, Tensor):
            self._outputs[name] = weakref.ref(output)

    def differ(self, name: str) -> bool:
        """True if the call of a module that was just seen cannot be the next step after the call
        before it.
        """
        way, before = tuple(self._calls[self._ends.get(name, 0) :]), self._ways.setdefault(name, [])
        self._ends[name] = len(self._calls)
        before.append(way)
        if len(before) == 2:
            makers = {each[-1][1] for each in before} - {None}
            return len(makers) > 1
        if len(before) < 2:
            return False
        known, before[1:] = before[1], [way]
        same = [module for module, _ in known] == [module for module, _ in way]
        return not same or any(
            maker not in (None, now) for (_, maker), (_, now) in zip(known, way, strict=True)
        )
