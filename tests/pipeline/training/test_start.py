"""A training that begins with the weights of another one."""

import pytest
import torch

from spikesam.pipeline import train
from spikesam.pipeline.config import NetworkSection
from spikesam.pipeline.training.epochs import write_epoch
from spikesam.pipeline.training.spiking_network import SpikingNetwork
from spikesam.pipeline.training.start import start_from
from spikesam.recordings.errors import InputError
from tests.pipeline.small_networks import class_folders
from tests.pipeline.training.test_fit import CONFIG

LAYERS = (4, "P", 6, "P4", "D8")


def saved(model, path):
    """An epoch of this network."""
    parameters = {f"model.{name}": value for name, value in model.state_dict().items()}
    return written(path, parameters)


def written(path, parameters):
    """The parts of an epoch that count here."""
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
        write_epoch(torch.ones(2), path) if content == "tensor" else written(path, [1])
    with pytest.raises(InputError, match=r"^training\.start: .*best\.ckpt: (no such file|(damaged, or )?not an epoch)"):
        start_from(network(), path)


@pytest.mark.filterwarnings("ignore")
def test_training_goes_on_where_the_other_ended_and_resumes(tmp_path, capsys):
    class_folders(tmp_path / "images" / "train", per_class=16, size=20)
    (tmp_path / "config.toml").write_text(CONFIG)
    arguments = ["--config", str(tmp_path / "config.toml"), "--data.source", str(tmp_path / "images"), "--out"]
    train.main([*arguments, str(tmp_path / "first")])
    begun = tmp_path / "first" / "epochs" / "best.ckpt"
    second = [*arguments, str(tmp_path / "second"), "--training.start", str(begun), "--training.learning_rate", "1e-9"]
    train.main([*second, "--training.epochs", "1"])
    begun.unlink()  # whoever resumes needs it no longer
    capsys.readouterr()
    with pytest.raises(SystemExit):
        train.main([*second, "--training.epochs", "2", "--resume"])
    refused = capsys.readouterr().err
    assert "the training has training.epochs 1, now it is 2; resume with the same settings" in refused
    assert refused.count("\n") == 1
    train.main([*second, "--training.epochs", "1", "--resume"])
    lines = (tmp_path / "second" / "metrics.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["epoch", "1"]
    accuracy = lines[0].split(",").index("selection_accuracy")
    assert float(lines[1].split(",")[accuracy]) > 0.6  # chance is 1/3, and nothing was learnt here
