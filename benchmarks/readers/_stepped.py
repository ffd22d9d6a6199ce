"""Modules of torch that are called once a step."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def stepped(model: Any, spikes: NDArray[np.float32]) -> NDArray[Any]:
    """What a model gives at each step, (T, …), called as `output, state = model(input, state)`."""
    import torch

    outputs, state = [], None
    with torch.no_grad():
        for step in torch.from_numpy(spikes):
            output, state = model(step[None], state)
            outputs.append(np.array(output)[0])
    return np.stack(outputs)
