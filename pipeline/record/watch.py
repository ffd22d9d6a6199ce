"""The hooks on a model: they see the spikes of the batch at hand, change nothing, and leave again."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from recordings.errors import InputError

from .batch import Batch
from .detection import Probe, find_firing
from .layouts import Layout
from .names import check_names, layer_names
from .outputs import first_tensor
from .packing import LayerBits
from .spiking_layers import keeps_state, known_layout

MODULE, TAP = "module", "tap"  # where the spikes of a layer come from


class Watch:
    """Collects the spikes of modules and of taps, batch by batch.

    Parameters
    ----------
    model : in which modules are watched
    names : names of the modules -> names of their layers; None to find them by their values in the first batch
    layout : of modules that belong to no known library
    fired : see :class:`pipeline.record.packing.LayerBits`

    Attributes
    ----------
    names : as above, None until they are found
    """

    def __init__(self, model: nn.Module, names: Mapping[str, str] | None, layout: Layout, fired: bool) -> None:
        self.names = names
        self._model, self._layout, self._fired = model, layout, fired
        self._handles: list[RemovableHandle] = []
        self._probes: dict[str, Probe] = {}
        self._unfit: dict[str, InputError] = {}
        self.begin_batch()

    def begin_batch(self) -> None:
        """Forget what was collected."""
        self._batch = Batch(self._fired)
        self._passes = 0  # calls of the model

    @property
    def pending(self) -> bool:
        """Whether anything happened since the batch began."""
        return bool(self._batch.layers or self._passes)

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Watch within the block."""
        try:
            self._attach()
            yield
        finally:
            self._detach()

    def tap(self, name: str, spikes: Tensor, layout: Layout) -> None:
        """Take spikes that no module put out."""
        self._batch.add((TAP, name), name, spikes, layout)

    def layers(self) -> list[LayerBits]:
        """What was collected, in order of depth, all layers of one number of steps and samples.

        Raises
        ------
        InputError : if nothing was, if no module fires, if one that should was not called, or if layers do not agree
        """
        if self.names is None and self.pending:
            self.names = self._found()
            self._detach()
            self._attach()
        if not (self._batch.layers or (self.names and self._passes)):
            raise InputError("finish: got no spikes since the batch began; run the model before")
        for module, name in (self.names or {}).items():
            if (MODULE, module) not in self._batch.layers:
                raise InputError(f"layer {name!r}: module {module!r} was not called; leave it out with layers=")
        layers = self._batch.agreed()
        check_names(layer.name for layer in layers)
        if self._passes not in (0, 1, layers[0].steps):
            raise InputError(
                f"finish: got {layers[0].steps} steps in {self._passes} calls of the model, expected one call, or one "
                "for each step; call finish() after each batch, and give each layer a module of its own"
            )
        return layers

    def _attach(self) -> None:
        hold = self._handles.append
        hold(self._model.register_forward_pre_hook(self._pass_begins))
        if self.names is None:
            for name, module in self._model.named_modules():
                if module is not self._model:
                    hold(module.register_forward_pre_hook(partial(self._probe_input, name), with_kwargs=True))
                    hold(module.register_forward_hook(partial(self._probe_output, name)))
            return
        for name, layer in self.names.items():
            module = self._model.get_submodule(name)
            if layout := known_layout(module):
                hold(module.register_forward_pre_hook(partial(self._warn_of_state, name, layer)))
            hold(module.register_forward_hook(partial(self._take, name, layer, layout or self._layout)))

    def _detach(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _pass_begins(self, model: nn.Module, inputs: Any) -> None:
        if self.names is not None and self._passes and self._batch.steps > self._passes:
            raise InputError(
                f"record: calls of the model: {self._passes}, in which layers fired for {self._batch.steps} steps, and "
                "now one more; call recording.finish(...) after each batch, and give each layer a module of its own"
            )
        self._passes += 1

    def _warn_of_state(self, name: str, layer: str, module: nn.Module, inputs: Any) -> None:
        if (MODULE, name) not in self._batch.layers and keeps_state(module):
            warnings.warn(
                f"layer {layer!r}: begins a batch with the membrane that an earlier one left; reset the model before "
                "each batch",
                stacklevel=2,
            )

    def _take(self, name: str, layer: str, layout: Layout, module: nn.Module, inputs: Any, output: Any) -> None:
        self._batch.add((MODULE, name), layer, first_tensor(output, f"layer {layer!r}"), layout)

    def _probe_input(self, name: str, module: nn.Module, inputs: Any, keywords: Mapping[str, Any]) -> None:
        self._probes.setdefault(name, Probe()).enter([*inputs, *keywords.values()])

    def _probe_output(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        grid, key = self._probes[name].left, (MODULE, name)
        try:
            grid.see(first_tensor(output, name))
        except InputError:  # not a tensor
            grid.fits = False
        if not grid.fits:
            self._batch.layers.pop(key, None)
            return
        try:
            self._batch.add(key, name, first_tensor(output, name), self._layout)
        except InputError as error:  # of interest only if the module turns out to fire
            self._unfit.setdefault(name, error)

    def _found(self) -> dict[str, str]:
        """The modules that fire, of which alone the spikes are kept."""
        firing = find_firing(self._probes)
        for name in firing:
            if name in self._unfit:
                raise self._unfit[name]
        taps = {key: layer for key, layer in self._batch.layers.items() if key[0] == TAP}
        if not (firing or taps):
            modules = [(name, type(module).__name__) for name, module in self._model.named_modules() if name]
            seen = ", ".join(f"{name} ({kind})" for name, kind in modules[:16]) + ", …" * (len(modules) > 16)
            raise InputError(
                f"record: found no spiking layer in {type(self._model).__name__}, neither of snnTorch, SpikingJelly, "
                f"Norse, sinabs or lava-dl, nor by the values of {seen or 'a part'}; name modules with layers=, or "
                "hand spikes over with recording.tap()"
            )
        names = layer_names(self._model, firing)
        self._batch.layers = {key: layer for key, layer in self._batch.layers.items() if key in taps or key[1] in names}
        for key, layer in self._batch.layers.items():
            layer.name = names[key[1]] if key[0] == MODULE else layer.name
        return names
