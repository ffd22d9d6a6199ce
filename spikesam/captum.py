"""Spike activation maps by the conventions of captum, for code that compares its methods."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from spikesam.common.errors import InputError
from spikesam.common.extras import missing
from spikesam.pipeline.maps.explain import explain_source

try:
    import torch
    from captum.attr import LayerAttribution
    from torch import Tensor, nn

    from spikesam.pipeline.record.record import record
except ImportError as error:
    raise ImportError(f"spikesam.captum {missing(error) or error}", name=error.name) from None

__all__ = ["SAM"]


class SAM(LayerAttribution):
    """Where neurons of a layer fire in quick succession, whatever the class.

    What it gives is what :func:`spikesam.explain` gives of a recording of the same inputs. Nothing
    is differentiated, and no target is asked for.

    Parameters
    ----------
    forward_func : a spiking network in evaluation mode, whose call runs all steps from rest
    layer : the module of it that puts out spikes, once a step or those of all steps at once

    Raises
    ------
    InputError : if the layer is not in the network

    Examples
    --------
    >>> import snntorch, snntorch.utils, torch
    >>> from spikesam.captum import SAM
    >>> class Small(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.conv = torch.nn.Conv2d(1, 4, 3)
    ...         self.lif = snntorch.Leaky(0.9, init_hidden=True)
    ...     def forward(self, images):
    ...         snntorch.utils.reset(self)
    ...         spikes = torch.stack([self.lif(self.conv(images)) for step in range(10)])
    ...         return spikes.sum((0, 3, 4))
    >>> model, images = Small().eval(), torch.rand(2, 1, 8, 8)
    >>> attribution = SAM(model, model.lif).attribute(images)
    >>> attribution.shape, SAM.interpolate(attribution, (8, 8)).shape
    (torch.Size([2, 1, 6, 6]), torch.Size([2, 1, 8, 8]))

    References
    ----------
    Kim & Panda 2021, Eq. 12-14.
    """

    forward_func: nn.Module
    layer: nn.Module

    def __init__(self, forward_func: nn.Module, layer: nn.Module) -> None:
        names = [name for name, module in forward_func.named_modules() if module is layer]
        if not names or not names[0]:
            raise InputError(
                f"SAM: {type(layer).__name__} is no module within {type(forward_func).__name__}"
            )
        super().__init__(forward_func, layer)
        self._name = names[0]

    def attribute(
        self,
        inputs: Tensor | tuple[Tensor, ...],
        additional_forward_args: Any = None,
        *,
        layout: str | None = None,
        axes: str | None = None,
        grid: tuple[int, int] | None = None,
        **options: Any,
    ) -> Tensor:
        """One map for each sample, summed over the steps.

        Parameters
        ----------
        inputs : of the network; several in a tuple
        additional_forward_args : further arguments of it; several in a tuple
        layout, axes, grid : of what the layer puts out, if it is of no library, or tokens: "T B
            heads N d" and (8, 8); see :func:`spikesam.record`
        options : `gamma`, `variant`, `include_current` of :func:`spikesam.explain`

        Returns
        -------
        (B, 1, H, W) float32 on the device of the inputs, as of captum's LayerGradCam; ≥ 0. Of a
            layer without places, C neurons, (B, 1, C, 1)

        Raises
        ------
        InputError : if what the layer puts out are no spikes of a map, or the network is in
            training mode
        """
        model_inputs = inputs if isinstance(inputs, tuple) else (inputs,)
        further = () if additional_forward_args is None else additional_forward_args
        further = further if isinstance(further, tuple) else (further,)
        with TemporaryDirectory(prefix="spikesam-") as folder:
            named = {self._name: axes} if axes else None
            arranged: dict[str, Any] = {"layout": layout, "axes": named, "grid": grid}
            with (
                torch.no_grad(),
                record(self.forward_func, folder, {self._name: "layer"}, **arranged) as recording,
            ):
                self.forward_func(*model_inputs, *further)
                recording.finish()
            with (
                recording.raster as raster,
                explain_source(raster, Path(folder, "sam.h5"), steps="none", **options) as maps,
            ):
                return torch.from_numpy(maps["layer"].sum[:])[:, None].to(model_inputs[0].device)
