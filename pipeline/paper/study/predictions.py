"""What the ANN answers, beside the answers of the SNN, which its raster holds."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from .images import ImageSet
from .study import Study


def ann_predictions(study: Study, images: ImageSet) -> NDArray[np.int64]:
    """The class that the ANN twin gives every image: (N,)."""
    model, size = study.ann.model.eval(), study.settings.batch_size
    device = next(model.parameters()).device
    with torch.inference_mode():
        starts = range(0, len(images), size)
        batches = [model(torch.from_numpy(images.pixels[start : start + size]).to(device)) for start in starts]
    predicted: NDArray[np.int64] = torch.cat(batches).argmax(dim=1).cpu().numpy()
    return predicted
