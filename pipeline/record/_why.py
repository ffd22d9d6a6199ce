"""Relevance of a model's spikes for targets, while it is recorded: one backward pass for each."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from spikesam.common.disk import writing
from spikesam.common.errors import InputError
from spikesam.common.warning import warn
from spikesam.pipeline.maps.layers import laid_out, map_layers
from spikesam.pipeline.maps.methods.signed_relevance import (
    SignedRelevance,
    file_of_target,
)
from spikesam.pipeline.networks.recorded import find_class
from spikesam.pipeline.record._batch import LayerBits
from spikesam.pipeline.record._followed import GRADIENTS, FollowedNeurons
from spikesam.pipeline.record._input_axes import InputAxes, Pixels
from spikesam.pipeline.record._layouts import Axes
from spikesam.pipeline.record._passages import Node, Passage, PassageGraph, operation_of
from spikesam.pipeline.record._rows import (
    CheckedRows,
    at_one_level,
    mixed_samples,
    powers_of_2,
)
from spikesam.pipeline.record._targets import ANSWER, UNFOLLOWED, Answered, named_targets
from spikesam.pipeline.record._watch import find_known
from spikesam.pipeline.record.constants import ConstantTracker, unseen
from spikesam.recordings.maps.schema import MapHeader, MapLayer, Parameter
from spikesam.recordings.maps.writer import make_map_record, writing_maps
from spikesam.recordings.raster.reader import RasterReader

INPUT = "input"
THE_INPUT = "the input"
LISTED = 8  # modules named in an error
MIXED = 1e-4  # a share of the largest relevance of a layer, above rounding
Sources = Sequence[tuple[Tensor, torch.Size]]  # tensors of spikes, and their shapes as taken
Maps = dict[str, NDArray[np.float32]]  # layer -> (B, T, H, W) as maps see it, with signs


class RecordedRelevance:
    """The neurons of a model, followed through a batch, and what its output rests on."""

    def __init__(
        self,
        model: nn.Module,
        why: object,
        class_names: Sequence[str],
        input_axes: Axes | None = None,
    ) -> None:
        self.targets = named_targets(why)
        self._axes = InputAxes(input_axes)
        self._model, self._class_names = model, class_names
        self._anchor = torch.zeros((), requires_grad=True)  # makes spikes functions of something
        self._tracker = ConstantTracker(model)
        self.neurons = {
            name: FollowedNeurons(name, model.get_submodule(name), self._anchor, self._tracker)
            for name in find_known(model)
        }
        if not self.neurons:
            raise InputError(
                f"why: found no neurons in {type(model).__name__} whose equation is known"
                f"{_own_modules(model)}, expected modules of snnTorch, SpikingJelly, Norse or "
                "sinabs"
            )
        self._inputs: list[tuple[Tensor, Tensor]] = []  # what the model got, and what goes on
        self._rows = CheckedRows()

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Follow within the block."""
        handles: list[RemovableHandle] = []
        try:
            handles.append(self._model.register_forward_pre_hook(self._enter))
            for neurons in self.neurons.values():
                handles.extend(neurons.attach())
            with self._tracker.attached():
                yield
        finally:
            self.end_batch()
            for handle in handles:
                handle.remove()

    @unseen
    def end_batch(self) -> None:
        """Forget the batch, and leave the model's states as the model keeps them."""
        for neurons in self.neurons.values():
            neurons.end_batch()
        self._tracker.begin_batch()
        self._inputs.clear()

    @unseen
    def _enter(self, model: nn.Module, inputs: tuple[Any, ...]) -> Any:
        """Give the model its input as something that relevance can reach."""
        if not torch.is_grad_enabled() or torch.is_inference_mode_enabled():
            raise InputError(GRADIENTS)
        if not (inputs and isinstance(inputs[0], Tensor) and inputs[0].is_floating_point()):
            return None
        followed = inputs[0].detach().requires_grad_()
        self._inputs.append((inputs[0], followed))
        self._tracker.hold_input(followed)
        return (followed, *inputs[1:])

    def maps(
        self,
        layers: Sequence[LayerBits],
        modules: Mapping[str, str],
        taps: Mapping[str, Sequence[Tensor]],
        output: Any,
        scores: Tensor | None,
    ) -> dict[str, Maps]:
        """Of each target, the relevance of the layers that it can reach.

        `modules` are layer -> module, `taps` layer -> the spikes that were handed over.
        """
        sources = {layer: self._sources_of(layer, modules, taps) for layer in map(_name_of, layers)}
        bits: dict[str, LayerBits | Pixels] = {layer.name: layer for layer in layers}
        followed_inputs = [followed for _, followed in self._inputs]
        if INPUT not in bits and (pixels := self._axes.pixels(followed_inputs, layers[0])):
            bits = {INPUT: pixels, **bits}
            sources[INPUT] = [(followed, followed.shape) for followed in followed_inputs]
        answered = Answered(output, scores, layers[0].samples, self._class_names)
        with self._tracker.passing_on():
            values = {name: answered.values(name, each) for name, each in self.targets.items()}
        with torch._C.DisableTorchFunction():
            self._tracker.refuse_late_writes()
            graph = PassageGraph(self._passage, self._tracker.hidden, self._tracker.exposed)
            for name, numbers in values.items():
                if graph.share(numbers, name).kind == "constant":
                    raise InputError(f"why: target {name!r}: {UNFOLLOWED}")
            if not self._reaches_input(values):
                sources = {
                    layer: spikes for layer, spikes in sources.items() if not _leaves(spikes)
                }
            bits = {name: layer for name, layer in bits.items() if sources.get(name)}
            with self._tracker.explaining():
                return self._gradients(values, bits, sources)

    def _gradients(
        self,
        values: Mapping[str, Tensor],
        bits: Mapping[str, LayerBits | Pixels],
        sources: Mapping[str, Sources],
    ) -> dict[str, Maps]:
        """Of each target, the relevance of some layers."""
        tensors = [tensor for name in bits for tensor, _ in sources[name]]
        relevance_by_target = dict[str, Maps]()
        last = list(values)[-1]
        twice = self._rows.begin_batch(len(values[last]))
        for name, numbers in values.items():
            if twice:
                weights = powers_of_2(numbers)
                weighted = _shares((numbers * weights).sum(), tensors)
                shared = _shares(numbers.sum(), tensors, retain_graph=name != last)
                _refuse_mixed_samples(name, weights, bits, sources, shared, weighted)
                levels = torch.ones_like(numbers)
            else:
                levels = self._rows.levels(numbers, exact=not self._tracker.narrow)
                shared = _shares((numbers * levels).sum(), tensors, retain_graph=name != last)
            shares = iter(shared)
            relevance_by_target[name] = {
                layer: _by_step(
                    bits[layer], [next(shares).reshape(shape) for _, shape in sources[layer]]
                )
                for layer in bits
            }
            mixed = at_one_level(
                relevance_by_target[name], levels.cpu().numpy(), numbers.detach().cpu().numpy()
            )
            if mixed:
                raise mixed_samples(name, mixed)
            for layer, values_of_layer in relevance_by_target[name].items():
                if not np.isfinite(values_of_layer).all():
                    raise InputError(
                        f"why: target {name!r}: relevance of layer {layer!r} is NaN or infinite"
                    )
        self._rows.end_batch()
        return relevance_by_target

    def _reaches_input(self, values: Mapping[str, Tensor]) -> bool:
        """True if no constants were made of the model's input; refuses those made of spikes."""
        for name, neurons in self.neurons.items():
            if neurons.changed:
                raise InputError(
                    f"why: the model changes the spikes of {name!r} in place, which takes their "
                    "relevance from them; expected x = x + y in place of x += y"
                )
        exits = {
            (str(constant), source)
            for constant in self._tracker.exits
            if (source := constant.behind(self._passage)) not in ("", THE_INPUT)
        }
        for function, source in sorted(exits):
            warn(
                f"why: {function} makes a number of Python or NumPy of the spikes of "
                f"{source!r}; where it chooses what the model does, such as by if, relevance "
                "counts the choice as a constant",
            )
        reaches_input = True
        for name, numbers in values.items():
            for constant in self._tracker.in_order(numbers):
                source = constant.behind(self._passage)
                if source not in ("", THE_INPUT):
                    raise InputError(
                        f"why: target {name!r}: {constant} takes "
                        f"what depends on the spikes of {source!r} out of the gradient, so their "
                        "relevance would be wrong; expected the spikes themselves, times weights "
                        "or other spikes, in place of .detach(), .data, .item(), NumPy, "
                        "nn.Parameter, torch.no_grad(), comparisons and integers made of them"
                    )
                if reaches_input:
                    reaches_input = False
                    warn(
                        f"why: {constant} takes the model's input "
                        "out of the gradient, so relevance does not reach the input, which gets "
                        "no map",
                    )
        return reaches_input

    def _sources_of(
        self, layer: str, modules: Mapping[str, str], taps: Mapping[str, Sequence[Tensor]]
    ) -> Sources:
        """The tensors of a layer's spikes, step by step or all at once, and their shapes as they
        were taken; none if no graph has them.
        """
        if layer in modules:
            followed = self.neurons.get(modules[layer])
            return [(spikes, spikes.shape) for spikes in followed.spikes] if followed else ()
        left = list(self._inputs)
        tensors = []
        for tapped in taps.get(layer, ()):
            views = (entry for entry in left if _is_view(entry[0], tapped))
            entry = None if tapped.requires_grad else next(views, None)
            if entry is not None:
                left.remove(entry)
            elif not tapped.requires_grad:
                return ()
            tensors.append((tapped if entry is None else entry[1], tapped.shape))
        return tensors

    def _passage(self, node: Node, output: int) -> Passage | None:
        """The passage of neurons and of the model's input; None of other operations."""
        if (module := getattr(node, "module", None)) is not None:
            return Passage("currents" if output else "spikes", 1, module)
        if operation_of(node) != "AccumulateGrad":
            return None
        variable = node.variable
        for _, followed in self._inputs:
            if variable is followed:
                bits = bool(((followed == 0) | (followed == 1)).all())
                return Passage("spikes" if bits else "currents", 1, THE_INPUT)
        for name, neurons in self.neurons.items():
            if any(variable is state for state in neurons.states):
                raise InputError(
                    f"why: what {name!r} keeps or gives beside its spikes is read, and its "
                    "relevance is not known; expected spikes, or the membranes that snnTorch gives"
                )
        return Passage("constant")

    def parameters(self, name: str, classes: int) -> dict[str, Parameter]:
        """Parameters of a target in its file of maps."""
        target = self.targets[name]
        if callable(target) or target == ANSWER:
            return {"target_name": name}
        number = find_class(target, classes, self._class_names)
        named = name if name != str(number) or number >= len(self._class_names) else ""
        return {"target": number, "target_name": named or self._class_names[number]}


class RelevanceSpool:
    """The relevance of all batches in a file, until their raster is whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None

    def add(self, maps: Mapping[str, Maps]) -> None:
        """Take that of the next samples."""
        with writing(self._folder):
            if self._file is None:
                self._file = TemporaryFile(dir=self._folder)  # noqa: SIM115  until it is discarded
            pickle.dump(maps, self._file)

    def write(self, raster: RasterReader, why: RecordedRelevance) -> None:
        """A file for each target, beside the raster."""
        for number, name in enumerate(why.targets):
            batches = self._batches(name)
            first = next(batches)
            layers = map_layers(
                raster.header, [raster.layer(layer) for layer in first if layer in raster]
            )
            if INPUT in first and INPUT not in raster:
                height, width = first[INPUT].shape[2:]
                layers = (MapLayer(INPUT, 0, (height, width), raster.timesteps), *layers)
            steps = tuple(range(raster.timesteps))
            parameters = why.parameters(name, raster.header.classes)
            header = MapHeader(
                SignedRelevance.name,
                raster.raster_digest,
                {"signed": True, **parameters},
                raster.timesteps,
                layers,
                steps,
                raster.n_samples,
            )
            path, sample = file_of_target(self._folder, number), 0
            with writing_maps(path, header, raster.samples, overwrite=True) as file:
                for batch in (first, *batches):
                    for row in range(len(next(iter(batch.values())))):
                        of_sample = {layer: values[row] for layer, values in batch.items()}
                        sums = {layer: values.sum(axis=0) for layer, values in of_sample.items()}
                        prediction = int(raster.predictions[sample])
                        record = make_map_record(header, sample, prediction, sums, of_sample)
                        file.add(sample, [record])
                        sample += 1

    def _batches(self, target: str) -> Iterator[Maps]:
        assert self._file is not None
        self._file.seek(0)
        while True:
            try:
                yield pickle.load(self._file)[target]
            except EOFError:
                return

    def discard(self) -> None:
        """Nothing is left of it."""
        if self._file is not None:
            self._file.close()


def _own_modules(model: nn.Module) -> str:
    """The modules without parts that are none of PyTorch's, in words; "" if there are none."""
    own = [
        f"{name!r} ({type(module).__name__})"
        for name, module in model.named_modules()
        if name and not any(module.children()) and not type(module).__module__.startswith("torch.")
    ]
    listed = ", ".join(own[:LISTED]) + ", …" * (len(own) > LISTED)
    return f", not in {listed}" if own else ""


def _shares(value: Tensor, tensors: Sequence[Tensor], retain_graph: bool = True) -> list[Tensor]:
    """Of each tensor, its relevance for a value."""
    gradients = torch.autograd.grad(value, tensors, retain_graph=retain_graph, allow_unused=True)
    return [
        torch.zeros_like(tensor) if gradient is None else tensor.detach() * gradient
        for tensor, gradient in zip(tensors, gradients, strict=True)
    ]


def _refuse_mixed_samples(
    target: str,
    weights: Tensor,
    layers: Mapping[str, LayerBits | Pixels],
    sources: Mapping[str, Sources],
    shares: Sequence[Tensor],
    weighted: Sequence[Tensor],
) -> None:
    """Refuse a target whose value for a sample has relevance in the rows of another one.

    `weights` (B,) multiplied the values of the samples, and so must multiply the rows of all.
    They are powers of 2, so that nothing is rounded otherwise.
    """
    pairs = iter(zip(shares, weighted, strict=True))
    mixed = ""
    for name, layer in layers.items():
        for _, shape in sources[name]:
            share, of_weighted = (layer.layout(part.reshape(shape)) for part in next(pairs))
            by_sample = weights.view(1, -1, *[1] * (share.ndim - 2))
            difference = (of_weighted / by_sample - share).abs().max()
            if difference > MIXED * share.abs().max():
                mixed = name  # the last one is nearest to where they are mixed
    if mixed:
        raise mixed_samples(target, mixed)


def _name_of(layer: LayerBits) -> str:
    return layer.name


def _leaves(sources: Sources) -> bool:
    """True of what the model was given."""
    return any(tensor.is_leaf for tensor, _ in sources)


def _is_view(model_input: Tensor, tapped: Tensor) -> bool:
    """True if a tensor that was handed over holds the numbers that the model got."""
    same = model_input.data_ptr() == tapped.data_ptr() and model_input.numel() == tapped.numel()
    contiguous = model_input.is_contiguous() and tapped.is_contiguous()
    return model_input is tapped or (same and contiguous)


def _by_step(layer: LayerBits | Pixels, shares: Sequence[Tensor]) -> NDArray[np.float32]:
    """(B, T, H, W) of what the spikes of each call got, summed over channels where a layer has
    places.
    """
    steps = []
    for share in shares:
        arranged = layer.layout(share)
        by_place = arranged.reshape(*arranged.shape[:2], *laid_out(layer.shape)).sum(dim=2)
        steps.append(by_place.cpu().numpy().astype(np.float32))
    by_step = np.concatenate(steps)
    if len(by_step) < layer.steps:  # an image that enters once
        later = np.zeros((layer.steps - len(by_step), *by_step.shape[1:]), np.float32)
        by_step = np.concatenate([by_step, later])
    return by_step.swapaxes(0, 1)
