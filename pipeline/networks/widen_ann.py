"""An ANN for a larger image, as :mod:`pipeline.networks.widen` makes a spiking network larger."""

from __future__ import annotations

import torch

from recordings.errors import InputError

from .ann import ReluNetwork


def widen_ann(model: ReluNetwork, height: int, width: int) -> ReluNetwork:
    """The same ANN for an input of another size; its first dense layer sees the mean over blocks of the larger map.

    Parameters
    ----------
    model : in evaluation mode
    height, width : multiples of its own input's; the same size gives the model itself

    Raises
    ------
    InputError : if they are not multiples
    """
    channels, own_height, own_width = model.input_shape
    if (height, width) == (own_height, own_width):
        return model
    if height % own_height or width % own_width or not height or not width:
        raise InputError(
            f"widen: got {height}×{width}, expected multiples of the ANN's own input of {own_height}×{own_width}"
        )
    rows, columns = height // own_height, width // own_width
    wide = ReluNetwork(model.description, channels, height, width, model.readout.out_features, model.dropout)
    state = dict(model.state_dict())
    for name, value in wide.state_dict().items():
        if value.shape != state[name].shape:  # the first dense layer alone
            pools = torch.tensor([plan.pool for plan in model.plans[: int(name.split(".")[1]) + 1]]).prod()
            cells = state[name].unflatten(1, (-1, own_height // int(pools), own_width // int(pools)))
            block = cells.repeat_interleave(rows, 2).repeat_interleave(columns, 3) / (rows * columns)
            state[name] = block.flatten(1)
    wide.load_state_dict(state)
    return wide.eval()
