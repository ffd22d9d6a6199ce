"""Recording a torch network that others wrote, while they run it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import nn

from spikesam.backends.network import Network
from spikesam.backends.network.storage import read_network
from spikesam.common.arguments import checked_arguments
from spikesam.common.errors import InputError
from spikesam.common.files import refuse_replacing
from spikesam.common.lock import file_lock, out_lock
from spikesam.pipeline.images.pictures import Normalisation, refuse_other_zip
from spikesam.pipeline.images.preprocessing import Preprocessing
from spikesam.pipeline.imports.libraries.known import layer_name
from spikesam.pipeline.networks.checkpoint import Checkpoint, named_network
from spikesam.pipeline.networks.recorded import BESIDE, loaded_network
from spikesam.pipeline.record._arrangement import Arrangement
from spikesam.pipeline.record._batch import Counts
from spikesam.pipeline.record._layouts import named_layout
from spikesam.pipeline.record._watch import Watch, check_names, find_known, named_modules
from spikesam.pipeline.record._why import RecordedRelevance
from spikesam.pipeline.record.counting import OperationCounter
from spikesam.pipeline.record.recording import Description, Recording, SeenImages
from spikesam.pipeline.record.weights import refuse_missing_numbers
from spikesam.recordings.raster.schema import check_outputs
from spikesam.recordings.raster.writer import refuse_existing


@checked_arguments(
    model="a torch.nn.Module",
    layers='several names, such as ["lif1"], or a dictionary',
    axes="names of modules, or patterns, in a dictionary",
    grid="rows and columns, such as (8, 8)",
)
@contextmanager
def record(
    model: nn.Module,
    out: str | PathLike[str],
    layers: Iterable[str] | Mapping[str, str] | None = None,
    *,
    layout: str | None = None,
    axes: Mapping[str, str] | None = None,
    grid: tuple[int, int] | Mapping[str, tuple[int, int]] | None = None,
    counts: Counts = None,
    layer_delay: int = 0,
    dataset: str = "",
    class_names: Sequence[str] = (),
    outputs: str = "classes",
    input_normalisation: Normalisation | None = None,
    network: Any = None,
    why: Any = None,
    operations: bool = False,
    overwrite: bool = False,
) -> Iterator[Recording]:
    """Record every spike of a torch network while you run it, into `out/raster.h5`.

    A context manager. Hooks see what spiking modules put out; the model and what it returns stay as
    they are, and the hooks leave with the block. Run a batch, then call :meth:`Recording.finish`,
    and so on for as many batches as you like: memory does not grow with their number. When the
    block ends, the file is there; after an error there is none.

    Reset your neurons before each batch, as you would without recording.

    Parameters
    ----------
    model : in evaluation mode, on any device
    out : folder for `raster.h5`, made if missing
    layers : names of the modules to record, or module -> name of its layer; none if all spikes are
        handed over by :meth:`Recording.tap`. If not given, the spiking modules of snnTorch,
        SpikingJelly, Norse, sinabs and lava-dl; where there are none of these, whatever module puts
        out spikes in the first batch though what goes in is none. Layers are numbered in the order
        in which they fire
    layout : how modules of none of these libraries lay out what they return, and the model its
        output: "B..." for one step a call, "TB...", "BT..." or "B...T" for all steps at once; if
        not given, one step of (B, K) or (B, C, H, W)
    axes : names of modules, or patterns of them -> a name for each axis of what one call returns,
        where that is no map of channels, rows and columns: {"block.*.attn_lif": "T B heads N d"}. T
        are steps, B samples, N tokens, which are laid out as a map, H and W rows and columns;
        others are channels: several become one, the first of them changing slowest. "(T B)" is one
        axis that holds both. Recognised automatically: Spikformer, QKFormer and Spike-driven
        Transformer, of SpikingJelly and of their authors. Steps of three or four axes that no
        convolution made are refused. "input" names the axes of the model's input, which gets a map
        of relevance with `why`, where as many steps as samples leave them open: {"input": "T B C H
        W"}
    grid : rows and columns of the tokens, or pattern of names of modules -> theirs; if not given,
        those of the last recorded map with as many places as there are tokens, or one row, which is
        said, where there is no map before them
    counts : None to refuse other values than 0 and 1; "fired" to record of counts and graded spikes
        that there were any; "ternary" to record -1, 0 and 1 as two planes, 2C channels: where a
        neuron fired 1, then where it fired -1
    layer_delay : 1 if each layer passes its spikes on one step later, as lava-dl's blocks do, 0 if
        in the same step; decides which steps matter
    dataset : name of the data, such as "CIFAR-10"
    class_names : of every class, by its number, for page and figures; those of `network`, if it has
        any, if not given
    outputs : "classes" if the highest output is the answer, "values" if outputs are numbers, such
        as of a regression, or pixels: then no class is told. One output alone always is a value
    input_normalisation : mean and standard deviation that were taken out of the images that
        `finish` is given, a number each or one for each channel, so that they are shown in their
        own colours
    network : result of :func:`from_torch` for the model, with or without names of classes, or its
        file. Then the raster is one of this network, with its input spikes: each batch is lined up
        with the delays of its layers, and refused if the network does not fire one of its spikes.
        The network is written beside it, so that relevance, edits, energy and the page ask for
        nothing more
    why : what to explain, beside recording: "answer", each sample's predicted class; a class, by
        name or number; a function of the model's output that gives (B,) numbers, such as the score
        of a box; or a mapping of names to several of these. `finish` then runs the backward pass
        and keeps the relevance of all spikes, which `explain`, `report` and the page show. The
        neurons are modules of snnTorch, SpikingJelly, Norse or sinabs, and the model runs without
        `torch.no_grad()`
    operations : count synaptic operations at every convolution, linear layer and matrix product
        (`matmul`, `@`, `bmm`, `einsum`) of the model, by module, step and sample, so that
        :func:`energy` and the command need no network: an addition where a spike, 1 or -1, meets a
        weight that is not 0, a multiplication where any other number does. Products whose steps are
        not known are refused by name
    overwrite : replace an earlier `raster.h5`, and what lies beside it, when the new one is whole;
        a
        `pictures.zip` that spikesam did not write is refused

    Yields
    ------
    Recording : with `finish(output, labels=…, images=…)` and `tap(name, spikes)`; after the block,
        with `raster`

    Raises
    ------
    InputError : naming the module or layer that does not fit, at the beginning, in the block, or at
        its end

    Examples
    --------
    >>> import snntorch, snntorch.utils, torch
    >>> import spikesam
    >>> lif1, lif2 = (snntorch.Leaky(0.9, init_hidden=True) for _ in range(2))
    >>> conv, linear = torch.nn.Conv2d(1, 4, 3), torch.nn.Linear(144, 3)
    >>> model = torch.nn.Sequential(conv, lif1, torch.nn.Flatten(), linear, lif2).eval()
    >>> with torch.no_grad(), spikesam.record(model, "mine", overwrite=True) as recording:
    ...     for labels in ([0, 1], [2, 0]):
    ...         images = torch.rand(2, 1, 8, 8)
    ...         snntorch.utils.reset(model)
    ...         spikes = torch.stack([model(images) for step in range(10)])
    ...         recording.finish(spikes, labels=labels)
    >>> recording.raster
    <mine/raster.h5: 4 samples, 10 steps, layers leaky_1, leaky_4>
    """
    _check_model(model)
    if counts not in (None, "fired", "ternary"):
        raise InputError(f"record: counts: got {counts!r}, expected None, 'fired' or 'ternary'")
    if why is not None and network is not None:
        raise InputError(
            "record: got both why= and network=, expected one: relevance needs no import with "
            "why=, and explains any class of an import with network="
        )
    if operations and network is not None:
        raise InputError(
            "record: got both operations=True and network=, expected one: energy counts with the "
            "network, too"
        )
    if why is not None and layer_delay:
        raise InputError("record: got why= and layer_delay=1, expected layers without delay")
    check_outputs(outputs, "record: outputs")
    arrangement = Arrangement(model, named_layout(layout), axes, grid)
    if layers is not None:
        names: Mapping[str, str] | None = named_modules(model, layers)
    else:
        names = {
            name: layer_name(model, name) for name in find_known(model)
        } or None  # found in the first batch
    check_names((names or {}).values())
    folder = Path(out)
    path = folder / "raster.h5"
    with out_lock(folder), file_lock(path):
        refuse_existing(path, overwrite)
        refuse_other_zip(folder)
        watch = Watch(
            model, names, arrangement, counts, by_library=layers is None and names is not None
        )
        known = (
            None
            if network is None
            else loaded_network(network, "network: got {}, expected a Network or its file")
        )
        if known is not None:
            _refuse_other_network(path.with_name(BESIDE), known, overwrite)
        if isinstance(known, Checkpoint):
            class_names, images = class_names or known.class_names, known.preprocessing
            if isinstance(images, Preprocessing):
                input_normalisation = input_normalisation or (images.mean, images.std)
        elif known is not None and class_names:
            known = named_network(known, class_names)
        watch.keeps_inputs = known is not None
        seen = SeenImages(class_names, input_normalisation)
        followed = (
            None
            if why is None
            else RecordedRelevance(model, why, class_names, arrangement.input_axes)
        )
        counter = (
            OperationCounter(
                model,
                lambda: watch.progress,
                checked=lambda: watch.names or () if counts is None else (),
            )
            if operations
            else None
        )
        described = Description(dataset, layer_delay, outputs, layout)
        recording = Recording(path, watch, described, seen, known, overwrite, followed, counter)
        watchers = [watcher for watcher in (followed, watch, counter) if watcher is not None]
        try:
            with ExitStack() as attached:
                for watcher in watchers:
                    attached.enter_context(watcher.attached())
                yield recording
            recording.close()
        except BaseException:
            recording.discard()
            raise


def _refuse_other_network(path: Path, network: Network | Checkpoint, overwrite: bool) -> None:
    """Refuse to replace a file of another network, unless an earlier recording may be replaced."""
    if path.exists():
        graph = network.network if isinstance(network, Checkpoint) else network
        if read_network(path)[0].sha256 != graph.sha256:
            refuse_replacing(path, overwrite)


def _check_model(model: object) -> None:
    """Refuse a model in which hooks do not see everything, or something is random."""
    if not isinstance(model, nn.Module):
        raise InputError(f"record: got {type(model).__name__}, expected a torch.nn.Module")
    for name, module in model.named_modules():
        where = f"record: module {name!r}" if name else "record: the model"
        if isinstance(module, nn.DataParallel):
            raise InputError(
                f"{where} is DataParallel, which hides its copies from hooks; record its .module "
                "instead"
            )
        by_compile = type(module).__name__ == "OptimizedModule" or getattr(
            module, "_compiled_call_impl", None
        )
        if by_compile or isinstance(module, torch.jit.ScriptModule):
            raise InputError(
                f"{where} is compiled, so hooks may not see it; record the model that it was made "
                "from"
            )
        if module.training:
            raise InputError(
                f"{where} is in training mode, in which dropout and batch normalisation change "
                "what fires; call model.eval() before"
            )
    refuse_missing_numbers(model, "record")
