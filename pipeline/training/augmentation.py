"""Training images changed at random, so that no two epochs see an image alike."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from spikesam.pipeline.config import TrainingSection


def augment(images: Tensor, boxes: Tensor, settings: TrainingSection) -> Tensor:
    """Zoom, move and mirror images (B, C, H, W) at random; with `keep_object`, known boxes (B, 4) stay inside."""
    batch, _, height, width = images.shape
    size = torch.tensor([width, height], device=images.device)
    random = torch.rand(4, batch, 1, device=images.device)
    zoom = torch.sqrt(1 - (1 - settings.crop) * random[0])  # side of the window, as a share of the image's
    low, high = torch.zeros_like(boxes[:, :2]), 1 - zoom  # of the window's corner
    if settings.keep_object:
        known = torch.isfinite(boxes).all(1, keepdim=True)
        start, end = boxes[:, :2] / size, boxes[:, 2:] / size
        zoom = torch.where(known, zoom.maximum((end - start).amax(1, keepdim=True)), zoom)
        low = torch.where(known, (end - zoom).clamp(min=0), low)
        high = torch.where(known, start.minimum(1 - zoom), 1 - zoom)
    corner = low + (high - low) * torch.cat([random[1], random[2]], 1)
    move = 2 * corner + zoom - 1  # of the window's centre, in affine_grid's units: the image spans -1 … 1
    move = move + (4 * torch.rand_like(move) - 2) * settings.shift / size
    mirror = torch.where(random[3] < 0.5, -1.0, 1.0) if settings.flip else torch.ones_like(zoom)
    zero = torch.zeros_like(zoom)
    rows = [torch.cat([zoom * mirror, zero, move[:, :1]], 1), torch.cat([zero, zoom, move[:, 1:]], 1)]
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def move_events(bits: Tensor, settings: TrainingSection) -> Tensor:
    """Move each recording (B, T, 2, H, W) by whole pixels at random, and mirror it; one column within itself alone."""
    batch, *_, height, width = bits.shape
    random = torch.rand(3, batch, device=bits.device)
    reach = 2 * settings.shift + 1
    moves = (random[:2] * reach).long() - settings.shift
    moves[1] *= width > 1
    rows, columns = (
        torch.arange(side, device=bits.device) - move[:, None]
        for side, move in zip((height, width), moves, strict=True)
    )
    if settings.flip:
        columns = torch.where(random[2, :, None] < 0.5, width - 1 - columns, columns)
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    place = rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None, :]
    moved = bits.flatten(3).gather(3, place.flatten(1)[:, None, None].expand(*bits.shape[:3], -1))
    return moved.unflatten(3, (height, width)) * inside[:, None, None]
