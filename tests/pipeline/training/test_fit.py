"""Training on small images: it learns, begins where another ended, and resumes exactly what nobody
damaged.
"""

import hashlib
import io
import os
import pickle
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning
import pytest
import torch
from rich.console import Console

import spikesam
from spikesam.common.errors import InputError
from spikesam.pipeline import train
from spikesam.pipeline.config import Config, DataSection, NetworkSection, TrainingSection
from spikesam.pipeline.images.datasets.base import SIZES
from spikesam.pipeline.images.encoding import encode
from spikesam.pipeline.networks.checkpoint import load
from spikesam.pipeline.networks.differentiable import predictions
from spikesam.pipeline.training import fit, precision
from spikesam.pipeline.training._epochs import read_epoch, start_from, write_epoch
from spikesam.pipeline.training.fit import TrainingModule
from spikesam.pipeline.training.inputs import augment, loaders, training_inputs
from spikesam.pipeline.training.precision import seconds_of_a_step
from spikesam.pipeline.training.trainable import SpikingNetwork
from tests.pipeline.small_networks import class_folders
from tests.pipeline.training.configs import OF_IMAGES

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with a configuration and images of three easy classes."""
    folder = tmp_path_factory.mktemp("training")
    class_folders(folder / "images" / "train", per_class=16, size=20)
    (folder / "config.toml").write_text(f'{OF_IMAGES}\n[run]\ncheckpoint = "x"\n')
    return folder


def arguments(workplace: Path, out: str | Path, *extra: str) -> list[str]:
    return [
        *("--config", str(workplace / "config.toml"), "--data.source", str(workplace / "images")),
        *("--out", str(workplace / out), *extra),
    ]


@pytest.fixture(scope="module")
def uninterrupted(workplace):
    """The output of a training that nobody stopped."""
    with redirect_stderr(io.StringIO()) as output:
        train.main(arguments(workplace, "whole"))
    return output.getvalue()


def rows(workplace: Path, out: str) -> list[str]:
    """The lines of metrics.csv, none if it is not there."""
    path = workplace / out / "metrics.csv"
    return path.read_text().splitlines() if path.exists() else []


def test_it_learns_three_colours(workplace, uninterrupted):
    lines = (workplace / "whole" / "metrics.csv").read_text().splitlines()
    column = lines[0].split(",").index("selection_accuracy")
    accuracies = [float(line.split(",")[column]) for line in lines[1:] if line.split(",")[column]]
    assert [line.split(",")[0] for line in lines] == ["epoch", "1", "2", "3"]
    assert max(accuracies) > 0.6  # chance is 1/3
    checkpoint = load(str(workplace / "whole" / "checkpoint.safetensors"))
    assert checkpoint.classes == ("apple", "pear", "plum")
    assert list((workplace / "whole").rglob("events.out.tfevents*"))
    assert "epoch 3/3" in uninterrupted
    assert "min left" in uninterrupted


def test_the_ann_twin_is_trained_by_the_same_command(workplace, capsys):
    out = "ann; touch PWNED $(id)"
    train.main(arguments(workplace, out, "--network.neuron", "relu"))
    captured = capsys.readouterr()
    path = workplace / out / "checkpoint.safetensors"
    following = captured.out.splitlines()[-1].removeprefix("next: ")
    assert shlex.split(following)[:3] == ["spikesam", "convert", str(path)]
    assert "epoch 3/3" in captured.err
    ann = load(str(path), "ann")
    assert ann.classes == ("apple", "pear", "plum")
    colours = torch.zeros(3, 3, 16, 24) - 1
    colours[range(3), range(3)] = 1  # red, green and blue, as the images of the three classes are
    assert predictions(
        ann.network, [encode(ann.network, colours.numpy(), 0, range(3))]
    ).tolist() == [0, 1, 2]


def test_stopped_with_ctrl_c_it_says_so(workplace, capsys):
    ended = threading.Event()

    def press() -> None:
        while not rows(workplace, "stopped") and not ended.wait(0.05):
            pass
        if not ended.is_set():
            os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    try:
        with pytest.raises(SystemExit) as stop:
            train.main(arguments(workplace, "stopped", "--training.epochs", "1000"))
    finally:
        ended.set()
        presser.join()
    assert stop.value.code == 130
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith(
        "interrupted; finished work is kept, and run and train continue it with --resume"
    )


@pytest.mark.long
def test_nothing_is_left_among_the_temporary_files(workplace, tmp_path):
    words = arguments(workplace, "clean", "--network.neuron", "relu", "--training.epochs", "1")
    environment = os.environ | {"SPIKESAM_DEBUG": "0", "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "spikesam.pipeline.train", *words]
    subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True, timeout=300)
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_is_not_finite_stops_with_one_line(workplace, refused):
    diverges = ("--training.learning-rate", "1e38", "--training.optimizer", "sgd")
    line = refused(train.main, *arguments(workplace, "diverged", *diverges))
    assert line.startswith("error: training: the loss is ")
    assert "lower training.learning_rate" in line


def test_augmentation_can_be_switched_off():
    images = torch.rand(3, 3, 6, 8)
    still = augment(
        images, torch.full((3, 4), torch.nan), TrainingSection(flip=False, shift=0, crop=1.0)
    )
    torch.testing.assert_close(still, images, rtol=1e-4, atol=1e-5)


def test_a_mirrored_image_is_mirrored():
    torch.manual_seed(0)
    images = torch.rand(32, 1, 4, 6)
    found = augment(
        images, torch.full((32, 4), torch.nan), TrainingSection(flip=True, shift=0, crop=1.0)
    )
    mirrored = torch.isclose(found, images.flip(3), atol=1e-5).flatten(1).all(1)
    same = torch.isclose(found, images, atol=1e-5).flatten(1).all(1)
    assert (mirrored | same).all()
    assert 5 < mirrored.sum() < 27


@pytest.mark.parametrize("keep", [True, False])
def test_a_zoom_that_keeps_the_object(keep):
    torch.manual_seed(0)
    images = torch.zeros(200, 1, 40, 60)
    images[:, :, 5:15, 40:58] = 1  # 18×10 pixels near the upper right corner
    boxes = torch.tensor([[40.0, 5.0, 58.0, 15.0]]).repeat(200, 1)
    settings = TrainingSection(flip=True, shift=0, crop=0.1, keep_object=keep)
    found = augment(images, boxes, settings)
    lit = found[:, 0] > 0.5
    shape = lit.any(1).sum(1) / lit.any(2).sum(1).clamp(
        min=1
    )  # columns per row; 1.8 while the object is whole
    whole = ((shape / 1.8 - 1).abs() < 0.2).float().mean()
    if keep:
        assert whole == 1
        assert found.mean() > 1.3 * images.mean()  # and it has become larger
    else:
        assert whole < 0.7


LAYERS = (4, "P", 6, "P4", "D8")


def saved(parameters, path):
    """An epoch of this network, or of these parameters, in the parts that count here."""
    if isinstance(parameters, torch.nn.Module):
        parameters = {f"model.{name}": value for name, value in parameters.state_dict().items()}
    rest = {"epoch": 0, "settings": {}, "images": "", "accuracy": 0.5, "callbacks": {}}
    write_epoch(rest | {"state_dict": parameters}, path)
    return path


def network(layers=LAYERS, timesteps=4, side=8):
    return SpikingNetwork(NetworkSection(layers=layers, timesteps=timesteps), (3, side, side), 2)


def test_parameters_and_statistics_are_those_of_the_other_training(tmp_path):
    trained, fresh = network(), network((4, "P", 6, "P8", "D8"), side=16)
    trained.train()(torch.ones(4, 2, 3, 8, 8)).sum()  # moves the running means of BNTT
    start_from(fresh, saved(trained, tmp_path / "best.ckpt"))
    for name, value in trained.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], value), name


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (network((4, "P", 7, "P4", "D8")), "layers.1.synapses.weight has shape (7, 4, 3, 3)"),
        (network(timesteps=5), "has shape (4,), the network to train has none"),
        (network((4, "P4", "D8")), "has shape"),
    ],
)
def test_a_network_of_another_shape_is_refused(tmp_path, other, told):
    with pytest.raises(InputError, match="must be the same") as refused:
        start_from(network(), saved(other, tmp_path / "best.ckpt"))
    assert told in str(refused.value)


@pytest.mark.parametrize("content", [None, b"", b"not an epoch", "tensor", "list"])
def test_what_is_no_epoch_is_refused(tmp_path, content):
    path = tmp_path / "best.ckpt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        write_epoch(torch.ones(2), path) if content == "tensor" else saved([1], path)
    with pytest.raises(
        InputError,
        match=r"best\.ckpt: (no such file|(damaged, or )?not an epoch)",
    ):
        start_from(network(), path)


def test_training_goes_on_where_the_other_ended_and_resumes(workplace, uninterrupted, refused):
    begun = workplace / "begun.ckpt"
    begun.write_bytes((workplace / "whole" / "epochs" / "best.ckpt").read_bytes())
    more = ["--training.start", str(begun), "--training.learning_rate", "1e-9"]
    second = arguments(workplace, "second", *more)
    train.main([*second, "--training.epochs", "1"])
    begun.unlink()  # whoever resumes needs it no longer
    line = refused(train.main, *second, "--training.epochs", "2", "--resume")
    assert "the training has training.epochs 1, now it is 2; resume with the same settings" in line
    train.main([*second, "--training.epochs", "1", "--resume"])
    lines = rows(workplace, "second")
    assert [line.split(",")[0] for line in lines] == ["epoch", "1"]
    accuracy = lines[0].split(",").index("selection_accuracy")
    assert float(lines[1].split(",")[accuracy]) > 0.6  # chance is 1/3, and nothing was learnt here


def tables(folder: Path) -> dict[str, Any]:
    source = str(class_folders(folder / "images" / "train", per_class=8).parent)
    return {
        "data": {"source": source, "height": 8, "width": 8},
        "network": {"layers": [4, "P4", "D8"], "timesteps": 6},
        "training": {"epochs": 1, "batch_size": 8, "selection": 0.25, "shift": 1},
    }


def test_the_checkpoint_comes_back_and_the_same_call_returns_it(
    tmp_path: Path, capsys: Any
) -> None:
    settings, out = tables(tmp_path), tmp_path / "out"
    first = spikesam.train(settings, out)
    assert "epoch 1/1" in capsys.readouterr().err
    assert first.classes == ("apple", "pear", "plum")
    assert first.network.shapes == ((6, 8, 8), (4, 8, 8), (8, 1, 1))
    assert spikesam.load(out / "checkpoint.safetensors").network.sha256 == first.network.sha256
    epochs = (out / "metrics.csv").read_text()
    assert spikesam.train(settings, out).network.sha256 == first.network.sha256
    assert (out / "metrics.csv").read_text() == epochs
    with pytest.raises(
        InputError, match=r"last\.ckpt: the training has training.seed 0, now it is 1"
    ):
        spikesam.train(settings | {"training": settings["training"] | {"seed": 1}}, out)
    (out / "checkpoint.safetensors").unlink()
    with pytest.raises(InputError, match=f"{out}: holds a training already; add resume=True"):
        spikesam.train(settings, out)


Trained = Callable[..., spikesam.Checkpoint]


@pytest.fixture
def trained_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trained:
    """Train with a precision into a folder of this name, given what a step is measured to take."""
    monkeypatch.setattr(precision, "native_type", lambda: torch.bfloat16)
    settings = tables(tmp_path)

    def trained(
        name: str, out: str, seconds: dict[str, float], **more: bool
    ) -> spikesam.Checkpoint:
        def measure(*arguments: Any) -> dict[str, float]:
            assert set(seconds_of_a_step(*arguments)) == set(seconds)
            return seconds

        monkeypatch.setattr(fit, "seconds_of_a_step", measure)
        training = settings["training"] | {"precision": name}
        return spikesam.train(settings | {"training": training}, tmp_path / out, **more)

    return trained


FLOAT32_FASTER = {"bfloat16": 0.2, "float32": 0.1}
BFLOAT16_FASTER = {"bfloat16": 0.1, "float32": 0.2}


@pytest.mark.parametrize(
    ("seconds", "faster"), [(FLOAT32_FASTER, "float32"), (BFLOAT16_FASTER, "bfloat16")]
)
def test_the_faster_type_trains_to_the_bits_that_asking_for_it_gives(
    trained_with: Trained, tmp_path: Path, capsys: Any, seconds: dict[str, float], faster: str
) -> None:
    chosen = trained_with("auto", "chosen", seconds)
    line = f"training.precision: {faster}; a step takes {seconds['bfloat16'] * 1000:.0f} ms in bf"
    assert line in capsys.readouterr().err
    table = tomllib.loads((tmp_path / "chosen" / "config.toml").read_text())["training"]
    assert table["precision"] == faster
    asked_for = trained_with(faster, "asked-for", {})  # measuring would fail
    assert chosen.network.sha256 == asked_for.network.sha256
    assert "training.precision" not in capsys.readouterr().err


def test_a_training_goes_on_in_the_type_that_it_began_with(
    trained_with: Trained, tmp_path: Path
) -> None:
    begun = trained_with("auto", "begun", FLOAT32_FASTER)
    (tmp_path / "begun" / "checkpoint.safetensors").unlink()
    for name in ("auto", "float32"):
        resumed = trained_with(name, "begun", {}, resume=True)  # measuring would fail
        assert resumed.network.sha256 == begun.network.sha256
    assert 'precision = "float32"' in (tmp_path / "begun" / "config.toml").read_text()
    with pytest.raises(InputError, match="has training.precision float32, now it is bfloat16"):
        trained_with("bfloat16", "begun", {}, resume=True)


def test_there_must_be_an_epoch_to_resume_from(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"epochs/last.ckpt: no finished epoch to resume from"):
        spikesam.train(tables(tmp_path), tmp_path / "out", resume=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("gain_decay", "left"), [(None, 0.99), (0.5, 0.95), (0.0, 1.0)])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_step_without_gradient_shrinks_gains_at_their_own_rate(optimizer, gain_decay, left):
    network = NetworkSection(layers=(4, "D8"), timesteps=4)
    rates = {"learning_rate": 0.1, "weight_decay": 0.1, "gain_decay": gain_decay}
    training = TrainingSection(optimizer=optimizer, schedule="step", **rates)
    data = DataSection(height=4, width=4)
    model = SpikingNetwork(network, (3, 4, 4), 2)
    module = TrainingModule(
        model, training, training_inputs(Config(data=data, network=network, training=training))
    )
    (chosen,), _ = module.configure_optimizers()
    layer = model.layers[0]
    weight = layer.synapses.weight.detach().clone()
    spikes = torch.ones(4, 2, 3, 4, 4)
    model(spikes).sum().mul(0).backward()  # gradients of zero, where an answer hears of a parameter
    chosen.step()
    torch.testing.assert_close(layer.synapses.weight, 0.99 * weight)
    reached = [norm.weight.grad is not None for norm in layer.bntt]
    assert reached == [True, True, False, False]  # two layers delay the input by two steps
    for norm, heard in zip(layer.bntt, reached, strict=True):
        torch.testing.assert_close(norm.weight.detach(), torch.full((4,), left if heard else 1.0))


def optimizer_of(**settings):
    """The optimizer and the schedule of a training of 20 steps, without a network."""
    module = TrainingModule(torch.nn.Linear(2, 2), TrainingSection(**settings), None)
    module._trainer = SimpleNamespace(estimated_stepping_batches=20)
    (optimizer,), (schedule,) = module.configure_optimizers()
    return optimizer, schedule


@pytest.mark.parametrize(
    ("optimizer", "expected"), [("sgd", [0.7, 0.7, 0.7]), ("adamw", [0.95, 0.85, 0.95])]
)
def test_one_cycle_moves_beta_1_of_adamw_but_not_the_momentum_of_sgd(optimizer, expected):
    chosen, schedule = optimizer_of(optimizer=optimizer, momentum=0.7)
    found = []
    for step in range(20):
        group = chosen.param_groups[0]
        found.append(group["momentum"] if optimizer == "sgd" else group["betas"][0])
        chosen.step()
        if step < 19:
            schedule["scheduler"].step()
    assert [found[0], found[3], found[19]] == pytest.approx(
        expected
    )  # the rate is highest after a fifth


@pytest.mark.parametrize(
    ("epochs", "rates"),
    [(1, [1]), (2, [1, 0.01]), (4, [1, 1, 0.1, 0.01]), (6, [1, 1, 1, 0.1, 0.01, 0.001])],
)
def test_steps_of_few_epochs_begin_at_the_whole_rate(epochs, rates):
    chosen, schedule = optimizer_of(
        optimizer="sgd", learning_rate=1.0, schedule="step", epochs=epochs
    )
    found = []
    for _ in range(epochs):
        found.append(chosen.param_groups[0]["lr"])
        chosen.step()
        schedule.step()
    assert found == pytest.approx(rates)


SCENES = DataSection(height=16, width=16, train_scenes=40)


def datasets(**data):
    config = Config(data=SCENES.model_copy(update=data), training=TrainingSection(batch_size=8))
    return [
        loader.dataset
        for loader in loaders(config, training_inputs(config), Console(file=StringIO()))
    ]


@pytest.mark.long
def test_scenes_are_drawn_once_for_trainings_in_a_row_and_others_anew():
    first, again = datasets(), datasets()
    assert [one is other for one, other in zip(first, again, strict=True)] == [True, True]
    fitting, _ = datasets(height=8, train_scenes=24)
    assert fitting.tensors[0].shape == (24, 3, 8, 16)


KILLED = """
import os, signal, sys
from spikesam.pipeline import train
from spikesam.pipeline.training._epochs import EpochLog

def die(self, trainer, module):
    if trainer.current_epoch == 2:
        os.kill(os.getpid(), signal.SIGKILL)

EpochLog.on_train_epoch_start = die
train.main(sys.argv[1:])
"""  # in its third epoch; the first was the best


@pytest.fixture(scope="module")
def place(workplace) -> Path:
    """That folder with a training that nobody stopped, `unstopped`, and the same one killed,
    `killed`.
    """
    train.main(words(workplace, "unstopped"))
    subprocess.run(
        [sys.executable, "-c", KILLED, *words(workplace, "killed")], cwd=ROOT, capture_output=True
    )
    epochs = {
        name: read_epoch(workplace / "killed" / "epochs" / f"{name}.ckpt")["epoch"]
        for name in ("best", "last")
    }
    assert epochs == {"best": 0, "last": 1}
    return workplace


@pytest.fixture
def killed(place, tmp_path) -> Path:
    """A copy of the folder of the killed training."""
    return shutil.copytree(place / "killed", tmp_path / "moved")


def words(place: Path, out: str | Path, *more: str) -> list[str]:
    return arguments(place, out, "--network.neuron", "relu", "--training.epochs", "4", *more)


def resumed(place: Path, out: Path) -> None:
    """Resume the training, which must end as if it had never stopped."""
    train.main(words(place, out, "--resume"))
    found, whole = (
        load(folder / "checkpoint.safetensors") for folder in (out, place / "unstopped")
    )
    assert found.network.sha256 == whole.network.sha256
    assert (out / "metrics.csv").read_text() == (place / "unstopped" / "metrics.csv").read_text()


def flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "a bit flipped": flip,
    "cut": lambda content: content[: len(content) // 2],
    "the end missing": lambda content: content[:-1],
    "empty": lambda content: b"",
    "zeros": lambda content: bytes(len(content)),
    "more at the end": lambda content: content + b"0",
}


@pytest.mark.long
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["best", "last"])
def test_one_file_is_damaged(place, killed, capsys, name, damage):
    path = killed / "epochs" / f"{name}.ckpt"
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    resumed(place, killed)
    error = capsys.readouterr().err
    told = (
        f"{path}: damaged, or not an epoch of spikesam train: it does not end with its SHA-256; "
        "going on after epoch 1"
    )
    assert (told in error) == (name == "last")  # nobody reads the other one
    if name == "last":
        read_epoch(path)  # it is whole again


def test_one_file_is_missing(place, killed):
    (killed / "epochs" / "last.ckpt").unlink()
    resumed(place, killed)


@pytest.mark.parametrize("damage", DAMAGES)
def test_both_files_are_damaged(place, killed, refused, damage):
    for path in (killed / "epochs").iterdir():
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    line = refused(train.main, *words(place, killed, "--resume"))
    assert "last.ckpt: damaged, or not an epoch" in line
    assert line.endswith(
        f"no other epoch is whole, remove {killed / 'epochs'} and train from the start"
    )


def test_after_that_advice_training_starts_again(place, killed):
    shutil.rmtree(killed / "epochs")
    train.main(words(place, killed))
    assert (killed / "metrics.csv").read_text() == (place / "unstopped" / "metrics.csv").read_text()


def test_the_settings_are_those_of_the_epoch_whatever_lies_beside_it(
    place, killed, tmp_path, refused
):
    (killed / "config.toml").unlink()
    line = refused(train.main, *words(place, killed, "--resume", "--training.seed", "1"))
    assert (
        "last.ckpt: the training has training.seed 0, now it is 1; resume with the same settings"
        in line
    )
    other = tmp_path / "other"
    train.main(words(place, other, "--training.seed", "1"))
    shutil.copy(other / "epochs" / "last.ckpt", killed / "epochs")
    line = refused(train.main, *words(place, killed, "--resume"))
    assert "last.ckpt: the training has training.seed 1, now it is 0" in line


def test_images_that_changed_under_their_names(place, killed, tmp_path, refused):
    images = shutil.copytree(place / "images", tmp_path / "images")
    train.main([*words(place, killed, "--resume"), "--data.source", str(images)])  # they may move
    shutil.copy(images / "train" / "plum" / "0.png", images / "train" / "plum" / "1.png")
    line = refused(train.main, *words(place, killed, "--resume"), "--data.source", str(images))
    assert (
        "last.ckpt: the training had other images than there are now; resume with those, or remove"
        in line
    )


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"", None])
def test_metrics_are_not_read_back(place, killed, content):
    (killed / "metrics.csv").write_bytes(content) if content is not None else (
        killed / "metrics.csv"
    ).unlink()
    resumed(place, killed)


class Command:
    """An object whose unpickling runs a command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("how", ["zip", "plain", "old"])
def test_nothing_in_a_file_is_executed(place, killed, tmp_path, refused, how, sealed):
    harm = {"epoch": 1, "settings": {}, "state_dict": Command(f"touch {tmp_path / 'executed'}")}
    path = killed / "epochs" / "last.ckpt"
    if how == "plain":
        path.write_bytes(pickle.dumps(harm))
    else:
        torch.save(harm, path, _use_new_zipfile_serialization=how == "zip")
    if sealed:
        seal(path)
    shutil.copy(path, killed / "epochs" / "best.ckpt")
    line = refused(train.main, *words(place, killed, "--resume"))
    assert "last.ckpt: " in line and "weights_only" not in line
    start = refused(train.main, *words(place, tmp_path / "new", "--training.start", str(path)))
    assert start.startswith(f"error: training.start: {path}: ")
    assert not (tmp_path / "executed").exists()


def seal(path: Path) -> None:
    """Give whatever lies there a seal, as somebody may who can write in the folder."""
    content = path.read_bytes()
    path.write_bytes(content + hashlib.sha256(content).hexdigest().encode())


def without(*keys: str) -> Callable[[dict], object]:
    """Remove one value somewhere inside."""

    def change(epoch: dict) -> None:
        for key in keys[:-1]:
            epoch = epoch[key]
        del epoch[keys[-1]]

    return change


FORGERIES: dict[str, Callable[[dict], object]] = {
    "no weights": without("state_dict"),
    "no loops": without("loops", "fit_loop"),
    "no optimizer": without("optimizer_states"),
    "no best network": without("best"),
    "no callbacks": without("callbacks"),
    "no metrics": without("metrics"),
    "no version": without("pytorch-lightning_version"),
    "another network": lambda epoch: epoch.update(
        state_dict={name: torch.ones(3) for name in epoch["state_dict"]}
    ),
    "another best network": lambda epoch: epoch.update(best={}),
    "settings are a list": lambda epoch: epoch.update(settings=[1]),
    "an optimizer of texts": lambda epoch: epoch.update(
        optimizer_states=[{"state": "x", "param_groups": 3}]
    ),
    "a schedule beyond its end": lambda epoch: epoch["lr_schedulers"][0].update(last_epoch=99),
    "an epoch long ago": lambda epoch: epoch.update(epoch=-(1 << 40)),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_sealed_file_of_another_content(place, killed, refused, forgery):
    for path in (killed / "epochs").iterdir():
        epoch = read_epoch(path)
        FORGERIES[forgery](epoch)
        write_epoch(epoch, path)
    assert "last.ckpt: " in refused(train.main, *words(place, killed, "--resume"))


def test_every_flipped_bit_is_noticed(killed):
    path = killed / "epochs" / "last.ckpt"
    content = path.read_bytes()
    for place in range(0, len(content), len(content) // 200):
        path.write_bytes(
            content[:place] + bytes([content[place] ^ (1 << place % 8)]) + content[place + 1 :]
        )
        with pytest.raises(InputError, match="damaged"):
            read_epoch(path)


def test_a_file_of_a_terabyte_is_refused_at_once(killed):
    path = killed / "epochs" / "last.ckpt"
    with path.open("r+b") as file:
        file.truncate(1 << 40)  # zeros, which take no place on the disk
    with pytest.raises(InputError, match="damaged"):
        read_epoch(path)


class Counting(lightning.Callback):
    """Counts the epochs that it is told of."""

    epochs = 0

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        self.epochs += 1


@pytest.mark.long
def test_callbacks_are_called_and_the_network_of_a_kept_epoch_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SIZES, "selection", 20)
    config = Config(
        data=DataSection(height=16, width=16, train_scenes=32),
        network=NetworkSection(layers=(4, "P4", "D8"), timesteps=6),
        training=TrainingSection(epochs=2, batch_size=8, precision="float32"),
    )
    counting = Counting()
    checkpoint = spikesam.train(config, tmp_path / "a", callbacks=[counting])
    assert counting.epochs == 2
    best = tmp_path / "a" / "epochs" / "best.ckpt"
    assert fit.network_of_epoch(config, best).sha256 == checkpoint.network.sha256
    wider = NetworkSection(layers=(5, "P4", "D8"), timesteps=6)
    with pytest.raises(InputError, match=f"^{best}: .* has shape"):
        fit.network_of_epoch(config.model_copy(update={"network": wider}), best)
    missing = tmp_path / "none.ckpt"
    with pytest.raises(InputError, match=f"^{missing}: no such file"):
        fit.network_of_epoch(config, missing)
    with pytest.raises(InputError, match="callbacks has the member 5"):
        spikesam.train(config, tmp_path / "b", callbacks=[5])
