"""Import of a spiking network of another library, or written by hand, as one of this project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args, overload

from spikesam.backends.network import Network, NetworkError
from spikesam.backends.torch.synapses import without_autocast
from spikesam.common.arguments import checked_arguments
from spikesam.pipeline.images.preprocessing import Preprocessing
from spikesam.pipeline.imports.libraries.library import Takes
from spikesam.pipeline.imports.torch.calling import checked_model, follow_model, read_example
from spikesam.pipeline.imports.torch.imported import assemble
from spikesam.pipeline.imports.torch.modules import NeuronModules, OwnNeurons
from spikesam.pipeline.imports.torch.proof import (
    check_answer,
    check_rounding,
    check_that_all_fire,
    prove,
    prove_on_others,
    prove_up_to_rounding,
    warn_of_dropped,
)
from spikesam.pipeline.networks.checkpoint import Checkpoint, Preparation, named_network


@overload
def from_torch(
    model: Any, example: Any, *, class_names: Sequence[str], **options: Any
) -> Checkpoint: ...
@overload
def from_torch(
    model: Any, example: Any, *, preprocessing: Preparation, **options: Any
) -> Checkpoint: ...
@overload
def from_torch(model: Any, example: Any, **options: Any) -> Network: ...
@checked_arguments  # type: ignore[misc]  # the options are those below
@without_autocast()  # the network that is proved is in float32
def from_torch(
    model: Any,
    example: Any,
    *,
    timesteps: int | None = None,
    takes: Takes | None = None,
    neurons: Mapping[str | type, OwnNeurons] | None = None,
    rounding: bool = False,
    class_names: Sequence[str] = (),
    preprocessing: Preparation | None = None,
) -> Network | Checkpoint:
    """Import a spiking network that was written with torch, and prove that it fires the same bits.

    The model runs on the example and is followed: convolutions, linear layers, batch normalisation
    and other gains and shifts of channels, which may differ from step to step, pooling, flattening
    and dropout, sums of layers and concatenations of channels, as modules or as functions,
    recurrence, and neurons of snnTorch, SpikingJelly, Norse, sinabs and lava-dl. Then model and
    network run on the example in float32, and every bit of every layer must be the same. So they
    must be on a dense input made from the example, in which half of all places fire at every step,
    or hold an end of the range of currents, and on silence: there the model must be the same
    network, and its bits may differ by rounding alone. Of libraries that round their states, as
    lava-dl does where they leak, `rounding=True` must accept that. The model is left as it was.

    Parameters
    ----------
    model : torch.nn.Module in evaluation, in float32; a module whose forward makes one step, or
        loops over steps, or takes all steps at once. Of what it returns, the first tensor is the
        answer (others are named in a warning, but for membranes and for spikes of layers that lead
        to it): spikes or currents of every step, which are summed, or their sum or mean, or the
        membranes of a leaky integrator, of which the last counts
    example : one batch as the model takes it at every step, (B, C, H, W) or (B, N), or a sequence
        of them, (T, B, …); 0 and 1 for a network whose input is spikes; other numbers for a
        current, constant where all steps are the same. A current is in 8 bits: the largest number
        of the example is 127 (of a constant one 1 where none is larger, 2 where none is larger than
        that), and model and network run on the rounded numbers
    timesteps : T; needed where the example is one batch
    takes : the axes of what the model is called with: "B..." (at every step, or once, where it
        loops over steps itself), "TB...", "BT...", "(BT)..." or "B...T"; found out by trying if not
        given
    neurons : equations of neurons that the model's author wrote: the name or the class of a module
        -> LIF(...), or (LIF(...), gain) where they multiply what drives them. Those modules must be
        at rest: only the libraries' own are brought there
    rounding : accept bits that differ where a membrane is as close to its threshold as rounding
        takes it: 1e-5 of it by the order of additions, more where lava-dl rounds. Then every bit is
        worked out from the model's own bits before it. For large models, in which some membrane
        meets its threshold
    class_names : of every class, in the model's order; page and command line show them
    preprocessing : how images, or events, become what the model takes, so that `spikesam run` can
        show it some; the range of a current holds all that it makes

    Returns
    -------
    a network, or with names or preprocessing a :class:`Checkpoint` of one. The bits of a layer
        stand as many steps later as it is deep, 1 of the first; the network has as many steps more
        as its last layer is deep, which are silent in the input

    Raises
    ------
    NetworkError : naming the module that cannot be imported, and what would be possible; or the
        first bit that differs, its layer, step, sample, neuron and both membranes; or a layer that
        is silent on the example

    Examples
    --------
    >>> import snntorch, torch
    >>> from torch import nn
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(
    ...     nn.Conv2d(1, 4, 3), nn.MaxPool2d(2),
    ...     snntorch.Leaky(beta=0.9, threshold=0.3, init_hidden=True),
    ...     nn.Flatten(), nn.Linear(36, 5),
    ...     snntorch.Leaky(beta=0.9, threshold=0.1, init_hidden=True, output=True),
    ... ).eval()
    >>> network = spikesam.from_torch(model, torch.rand(2, 1, 8, 8).round(), timesteps=10)
    >>> network.timesteps, network.shapes
    (12, ((1, 8, 8), (4, 3, 3), (5, 1, 1)))
    """
    try:
        if takes is not None and takes not in get_args(Takes):
            raise NetworkError(
                f"takes: got {takes!r}, expected one of {', '.join(map(repr, get_args(Takes)))}"
            )
        model = checked_model(model)
        timesteps_limit = (
            max(map(abs, preprocessing.limits)) if isinstance(preprocessing, Preprocessing) else 0.0
        )
        known_neurons, tried = (
            NeuronModules(neurons, takes),
            read_example(example, timesteps, model, at_least=timesteps_limit),
        )
        followed = follow_model(model, tried, known_neurons)
        imported = assemble(model, followed, tried)
        check_rounding(imported, tried, rounding)
        (prove_up_to_rounding if rounding else prove)(imported, tried)
        check_that_all_fire(imported)
        check_answer(imported, followed.answer)
        prove_on_others(model, known_neurons, imported.network, tried)
    except NetworkError as error:
        raise NetworkError(f"from_torch: {error}") from error.__cause__
    warn_of_dropped(followed, imported, "from_torch")
    named = len(class_names) > 0 or preprocessing is not None
    return (
        named_network(imported.network, class_names, preprocessing) if named else imported.network
    )
