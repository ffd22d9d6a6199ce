"""What the ANN twin says of images: its Grad-CAM, which maps are measured against, and its answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.maps.gradcam import ann_grad_cam
from pipeline.networks.widen_ann import widen_ann

from .images import ImageSet
from .study import Study


def reference_maps(study: Study, images: ImageSet) -> NDArray[np.float32]:
    """The map that the paper measures against: Grad-CAM of the ANN twin at its last convolution; cached.

    It is taken for the true label, or where that is unknown for the class that the ANN predicts. Images may be larger
    than the ANN's own, see :func:`pipeline.networks.widen_ann.widen_ann`.

    Returns
    -------
    (N, h, w) float32 ≥ 0
    """
    ann, size = study.networks.ann, study.settings.batch_size
    model = widen_ann(ann.model, *images.size).eval()
    last = [plan.name for plan in model.plans if plan.kind == "conv"][-1]

    def compute() -> dict[str, NDArray[Any]]:
        maps = []
        with study.progress("Grad-CAM of the ANN", len(images)) as advance:
            for start in range(0, len(images), size):
                batch = slice(start, start + size)
                maps.append(ann_grad_cam(model, images.pixels[batch], images.labels[batch], last))
                advance(len(maps[-1]))
        return {"maps": np.concatenate(maps)}

    inputs = {"ann": ann.sha256, "images": images.sha256, "layer": last}
    maps: NDArray[np.float32] = study.stages.arrays("grad-cam", inputs, compute)["maps"]
    return maps


def ann_predictions(study: Study, images: ImageSet) -> NDArray[np.int64]:
    """The class that the ANN twin gives every image: (N,)."""
    model, size = study.networks.ann.model.eval(), study.settings.batch_size
    device = next(model.parameters()).device
    with torch.inference_mode():
        starts = range(0, len(images), size)
        batches = [model(torch.from_numpy(images.pixels[start : start + size]).to(device)) for start in starts]
    predicted: NDArray[np.int64] = torch.cat(batches).argmax(dim=1).cpu().numpy()
    return predicted
