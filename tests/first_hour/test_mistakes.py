"""Sixty mistakes of a first hour: each is told in one line, and leaves every file as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from snntorch import Leaky
from torch import Tensor, nn

import spikesam
from spikesam.pipeline.cli.main import main
from tests.first_hour.networks import StepByStep, cnn, leaky, one_layer


class OwnNeuron(nn.Module):
    """A neuron of nobody's library, which fires numbers."""

    def forward(self, currents: Tensor) -> Tensor:
        return 3 * currents.sigmoid()


@dataclass(frozen=True)
class Desk:
    """The things of a user's first hour; "mine" is the folder of a recording of `model`."""

    model: nn.Module
    network: spikesam.Network
    spikes: Tensor  # (T, B, C, H, W) = (4, 3, 1, 8, 8)

    def record(
        self, out: str = "new", *, labels: Any = None, images: Any = None, **options: Any
    ) -> None:
        with torch.no_grad(), spikesam.record(self.model, out, **options) as recording:
            recording.finish(self.model(self.spikes), labels=labels, images=images)

    def of(self, *layers: nn.Module) -> Desk:
        """With another model."""
        return replace(self, model=StepByStep(*layers).eval())

    def with_weights_of(self, value: float) -> Desk:
        changed = self.of(*one_layer(nn.Linear(144, 5), leaky()))
        nn.init.constant_(next(changed.model.parameters())[0], value)
        return changed

    def with_a_sample_of(self, value: float) -> Desk:
        spikes = self.spikes.clone()
        spikes[:, 1] = value
        return replace(self, spikes=spikes)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    torch.manual_seed(0)
    own = cnn()
    own.model.eval()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("desk"))
        network = spikesam.from_torch(own.model, own.spikes)
        desk = Desk(own.model, network, own.spikes)
        desk.record("mine", network=network, labels=[0, 1, 2], images=own.spikes.mean(0))
        desk.record("alone")
        spikesam.explain("mine", out="maps.h5").close()
        Path("notes.txt").write_text("mine")
        Path("empty").mkdir()
        torch.save(own.model.state_dict(), "weights.pt")
        yield desk


def not_finished(desk: Desk) -> None:
    """A batch that runs, and no call of `finish`."""
    with torch.no_grad(), spikesam.record(desk.model, "new"):
        desk.model(desk.spikes)


def files() -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in Path().rglob("*")}


MISTAKES: dict[str, tuple[Callable[[Desk], object], str]] = {
    # arguments
    "nothing to view": (
        lambda desk: spikesam.view(),  # type: ignore[call-arg]
        "view: run is missing, expected a text or a path",
    ),
    "nothing to record into": (
        lambda desk: spikesam.record(desk.model),  # type: ignore[call-arg]
        "record: out is missing, expected a text or a path",
    ),
    "more arguments than there are": (
        lambda desk: spikesam.view("mine", "alone"),  # type: ignore[call-arg]
        "view: got 2 arguments without a name, expected at most 1, run; name the others, see "
        "help(spikesam.view)",
    ),
    # a model that is none, or not ready
    "an array in place of the model": (
        lambda desk: spikesam.record(np.ones(3), "new").__enter__(),
        "record: model is of type ndarray, expected a torch.nn.Module",
    ),
    "weights in place of the model": (
        lambda desk: spikesam.record(desk.model.state_dict(), "new").__enter__(),
        "record: model is of type OrderedDict, expected a torch.nn.Module",
    ),
    "the class in place of the model": (
        lambda desk: spikesam.record(StepByStep, "new").__enter__(),
        "record: model is of type type, expected a torch.nn.Module",
    ),
    "training mode": (
        lambda desk: replace(desk, model=cnn().model).record(),
        "record: the model is in training mode, in which dropout and batch normalisation change "
        "what fires; call model.eval() before",
    ),
    "NaN in weights": (
        lambda desk: desk.with_weights_of(torch.nan).record(),
        "record: 'layers.0.weight' holds NaN, expected finite numbers",
    ),
    "infinity in weights": (
        lambda desk: desk.with_weights_of(-torch.inf).record(),
        "record: 'layers.0.weight' holds infinity, expected finite numbers",
    ),
    "NaN in one sample": (
        lambda desk: desk.with_a_sample_of(torch.nan).record(),
        "finish: the model's input holds NaN, expected finite numbers",
    ),
    "infinity in one sample": (
        lambda desk: desk.with_a_sample_of(-torch.inf).record(),
        "finish: the model's input holds infinity, expected finite numbers",
    ),
    "no spiking layer": (
        lambda desk: desk.of(nn.Flatten(), nn.Linear(64, 5)).record(),
        "record: found no spiking layer in StepByStep, neither of snnTorch",
    ),
    "a neuron that nobody knows, recorded": (
        lambda desk: desk.of(nn.Conv2d(1, 4, 3), OwnNeuron(), nn.Flatten()).record(),
        "layers.1 (OwnNeuron), layers.2 (Flatten); name modules with layers=",
    ),
    "a neuron that nobody knows, imported": (
        lambda desk: spikesam.from_torch(
            desk.of(nn.Conv2d(1, 4, 3), OwnNeuron(), nn.Flatten()).model, desk.spikes
        ),
        "from_torch: found no neurons in StepByStep, Sequential, Conv2d, OwnNeuron",
    ),
    # what is recorded
    "no call of finish": (
        not_finished,
        "record: the last batch was not ended; call recording.finish(...) after each batch",
    ),
    "layers as a text": (
        lambda desk: desk.record(layers="layers.1"),
        """record: layers is 'layers.1', expected several names, such as ["lif1"]""",
    ),
    "a layer misspelt": (
        lambda desk: desk.record(layers=["layer.1"]),
        "layers: no module 'layer.1' in StepByStep; did you mean layers.1",
    ),
    "a convolution as a layer": (
        lambda desk: desk.record(layers=["layers.0"]),
        "that are neither 0 nor 1, expected spikes",
    ),
    "why= without gradients": (
        lambda desk: desk.record(why="answer"),
        "expected it to run with them: leave out torch.no_grad()",
    ),
    "why= and network=": (
        lambda desk: desk.record(why="answer", network=desk.network),
        "record: got both why= and network=, expected one",
    ),
    "another word for outputs": (
        lambda desk: desk.record(outputs="regression"),
        "record: outputs: got 'regression', expected 'classes' or 'values'",
    ),
    "fewer labels than samples": (
        lambda desk: desk.record(labels=[1, 2]),
        "finish: labels: got shape (2,) of int64, expected 3 whole numbers, one for each sample",
    ),
    "labels in parts": (
        lambda desk: desk.record(labels=torch.tensor([0.5, 1, 2])),
        "finish: labels: got real numbers, expected 3 whole ones",
    ),
    "one-hot labels": (
        lambda desk: desk.record(labels=torch.eye(5)[:3]),
        "finish: labels: got shape (3, 5) of float32, expected 3 whole numbers",
    ),
    "names as labels": (
        lambda desk: desk.record(labels=["cat", "dog", "cat"]),
        "finish: labels is of type list, expected whole numbers, one for each sample",
    ),
    "a label beyond the classes": (
        lambda desk: desk.record(labels=[0, 1, 9], class_names=list("abcde")),
        "finish: labels: got 9, expected -1 to 4, as class_names has 5 names",
    ),
    "names of classes as a text": (
        lambda desk: desk.record(class_names="abcde"),
        "record: class_names is 'abcde', expected a list of texts",
    ),
    "too few names of classes": (
        lambda desk: desk.record(class_names=["a", "b"]),
        "class_names: got 2 names, expected one for each of 5 classes",
    ),
    "images with steps": (
        lambda desk: desk.record(images=desk.spikes),
        "finish: images: got (4, 3, 1, 8, 8) float32, expected images (N, C, H, W)",
    ),
    "one image of three": (
        lambda desk: desk.record(images=torch.rand(1, 8, 8)),
        "finish: images: got 1, expected 3, as many as fired",
    ),
    "a folder that exists": (
        lambda desk: desk.record("mine"),
        "mine/raster.h5: already exists; choose another name, or replace it with overwrite=True",
    ),
    "a file as the folder": (
        lambda desk: desk.record("notes.txt"),
        "notes.txt: cannot be written, it is or lies below a file; choose a folder",
    ),
    # the input of a network
    "images of another size": (
        lambda desk: spikesam.simulate(desk.network, torch.zeros(4, 3, 1, 9, 9)),
        "data: got input spikes of (T, N, C, H, W) = (4, 3, 1, 9, 9), expected (4, 3, 1, 8, 8)",
    ),
    "samples before steps": (
        lambda desk: spikesam.simulate(desk.network, desk.spikes.transpose(0, 1)),
        "steps come first, and 4 steps stand on the second axis",
    ),
    "images in place of spikes": (
        lambda desk: spikesam.simulate(desk.network, torch.rand(3, 1, 8, 8)),
        "data: got images, but the network takes spikes: (T, N, C, H, W) of 0 and 1",
    ),
    "grey values in place of spikes": (
        lambda desk: spikesam.simulate(desk.network, torch.full((4, 3, 1, 8, 8), 0.5)),
        "got the value 0.5, expected spikes of 0 and 1 only",
    ),
    "texts in place of spikes": (
        lambda desk: spikesam.simulate(desk.network, np.full((4, 3, 1, 8, 8), "1")),
        "data: got dtype <U1, expected bool, or 0 and 1 of any dtype",
    ),
    "a model in place of the network": (
        lambda desk: spikesam.simulate(desk.model, desk.spikes),
        "spikesam.from_torch makes a Network of a torch model",
    ),
    "a chip as the backend": (
        lambda desk: spikesam.simulate(desk.network, desk.spikes, backend="loihi"),
        "backend is 'loihi', expected one of auto, event, lava, torch",
    ),
    "gpu in place of cuda": (
        lambda desk: spikesam.simulate(desk.network, desk.spikes, backend="torch", device="gpu"),
        "torch: device is 'gpu', expected auto, cpu, cuda or cuda:N",
    ),
    "int8 in place of fixed": (
        lambda desk: spikesam.simulate(desk.network, desk.spikes, precision="int8"),
        "precision is 'int8', expected 'fixed' or 'float32'",
    ),
    "an example without steps": (
        lambda desk: spikesam.from_torch(desk.model, desk.spikes[0]),
        "from_torch: timesteps: got none for one batch, (3, 1, 8, 8)",
    ),
    "an example of zeros": (
        lambda desk: spikesam.from_torch(desk.model, torch.zeros(4, 3, 1, 8, 8)),
        "from_torch: example: holds zeros alone, which shows nothing of the input",
    ),
    "other steps than the example": (
        lambda desk: spikesam.from_torch(desk.model, desk.spikes, timesteps=7),
        "from_torch: timesteps: got 7, expected 4, as the example has",
    ),
    # maps
    "a method misspelt": (
        lambda desk: spikesam.explain("mine", method="relevence"),
        "; did you mean 'relevance'?",
    ),
    "a method in capitals": (
        lambda desk: spikesam.explain("mine", method="SAM"),
        "; did you mean 'sam'?",
    ),
    "an option misspelt": (
        lambda desk: spikesam.explain("mine", gama=0.3),
        "explain: gama is no option of any method; did you mean 'gamma'?",
    ),
    "γ below 0": (
        lambda desk: spikesam.explain("mine", gamma=-1),
        "gamma: got -1, expected a finite number ≥ 0",
    ),
    "a module's name for a layer": (
        lambda desk: spikesam.explain("mine", layers=["layers.1"]),
        "mine/raster.h5: no layer 'layers.1'; did you mean layers_1",
    ),
    "a class that is not there": (
        lambda desk: spikesam.explain("mine", method="relevance", target="cat"),
        "no class 'cat', expected 0 to 4",
    ),
    "relevance without the network": (
        lambda desk: spikesam.explain("alone", method="relevance"),
        "alone/raster.h5: does not say which network fired it; give network",
    ),
    "relevance with another network": (
        lambda desk: spikesam.explain("alone", method="relevance", network="cluttered-digits"),
        "alone/raster.h5: has 4 steps, expected 11, as the network takes",
    ),
    "Grad-CAM of spikes": (
        lambda desk: spikesam.explain("mine", method="grad-cam"),
        "mine: is a recording, but method grad-cam explains a network and images",
    ),
    "Grad-CAM of spikes and their network": (
        lambda desk: spikesam.explain("mine", method="grad-cam", network=desk.network),
        "explain: method grad-cam explains a network and images, got a recording; call "
        "explain(network, images, method='grad-cam')",
    ),
    "a folder misspelt": (
        lambda desk: spikesam.explain("mien"),
        "mien: no such file, expected a raster file (raster.h5) that a run has finished; did you "
        "mean mine?",
    ),
    "an empty folder": (
        lambda desk: spikesam.explain("empty"),
        "empty: has no raster.h5, expected the folder of a run that keeps spikes",
    ),
    "weights in place of a recording": (
        lambda desk: spikesam.explain("weights.pt"),
        "weights.pt: is not HDF5, expected a raster file",
    ),
    "maps that exist": (
        lambda desk: spikesam.explain("mine", out="maps.h5", gamma=1),
        "maps.h5: already exists; choose another out, or replace it with overwrite=True",
    ),
    "a model without its input": (
        lambda desk: spikesam.explain(desk.model),
        "explain: data is missing, expected what the model is called with",
    ),
    "a model with images of another size": (
        lambda desk: spikesam.explain(desk.model, torch.zeros(4, 3, 1, 9, 9)),
        "explain: called with (4, 3, 1, 9, 9), the model fails with RuntimeError: mat1 and mat2",
    ),
    "a model with whole numbers": (
        lambda desk: spikesam.explain(desk.model, desk.spikes.long()),
        "explain: called with (4, 3, 1, 8, 8), the model fails with RuntimeError: Input type",
    ),
    "names of files for a model": (
        lambda desk: spikesam.explain(desk.model, ["cat.png"]),
        "explain: data is str, expected a tensor or an array of numbers",
    ),
    "a sample that is not there": (
        lambda desk: spikesam.open_maps("maps.h5").plot(samples=[7]),
        "plot: no sample 7, expected 0 to 2",
    ),
    # what comes after
    "a page of a model": (
        lambda desk: spikesam.report(desk.model),
        "report: runs is of type StepByStep, expected a text, a path or a list",
    ),
    "a page over another file": (
        lambda desk: spikesam.report("mine", out="notes.txt"),
        "notes.txt: already exists; choose another out, or replace it with overwrite=True",
    ),
    "a layer silenced by mistake": (
        lambda desk: spikesam.edit("mine", layer="layers_1"),
        "; give rows, columns, channels or steps, or all=True for the whole layer",
    ),
    "a row outside of the layer": (
        lambda desk: spikesam.edit("mine", layer="layers_1", rows=[9]),
        "edit: layer 'layers_1': no row 9, expected 0 to 5",
    ),
    "prices of a year": (
        lambda desk: spikesam.energy("mine", prices="7nm"),
        "prices: got '7nm', expected one of 45nm",
    ),
    "model and network swapped": (
        lambda desk: spikesam.compare(desk.network, desk.model, desk.spikes),
        "compare: model: got Network, expected a torch.nn.Module",
    ),
    "a network checked": (
        lambda desk: spikesam.check(desk.network, desk.spikes),
        "check: model is of type Network, expected a torch.nn.Module",
    ),
    "a bundled network misspelt": (
        lambda desk: spikesam.load("cluttered-digit"),
        "did you mean 'cluttered-digits'?",
    ),
    "one mean for two channels": (
        lambda desk: spikesam.Preprocessing(height=8, width=8, mean=(0.5, 0.5), std=(0.5,)),
        "preprocessing: got mean (0.5, 0.5) and std (0.5,), expected three numbers each, or one",
    ),
    "steps that differ between layers": (
        lambda desk: spikesam.write_raster(
            "w.h5", {"a": np.ones((2, 4, 1, 3, 3), bool), "b": np.ones((2, 5, 1, 3, 3), bool)}
        ),
        "write_raster: layer 'b': got 2 samples and 5 steps, expected 2 and 4, as layer 'a' has",
    ),
    "spikes of one sample": (
        lambda desk: spikesam.sam(np.ones((4, 1, 3, 3))),
        "one sample is spikes[:, None]",
    ),
}
COMMANDS: dict[str, str] = {
    "exlpain mine": "unknown command 'exlpain'; did you mean explain?",
    "explain mien": "mien: no such file, expected a raster file",
    "explain mine --gama 1": "unknown option --gama; did you mean --gamma?",
    "explain mine --method gradcam": "did you mean 'grad-cam'?",
    "report empty": "empty: has no raster.h5, expected the folder of a finished run",
    "edit mine layers_1": "give --rows, --columns, --channels or --steps, or --all for the whole",
    "edit mine --layer layers_1": "LAYER is written without it: spikesam edit RASTER LAYER",
    "diff mine mien": "did you mean mine?",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(mistake: str, desk: Desk) -> None:
    call, line = MISTAKES[mistake]
    before = files()
    with pytest.raises(spikesam.InputError) as refused:
        call(desk)
    assert line in str(refused.value) and "\n" not in str(refused.value)
    assert files() == before


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_refused_in_one_line(
    command: str, desk: Desk, refused: Callable[..., str]
) -> None:
    before = files()
    assert COMMANDS[command] in refused(main, *command.split())
    assert files() == before


def test_a_reset_that_was_forgotten_is_told(desk: Desk, tmp_path: Path) -> None:
    """No error: the user may want it."""
    layers = desk.of(*one_layer(nn.Linear(144, 5), leaky())).model.layers
    with torch.no_grad(), spikesam.record(layers, tmp_path) as recording:
        recording.finish(torch.stack([layers(step) for step in desk.spikes]))
        with pytest.warns(UserWarning, match="reset the model before each batch"):
            recording.finish(torch.stack([layers(step) for step in desk.spikes]))


def test_a_threshold_of_infinity_is_a_readout(desk: Desk, tmp_path: Path) -> None:
    """A buffer, and no weight."""
    never = Leaky(beta=0.9, threshold=torch.inf, init_hidden=True)
    changed = desk.of(*one_layer(nn.Linear(144, 5), leaky(), never))
    with pytest.warns(UserWarning, match="nothing fires in layers_5"):
        changed.record(str(tmp_path))


def test_there_are_sixty_mistakes() -> None:
    assert len(MISTAKES) + len(COMMANDS) >= 60
