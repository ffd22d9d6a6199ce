"""A recording that is under way, the raster that it becomes, and the images that lie beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from spikesam.backends.network import Network
from spikesam.backends.network.storage import write_network
from spikesam.common.arguments import checked_arguments
from spikesam.common.errors import InputError, at
from spikesam.common.text import told_apart
from spikesam.common.warning import warn
from spikesam.pipeline.images.pictures import (
    MOST,
    NAME,
    Normalisation,
    Pictures,
    Seen,
    as_pictures,
    write_pictures,
)
from spikesam.pipeline.maps.methods.signed_relevance import remove_recorded_relevance
from spikesam.pipeline.networks.checkpoint import Checkpoint, save
from spikesam.pipeline.networks.recorded import BESIDE
from spikesam.pipeline.record._alignment import match_network
from spikesam.pipeline.record._batch import LayerBits, about
from spikesam.pipeline.record._outputs import OutputLayout, as_tensor
from spikesam.pipeline.record._watch import Watch
from spikesam.pipeline.record._why import RecordedRelevance, RelevanceSpool
from spikesam.pipeline.record.constants import unseen
from spikesam.pipeline.record.counting import OperationCounter
from spikesam.recordings.counted_operations import NAME as OPERATIONS
from spikesam.recordings.counted_operations import CountedModule, OperationsSpool
from spikesam.recordings.raster.arrays import layer_specs
from spikesam.recordings.raster.batch import RasterBatch, whole_numbers
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.schema import RasterHeader
from spikesam.recordings.raster.writer import GrowingWriter
from spikesam.recordings.schema import SampleTable, check_name

BACKEND = "torch-model"
STEP_SECONDS = 1e-3  # the conventional length of a step; metadata only


class SeenImages:
    """The first samples of a recording, as many as are kept; `normalisation` as of
    :func:`as_pictures`.
    """

    def __init__(self, class_names: Sequence[str], normalisation: Normalisation | None) -> None:
        self._class_names, self._normalisation = (
            tuple(told_apart(map(str, class_names))),
            normalisation,
        )
        self._shown = Pictures(class_names=self._class_names)

    def add(self, table: SampleTable, images: Any, classes: int) -> None:
        """Take a batch, with or without images; refuses images that do not fit, and `classes`
        without names.
        """
        highest = int(table.label.max())
        if self._class_names and classes <= len(self._class_names) <= highest:
            raise InputError(
                f"finish: labels: got {highest}, expected -1 to {len(self._class_names) - 1}, as "
                f"class_names has {len(self._class_names)} names"
            )
        if self._class_names and len(self._class_names) < classes:
            raise InputError(
                f"class_names: got {len(self._class_names)} names, expected one for each of "
                f"{classes} classes"
            )
        pictures: Sequence[NDArray[np.uint8] | None] = [None] * len(table)
        if images is not None:
            with at("finish: images"):
                pictures = list(as_pictures(images, self._normalisation))
            if len(pictures) != len(table):
                raise InputError(
                    f"finish: images: got {len(pictures)}, expected {len(table)}, as many as fired"
                )
        seen = [
            Seen(f"sample {index}", picture)
            for index, picture in zip(table.index, pictures, strict=True)
        ]
        if len(self._shown) < MOST:
            self._shown = Pictures.first([*self._shown.seen, *seen], self._class_names)

    def write(self, folder: Path, raster: RasterReader) -> None:
        """Put them beside a finished raster, in place of those of an earlier one."""
        (folder / NAME).unlink(missing_ok=True)
        if self._class_names or any(each.picture is not None for each in self._shown.seen):
            write_pictures(folder, raster.raster_digest, self._shown)


@dataclass(frozen=True)
class Description:
    """The statements of a raster that the caller of :func:`spikesam.record` makes."""

    dataset: str
    layer_delay: int
    outputs: str
    layout: str | None = None


class Recording:
    """The recording that :func:`spikesam.record` hands to its block.

    Attributes
    ----------
    path : Path — of the file, which is there when the block has ended
    """

    def __init__(
        self,
        path: Path,
        watch: Watch,
        described: Description,
        seen: SeenImages,
        network: Network | Checkpoint | None,
        overwrite: bool,
        why: RecordedRelevance | None = None,
        counter: OperationCounter | None = None,
    ) -> None:
        self.path = path
        self._watch, self._described, self._overwrite = watch, described, overwrite
        self._seen, self._network = seen, network
        self._output = OutputLayout(described.layout)
        self._why, self._relevance = why, RelevanceSpool(path.parent)
        self._counter, self._operations = counter, OperationsSpool(path.parent)
        self._taps: dict[str, list[Tensor]] = {}  # of the batch at hand, for relevance
        self._writer: GrowingWriter | None = None
        self._raster: RasterReader | None = None  # once it is whole
        self._open, self._whole = True, False

    def __repr__(self) -> str:
        """One line: the file, and how far it is."""
        state = "is finished" if self._whole else "is under way" if self._open else "was given up"
        return f"<recording {self.path}: {state}>"

    @unseen
    @checked_arguments
    def tap(self, name: str, spikes: Any, layout: str | None = None) -> None:
        """Hand over the spikes of a layer that is no module, once a step or once a batch; "input"
        names the input.

        Parameters
        ----------
        name : of the layer
        spikes : tensor or array of 0 and 1
        layout : "B..." for one step, "TB...", "BT..." or "B...T" for all steps at once; if not
            given, one step of (B, K) or (B, C, H, W). Or a name for each axis, such as "T B heads N
            d", see :func:`spikesam.record`

        Raises
        ------
        InputError : if the spikes do not fit the layout, or what was handed over before
        """
        self._expect_open("tap")
        check_name(name)
        tapped = as_tensor(spikes, "tap: spikes")
        self._watch.tap(name, tapped, layout)
        if self._why is not None:
            self._taps.setdefault(name, []).append(tapped)

    @checked_arguments(labels="whole numbers, one for each sample")
    def finish(
        self,
        output: Any = None,
        *,
        answers: Any = "output",
        labels: ArrayLike | None = None,
        index: ArrayLike | None = None,
        images: ArrayLike | None = None,
        layout: str | None = None,
    ) -> None:
        """End a batch: check it, and write it down.

        Parameters
        ----------
        output : the network's result, for predictions: class scores (B, K), or spikes or scores of
            every step, which are added up: (T, B, K), (B, T, K), laid out as the layers are, or a
            list of (B, K), one for each step, as SpikingJelly's NonSpiking nodes give. A tuple,
            such as (spikes, membrane), counts as its first member; of a dictionary or an object
            with `logits`, these count. Of functions as targets of `why`, whatever they take
        answers : class scores as above, where the output is something else, such as boxes; None
            where there are no classes: then those of `network` are numbers, too
        labels : (B,) int — classes, -1 where unknown
        index : (B,) int — positions in the data set; if not given, samples are counted
        images : as shown to the network, (B, C, H, W), (B, H, W, 3) or (B, H, W), for page and
            figures; the first ones are kept beside the raster
        layout : of `output`: "B..." for class scores, "TB...", "BT..." or "B...T" for every step;
            needed only where as many steps as samples leave it open, and neither `layout` of
            :func:`spikesam.record` nor an earlier batch says it

        Raises
        ------
        InputError : naming what does not fit
        """
        self._expect_open("finish")
        layers = self._watch.layers()
        samples, done = layers[0].samples, self._writer.n_samples if self._writer else 0
        positions, classes = np.arange(done, done + samples), np.full(samples, -1)
        if index is not None:
            with at("finish: index"):
                positions = whole_numbers(index, samples, np.int64)
        if labels is not None:
            with at("finish: labels"):
                classes = whole_numbers(labels, samples, np.int32)
        table = SampleTable(positions, classes)
        answered = output if isinstance(answers, str) and answers == "output" else answers
        graded, scores = None, np.empty((samples, 0), np.float32)
        if answered is not None:
            graded = self._output.scores(
                answered, layers[0].steps, samples, layers[-1].layout, layout
            )
            scores = graded.detach().numpy()
        if self._writer is None:
            layers = self._watch.without_readout(layers, graded)
        self._seen.add(table, images, scores.shape[1])
        spikes: dict[str, NDArray[np.uint8]] = {}
        for layer in layers:
            with about(layer.name):
                spikes[layer.name] = layer.packed()
        # Without classes the outputs of a network are numbers, such as those of boxes.
        outputs = self._described.outputs if answers is not None else "values"
        header = self._header(layers, scores.shape[1], outputs)
        batch = RasterBatch(spikes, scores)
        if self._network is not None:
            network = self._network if isinstance(self._network, Network) else self._network.network
            header, batch = match_network(network, header, batch, self._watch.inputs, done)
        if self._why is not None:
            modules = {name: module for module, name in (self._watch.names or {}).items()}
            maps = self._why.maps(layers, modules, self._taps, output, graded)
        if self._counter is not None:
            counted, operations = self._counter.counted(self._watch.sizes(layers))
            _refuse_other_modules(self._operations.modules, counted, done)
        if self._writer is None:
            self._writer = GrowingWriter(self.path, header, overwrite=self._overwrite)
        _refuse_differences(self._writer.header, header)
        self._writer.append(batch, table)
        self._watch.begin_batch()
        if self._counter is not None:
            self._operations.add(counted, operations)
            self._counter.begin_batch()
        if self._why is not None:
            self._relevance.add(maps)
            self._why.end_batch()
            self._taps.clear()

    @property
    def steps(self) -> int:
        """The steps that all layers fired so far in the batch at hand."""
        return self._watch.steps

    @property
    def raster(self) -> RasterReader:
        """A reader of the recorded raster, once the block has ended.

        Raises
        ------
        InputError : if it has not ended, or not well
        """
        if self._raster is None or not self._whole:
            raise InputError(
                f"{self.path}: is not finished; read it when the block of record() has ended"
            )
        return self._raster

    def close(self) -> None:
        """Make the file of what was recorded; refuses if nothing was, or the last batch was not
        ended.
        """
        self._open = False
        if self._watch.pending:
            raise InputError(
                "record: the last batch was not ended; call recording.finish(...) after each batch"
            )
        if self._writer is None:
            raise InputError(
                "record: nothing was recorded; run the model, then call recording.finish(...)"
            )
        self._writer.finalize()
        self._raster = raster = RasterReader(self.path, trusted=True)
        self._seen.write(self.path.parent, raster)
        remove_recorded_relevance(self.path.parent)
        self.path.with_name(OPERATIONS).unlink(missing_ok=True)
        if self._counter is not None:
            self._operations.write(raster)
            self._operations.discard()
        if self._why is not None:
            self._relevance.write(raster, self._why)
            self._relevance.discard()
        if isinstance(self._network, Network):
            write_network(self._network, self.path.with_name(BESIDE))
        elif self._network is not None:
            save(self._network, self.path.with_name(BESIDE))
        self._whole = True
        if silence := raster.silence:
            warn(f"record: {silence}")

    def discard(self) -> None:
        """Leave nothing of what was recorded."""
        self._open = False
        self._relevance.discard()
        self._operations.discard()
        if self._raster is not None:
            self._raster.close()
        if self._writer:
            self._writer.discard()

    def _expect_open(self, function: str) -> None:
        if not self._open:
            raise InputError(
                f"{function}: the recording has ended, expected a call within the block of record()"
            )

    def _header(self, layers: Sequence[LayerBits], classes: int, outputs: str) -> RasterHeader:
        modules = {layer: module for module, layer in (self._watch.names or {}).items()}
        return RasterHeader(
            backend=BACKEND,
            device=layers[-1].device,
            precision="float32",
            timesteps=layers[0].steps,
            dt=STEP_SECONDS,
            dataset=self._described.dataset,
            config=json.dumps(
                {"modules": modules, **({"axes": axes} if (axes := self._watch.axes) else {})}
            ),
            layers=layer_specs({layer.name: layer.shape for layer in layers}),
            classes=classes,
            layer_delay=self._described.layer_delay,
            outputs=outputs,
        )


def _refuse_other_modules(
    first: Sequence[CountedModule], modules: Sequence[CountedModule], done: int
) -> None:
    """Refuse a batch whose products are others than those of the first one."""
    if done and list(first) != list(modules):
        different = [*({*modules} ^ {*first})] or modules
        name = min(module.name for module in different)
        raise InputError(
            f"operations: module {name!r} multiplies otherwise than in the first batch, expected "
            "the same calls in each batch"
        )


def _refuse_differences(first: RasterHeader, header: RasterHeader) -> None:
    """Refuse a batch that does not fit the first one."""
    if header.timesteps != first.timesteps:
        raise InputError(
            f"finish: got {header.timesteps} steps, expected {first.timesteps} as in the first "
            "batch"
        )
    if header.classes != first.classes:
        found, expected = (
            f"{each.classes} classes" if each.classes else "no output" for each in (header, first)
        )
        raise InputError(f"finish: got {found}, expected {expected} as in the first batch")
    shapes = [{layer.name: layer.shape for layer in each.layers} for each in (first, header)]
    for name in {**shapes[0], **shapes[1]}:
        before, now = (shape.get(name) for shape in shapes)
        if before != now:
            raise InputError(
                f"layer {name!r}: got shape {now}, expected {before} as in the first batch"
            )
