"""Equality of spikes as a test: a failure names the layer, step and neuron,
and the likely cause.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from spikesam.common.errors import InputError
from spikesam.common.extras import missing
from spikesam.recordings.raster.arrays import write_raster
from spikesam.recordings.raster.reader import RasterReader

try:
    from spikesam.pipeline.comparison.diff import diff
    from spikesam.pipeline.comparison.sides import opened_side
except ImportError as error:
    raise ImportError(
        f"spikesam.testing {missing(error, 'diff') or error}", name=error.name
    ) from None

__all__ = ["assert_same_spikes"]

SPIKES = "spikes"  # the layer of an array without a name


def assert_same_spikes(
    a: Any,
    b: Any,
    network: Any = None,
    *,
    layers: Sequence[str] | None = None,
    data: Any = None,
    backend: str = "auto",
    precision: str = "fixed",
) -> None:
    """Fail unless two recordings hold the same spikes; the failure says what :func:`spikesam.diff`
    finds.

    Parameters
    ----------
    a, b : rasters, their files, folders of runs, or arrays: (N, T, C, H, W) or (N, T, K) of 0 and
        1, or a dictionary of several by layer. One of them may be a model, which is simulated on
        the input of the other
    network : the network that fired the spikes, to name the cause; the one beside a raster if not
        given
    layers : those to compare; all if not given, and then both must hold the same layers
    data, backend, precision : as of :func:`spikesam.diff`, where one is a model

    Raises
    ------
    AssertionError : if a spike differs, or one holds a layer that the other has not
    InputError : if they do not hold the same samples and steps

    Examples
    --------
    >>> import spikesam
    >>> from spikesam.testing import assert_same_spikes
    >>> raster = spikesam.simulate("cluttered-digits", samples=1)
    >>> assert_same_spikes(raster, spikesam.simulate("cluttered-digits", samples=1,
    ... backend="torch"))
    """
    __tracebackhide__ = True
    with ExitStack() as resources:
        folder = Path(resources.enter_context(TemporaryDirectory()))
        sides = [_side(name, side, folder, resources) for name, side in (("a", a), ("b", b))]
        rasters = [side for side in sides if isinstance(side, RasterReader)]
        wanted = set(rasters[0] if layers is None else layers) if rasters else set[str]()
        for name, raster in zip("ab", sides, strict=True):
            if isinstance(raster, RasterReader) and (lacking := sorted(wanted - set(raster))):
                raise AssertionError(f"{name} has no layer {lacking[0]!r}, but {', '.join(raster)}")
            if (
                isinstance(raster, RasterReader)
                and layers is None
                and (lacking_in_first := sorted(set(raster) - wanted))
            ):
                raise AssertionError(
                    f"{name} alone has layer {lacking_in_first[0]!r}; layers= says which to compare"
                )
        difference = diff(
            sides[0], sides[1], network, data=data, backend=backend, precision=precision
        )
        chosen = difference.layers[difference.layers["layer"].isin(wanted)]
        bits = int(chosen[["only_first", "only_second"]].to_numpy().sum())
        if (
            bits and difference.first and difference.first.layer not in wanted
        ):  # the first of those that are asked for
            layer = chosen.loc[(chosen["only_first"] + chosen["only_second"]) > 0, "layer"].iloc[0]
            difference = diff(
                sides[0],
                sides[1],
                network,
                layer=layer,
                data=data,
                backend=backend,
                precision=precision,
            )
    if bits:
        raise AssertionError(f"the spikes differ in {bits:,} bits; A is a, B is b\n\n{difference}")


def _side(name: str, side: Any, folder: Path, resources: ExitStack) -> Any:
    """A raster or a model; arrays become a raster in a folder."""
    arrays = {SPIKES: side} if hasattr(side, "shape") else side
    if not isinstance(arrays, Mapping) or isinstance(side, RasterReader):
        return opened_side(side, resources)
    if not all(hasattr(array, "shape") for array in arrays.values()):
        raise InputError(f"assert_same_spikes: {name}: got a dictionary, expected arrays by layer")
    return resources.enter_context(RasterReader(write_raster(folder / f"{name}.h5", arrays)))
