"""How well the maps of a file find objects, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from os import PathLike, fspath

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from spikesam.pipeline.maps.localisation import OF_LAYERS, Score, score_sample
from spikesam.recordings.arguments import checked_arguments
from spikesam.recordings.errors import InputError
from spikesam.recordings.maps.reader import MapReader, open_maps


@checked_arguments
def measure(maps: MapReader | str | PathLike[str], masks: Sequence[ArrayLike | None]) -> pd.DataFrame:
    """Measure how well maps find the objects of their images, beside two guesses that do not know the image.

    Parameters
    ----------
    maps : an open reader, as :func:`spikesam.explain` returns it, or the path of a file of maps
    masks : one for each image of the file: (H, W) bool, the object's pixels in the image as the network saw it. None,
        or a mask without a pixel, where the object is unknown: such images are left out

    Returns
    -------
    a row per image, layer and measure, with the columns

        - image: its number in the file, from 0
        - layer: in order of depth; "" of a guess
        - map: the method of the file, such as "sam"; of a guess "centred box", as large as the object, or
          "centred Gaussian"
        - measure: "pointing game", "energy in object" or "IoU", see :mod:`spikesam.pipeline.measures.localisation`
        - value: of the map summed over the steps that matter; from 0 to 1, and higher is better

    Raises
    ------
    InputError : if there are not as many masks as images, a mask is not (H, W) bool, or the file is damaged

    Examples
    --------
    >>> import numpy as np
    >>> import spikesam
    >>> spikes = np.zeros((1, 2, 1, 4, 4), bool)
    >>> spikes[..., 0, 0] = True
    >>> maps = spikesam.explain(spikesam.write_raster("c.h5", {"conv1": spikes}, overwrite=True))
    >>> table = spikesam.measure(maps, [np.eye(4, dtype=bool)])
    >>> table[table["map"] == "sam"][["layer", "measure", "value"]].values.tolist()
    [['conv1', 'pointing game', 1.0], ['conv1', 'energy in object', 1.0], ['conv1', 'IoU', 0.25]]
    """
    with ExitStack() as stack:
        source = fspath(maps) if isinstance(maps, PathLike) else maps
        reader = source if isinstance(source, MapReader) else stack.enter_context(open_maps(source))
        if len(masks) != reader.n_samples:
            raise InputError(f"masks: got {len(masks)}, expected one for each of the {reader.n_samples} images")
        scores: list[Score] = []
        for image, given in enumerate(masks):
            mask = np.zeros((1, 1), np.bool_) if given is None else np.asarray(given)
            if mask.ndim != 2 or mask.dtype != np.bool_:
                raise InputError(f"masks: number {image} is {mask.shape} {mask.dtype}, expected (H, W) bool")
            if mask.any():
                sums = {name: (reader.read_sum(reader.layer(name), image),) for name in reader}
                scores += score_sample(image, sums, mask)
        table = pd.DataFrame(scores, columns=["image", "layer", "map", "measure", "value"])
        return table.replace({"map": {OF_LAYERS[0]: reader.header.method}})
