"""Explain: maps of rasters, of networks and of torch models,
which are recorded or imported first.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable
from contextlib import ExitStack
from io import BytesIO
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import Network
from spikesam.common.arguments import checked_arguments
from spikesam.common.errors import InputError
from spikesam.common.progress import Tracker
from spikesam.pipeline.maps.explain import explain_source, method_called, usual_method
from spikesam.pipeline.maps.layers import PICTURED
from spikesam.pipeline.maps.method import MapMethod, RasterMethod
from spikesam.pipeline.networks.recorded import (
    is_network,
    listed_classes,
    network_held,
    one_class,
)
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.reader import RasterReader

if TYPE_CHECKING:
    from torch import Tensor, nn

    from spikesam.pipeline.networks.checkpoint import Checkpoint

MOST_AXES = 3  # of class scores: steps, samples and classes
RECORDED, IMPORTED = "the model was recorded", "the model was imported"
SIMULATED = "the network was simulated"
AXES = {"TB...": (0, 1), "BT...": (1, 0), "B...T": (-1, 0)}  # takes -> those of steps and samples


@checked_arguments(layers="names or numbers of layers, in a list")
def explain(
    source: RasterReader | Checkpoint | Network | nn.Module | str | PathLike[str],
    data: Any = None,
    *,
    out: str | PathLike[str] | None = None,
    method: str | None = None,
    layers: str | Iterable[str | int] = (),
    steps: str = "pictured",
    pictured: int = PICTURED,
    overwrite: bool = False,
    tracker: Tracker | None = None,
    timesteps: int | None = None,
    takes: str | None = None,
    **options: Any,
) -> MapReader:
    """Compute maps: from recorded spikes, offline, or of a torch model or a network and its input.

    A raster has all that "sam" and "relevance" need. A torch model is recorded for these two, while
    it runs on `data`; for all other methods it is imported, see :func:`spikesam.from_torch`. A
    network is simulated for "sam" and "relevance". `maps.origin` says what was done. How
    relevance is shared out: :mod:`spikesam.pipeline.maps.relevance`.

    =======================  ========================================  =============================
    `method`                 its maps show                             `source`; options
    =======================  ========================================  =============================
    "sam"                    where a layer is busy, whatever the       a raster; `gamma`,
                             answer                                    `variant`, `include_current`
    "relevance"              which spikes the answer rests on          a raster; `network`, `rule`,
                                                                       `target`
    "variance-relevance"     which spikes set the logits apart,        a raster; `network`
                             whichever class wins
    "grad-cam"               what speaks for the class in a layer, by  a network; `target`,
                             gradients: Grad-CAM of an ANN,            `samples`, `seed`, `download`
                             "snn-grad-cam" of a spiking network
    "gradient-x-input",      what speaks for the predicted class in    a spiking network; `target`,
    "integrated-gradients",  the input                                 `samples`, `seed`, `download`
    "occlusion", "rise",
    "captum:Saliency" and                                              `attribution`, the name
    other names                                                        behind the colon
    =======================  ========================================  =============================

    Parameters
    ----------
    source : an open raster, or the path of a raster file or of a run's folder; a network: an
        import, a checkpoint, its bundled name or its file; or a torch model in evaluation mode
    data : the input of a network or a model; nothing of a raster. Of a network what
        :func:`spikesam.simulate` takes, 8 samples of the set that needs no download if not given.
        Of a model what it is called with: a tensor or an array, or a list of tensors, one call a
        step
    out : file for the maps; if not given, beside the raster: `sam.h5` or `relevance.h5` for
        `raster.h5`, `x.sam.h5` for `x.h5`, and `relevance-of-3.h5` for the target 3; in place of
        earlier maps there, which is said if they were others. The maps of a raster in memory are in
        memory, too, and so are those of a network
    method : if not given "sam" of a raster and of a model, and "grad-cam" of a network
    layers : by name or number; if not given all that have places (all, if none has), or of an ANN
        the last convolution
    steps : which maps are kept step by step, beside the sums over the steps that matter: "pictured"
        for all steps of the first samples, "all", "none", or of all samples steps such as "0:100"
        or "::10", as Python slices
    pictured : how many first samples "pictured" means
    overwrite : replace an existing file
    tracker : shows and times the work
    gamma : γ, decay of the kernel per step, ≥ 0; 0 counts all earlier spikes alike; 0.5 if not
        given
    variant : "paper" (Kim & Panda 2021, Eq. 12-14), if not given; "authors-code", their published
        script; or "fixed", the paper's in integers, as maps from Lava's graph are
    include_current : let a spike count itself, not only earlier ones
    network : the recorded network: a network, a checkpoint, its name or its file;
        `network.safetensors` beside the raster if not given. Of a recorded model, its import, see
        :func:`spikesam.record`
    target : the class that is explained, by name or number, or a list of them, one for each sample;
        if not given each sample's predicted one, or for Grad-CAM the true one where it is known.
        For relevance of a model a function of its output, too, that gives a number for each sample
    rule : "signed", exact shares of the membrane, or "positive", those of what raised it (SLTRP)
    samples, seed, download : how many images of a data set, 8 if not given, in which order, and
        whether it may be fetched
    timesteps, takes : of a model, how often it is called with `data`, once if not given, and the
        axes of `data`, see :func:`spikesam.check`

    Returns
    -------
    an open reader of the maps of every layer

    Raises
    ------
    InputError : if there is no such method, an option has no meaning or belongs to another method,
        a layer is unknown, the raster is damaged or of another network, or the file exists or
        cannot be written

    Examples
    --------
    >>> import spikesam
    >>> maps = spikesam.explain(spikesam.simulate("cluttered-digits", samples=2))
    >>> maps["conv2"].sum.shape
    (2, 20, 20)
    >>> spikesam.explain("cluttered-digits", method="occlusion", samples=1)["input"].sum.shape
    (1, 80, 80)

    Of one's own model:

    >>> import snntorch, torch
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Sequential(
    ...     torch.nn.Conv2d(1, 4, 3),
    ...     snntorch.Leaky(beta=0.9, threshold=0.2, init_hidden=True),
    ...     torch.nn.Flatten(),
    ...     torch.nn.Linear(144, 3),
    ...     snntorch.Leaky(beta=0.9, threshold=0.2, init_hidden=True),
    ... ).eval()
    >>> images, method = torch.rand(2, 1, 8, 8), "integrated-gradients"
    >>> maps = spikesam.explain(model, images, method=method, target=1, timesteps=10)
    >>> maps["input"].sum.shape, maps.origin
    ((2, 8, 8), 'the model was imported')
    """
    choices: dict[str, Any] = {
        "layers": layers,
        "steps": steps,
        "pictured": pictured,
        "overwrite": overwrite,
        "tracker": tracker,
    }
    model = _as_model(source)
    if model is None and not isinstance(source, (str, PathLike)):
        source = network_held(source)
    name = method or ("sam" if model is not None else usual_method(source))
    kind, _ = method_called(name)
    choices["method"] = name
    if model is not None:
        return _of_model(model, data, kind, timesteps, takes, out, choices, options)
    for argument, value in (("timesteps", timesteps), ("takes", takes)):
        if value is not None:
            raise InputError(f"explain: {argument} belongs to a torch model, got {_kind(source)}")
    known: Any = source
    if not is_network(known):
        if data is not None:
            raise InputError(
                "explain: data belongs to a network or a torch model, got a raster, whose spikes "
                "are recorded; name a file for the maps by out="
            )
        if "network" in options and not issubclass(kind, RasterMethod):
            raise InputError(
                f"explain: method {kind.name} explains a network and images, got a recording; "
                f"call explain(network, images, method={name!r})"
            )
        return explain_source(known, out, **choices, **options)
    if not issubclass(kind, RasterMethod):
        options |= {} if data is None else {"data": data}
        return explain_source(known, out, **choices, **options)
    return _of_simulated(known, data, kind, out, choices, options)


def _of_simulated(
    network: Any,
    data: Any,
    kind: type[MapMethod],
    out: str | PathLike[str] | None,
    choices: dict[str, Any],
    options: dict[str, Any],
) -> MapReader:
    """Maps of a raster of a network that is simulated on data."""
    from spikesam.pipeline.engine.simulate import simulate

    of_samples = {name: options.pop(name) for name in ("samples", "seed") if name in options}
    with simulate(network, data, **of_samples) as raster:
        if _needs_network(kind):
            options = {"network": network} | options
        return _with_origin(explain_source(raster, out, **choices, **options), SIMULATED)


def _of_model(
    model: nn.Module,
    data: Any,
    kind: type[MapMethod],
    timesteps: int | None,
    takes: str | None,
    out: str | PathLike[str] | None,
    choices: dict[str, Any],
    options: dict[str, Any],
) -> MapReader:
    """Maps of a torch model: of its recording where that has all that a method needs, else of its
    import.
    """
    if data is None:
        raise InputError("explain: data is missing, expected what the model is called with")
    inputs = _tensors(data, model)
    if isinstance(inputs, list) and timesteps is not None:
        raise InputError("explain: timesteps belongs to one tensor, got a list, a call a step")
    recorded_relevance = kind.name == "relevance"
    if issubclass(kind, RasterMethod) and (recorded_relevance or not _needs_network(kind)):
        why = options.pop("target", None) if recorded_relevance else None
        with TemporaryDirectory() as folder, ExitStack() as resources:
            why = ("answer" if why is None else why) if recorded_relevance else None
            if why is not None and not (one_class(why) or callable(why)):
                options["target"] = listed_classes(why)
                why = {str(number): number for number in options["target"]}
            _record(model, inputs, Path(folder), timesteps, takes, why)
            raster = resources.enter_context(RasterReader(Path(folder) / "raster.h5"))
            if not isinstance(inputs, list):
                _check_steps(raster.timesteps, timesteps)
            maps = explain_source(raster, BytesIO() if out is None else out, **choices, **options)
            return _with_origin(maps, RECORDED)
    import torch

    from spikesam.pipeline.imports.torch.from_torch import from_torch

    run = _first_run(model, inputs, timesteps, takes)
    if isinstance(inputs, list):
        example, by_step = torch.stack(inputs), True
    else:
        example, by_step = steps_first(inputs, model, run, takes)
    network = from_torch(model, example, timesteps=run.steps, takes=takes)
    array = input_of_network(network, example, by_step)
    if issubclass(kind, RasterMethod):
        maps = _of_simulated(network, array, kind, out, choices, options)
    else:
        maps = explain_source(network, out, **choices, **options, data=array)
    return _with_origin(maps, IMPORTED)


class ModelRun(NamedTuple):
    """Steps of a run of a model, and its samples, of one tensor."""

    steps: int
    samples: int = 0


def _first_run(
    model: nn.Module, inputs: Tensor | list[Tensor], timesteps: int | None, takes: str | None
) -> ModelRun:
    """How a model runs: it may loop over its steps, so it is recorded once to see."""
    if isinstance(inputs, list):
        return ModelRun(len(inputs))
    with TemporaryDirectory() as folder:
        with warnings.catch_warnings(action="ignore"):  # of one step, perhaps, in which few fire
            _record(model, inputs, Path(folder), None, takes, None, answered=False)
        with RasterReader(Path(folder) / "raster.h5") as raster:
            steps, samples = raster.timesteps, raster.n_samples
    if steps == 1 and timesteps is not None:  # as many calls
        return ModelRun(timesteps, samples)
    _check_steps(steps, timesteps)
    return ModelRun(steps, samples)


def _check_steps(steps: int, timesteps: int | None) -> None:
    """Refuse steps of a model that `timesteps` contradicts, or lacks."""
    if timesteps is None and steps == 1:
        raise InputError(
            "explain: timesteps is missing, as one call of the model makes one step; say how often "
            "it is called, timesteps=1 if once"
        )
    if timesteps not in (None, steps):
        raise InputError(
            f"explain: timesteps is {timesteps}, but one call of the model makes {steps} steps; "
            "leave it out"
        )


def _record(
    model: nn.Module,
    inputs: Tensor | list[Tensor],
    folder: Path,
    timesteps: int | None,
    takes: str | None,
    why: Any,
    *,
    answered: bool = True,
) -> None:
    """Record a model that runs on inputs from rest; it is afterwards as it was before.

    It is called once, if it makes all steps of one tensor itself.
    """
    import torch

    from spikesam.pipeline.check.passes import calls_of, read_inputs
    from spikesam.pipeline.imports.torch.calling import preserved
    from spikesam.pipeline.imports.torch.modules import reset
    from spikesam.pipeline.record.record import record

    called_with = read_inputs(inputs, timesteps, takes)
    has_classes = answered and not callable(why)
    outputs = []
    with (
        preserved(model),
        warnings.catch_warnings(),
        torch.set_grad_enabled(why is not None),
        record(model, folder, why=why) as recording,
    ):
        warnings.filterwarnings("ignore", "record: nothing fires")  # explain says so itself
        reset(model)
        try:
            for output_of_call in calls_of(model, called_with):
                outputs.append(output_of_call)
                if len(outputs) == 1 < recording.steps and not isinstance(inputs, list):
                    break
        except InputError:
            raise
        except Exception as error:
            shape, reason = tuple(called_with.calls[0].shape), (str(error).splitlines() or [""])[0]
            raise InputError(
                f"explain: called with {shape}, the model fails with {type(error).__name__}: "
                f"{reason}"
            ) from error
        output = outputs[0] if len(outputs) == 1 else [_first_of(part) for part in outputs]
        shape = tuple(getattr(_first_of(outputs[0]), "shape", ()))
        if has_classes and len(shape) > MOST_AXES:
            if why is not None:
                raise InputError(
                    f"explain: the model's output has shape {shape}, which is no score for each "
                    "class; give as target a function of it, a number for each sample"
                )
            has_classes = False
        of_all_steps = has_classes and takes in AXES and getattr(output, "ndim", 0) == 3
        recording.finish(
            output,
            answers="output" if has_classes else None,
            layout=takes if of_all_steps else None,
        )


def _first_of(output: Any) -> Any:
    """The first member of a tuple, such as the spikes of (spikes, membrane)."""
    return output[0] if isinstance(output, tuple) else output


def input_of_network(network: Network, tensor: Tensor, by_step: bool) -> NDArray[Any]:
    """The input of a model, (T, B, …) where it is given by step, else (B, …), as its import takes
    it.

    Images (N, C, H, W) where a constant current drives the network, else its input at every step,
    (T, N, C, H, W).
    """
    array = tensor.detach().cpu().numpy()
    sides = network.input_shape
    if not by_step:
        images = array.reshape(len(array), *sides)
        every_step = np.broadcast_to(images, (network.model_steps, *images.shape))
        return images if network.takes_images else every_step
    steps = array.reshape(*array.shape[:2], *sides)
    return steps[0] if network.takes_images else steps


def steps_first(
    tensor: Tensor, model: nn.Module, run: ModelRun, takes: str | None
) -> tuple[Tensor, bool]:
    """The inputs that a model is called with, as (T, B, …) and True, or as (B, …) and False where
    it has no steps.

    Raises
    ------
    InputError : if more than one of the axes may be the steps
    """
    from spikesam.pipeline.imports.torch.calling import is_sequence

    steps, samples = run.steps, run.samples
    if takes is None and not is_sequence(tensor.ndim, model):
        takes = "B..." if len(tensor) == samples else "(BT)..."
    if takes == "B...":
        return tensor, False
    if takes == "(BT)..." and len(tensor) == steps * samples:
        return tensor.unflatten(0, (samples, steps)).transpose(0, 1), True
    fitting = [
        axes
        for name, axes in AXES.items()
        if takes in (None, name) and tuple(tensor.shape[axis] for axis in axes) == (steps, samples)
    ]
    if len(fitting) != 1:
        raise InputError(
            f"takes: cannot tell the axes of data of shape {tuple(tensor.shape)}, of {steps} "
            f"steps and {samples} samples; expected one of {', '.join([*AXES, '(BT)...'])}"
        )
    return tensor.movedim(fitting[0], (0, 1)), True


def _tensors(data: Any, model: nn.Module) -> Tensor | list[Tensor]:
    """The tensor that a model is called with, or those of its calls, of arrays in its own type."""
    if isinstance(data, (list, tuple)):
        return [_tensor(part, model) for part in data]
    return _tensor(data, model)


def _tensor(data: Any, model: nn.Module) -> Tensor:
    import torch

    if isinstance(data, torch.Tensor):
        return data
    is_array = isinstance(data, (np.ndarray, np.generic))
    if not is_array or data.dtype.kind not in "biuf":
        kind = f"an array of {data.dtype}" if is_array else type(data).__name__
        raise InputError(
            f"explain: data is {kind}, expected a tensor or an array of numbers, or a list of "
            "them, one for each step"
        )
    first = next(model.parameters(), torch.zeros(()))
    array = np.ascontiguousarray(data, np.float64 if first.dtype == torch.float64 else np.float32)
    return torch.from_numpy(array).to(first.device)


def _needs_network(kind: type[MapMethod]) -> bool:
    """True of a method of rasters that needs the network, too."""
    return "network" in kind.__dataclass_fields__


def _as_model(source: Any) -> nn.Module | None:
    """A torch module; None of other sources, for which torch is not imported."""
    torch: Any = sys.modules.get("torch")
    is_module = torch is not None and isinstance(source, torch.nn.Module)
    return source if is_module else None


def _kind(source: Any) -> str:
    return "a network" if is_network(source) else "a raster"


def _with_origin(maps: MapReader, origin: str) -> MapReader:
    maps.origin = origin
    return maps
