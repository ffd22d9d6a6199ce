"""The configuration files: every committed one is valid, mistakes are one line, and saving loses
nothing.
"""

from pathlib import Path

import pytest

from spikesam.common.errors import InputError
from spikesam.pipeline.cli.command_line import parse_with_config
from spikesam.pipeline.config import CONFIGS, Config, load_config, save_config
from spikesam.pipeline.networks.layer_list import count_inputs, plan_layers
from spikesam.pipeline.train import TrainCommand


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_committed_configurations(path):
    assert plan_layers(load_config(path).network.layers)
    header = path.read_text(encoding="utf-8").partition("[")[0]
    assert "spikesam " in header  # the command
    assert "expected" in header  # time and accuracy


def test_the_default_needs_no_file():
    assert load_config().run.checkpoint == "cluttered-digits"


def test_saved_and_read_back(tmp_path):
    config = load_config(CONFIGS / "tiny_imagenet_10.toml")
    save_config(config, tmp_path / "config.toml")
    assert load_config(tmp_path / "config.toml") == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("network.leak = 1.5", "network.leak is 1.5, expected less than or equal to 1"),
        (
            "run.backend = 'torhc'",
            "expected 'auto', 'event', 'lava' or 'torch'; did you mean 'torch'?",
        ),
        (
            "network.timesteps = 1_000_000_000",
            "network.timesteps is 1000000000, expected less than or equal",
        ),
        (
            "conversion.timesteps = 70_000",
            "conversion.timesteps is 70000, expected less than or equal",
        ),
        ("training.workers = 200", "training.workers is 200, expected less than or equal to 128"),
        (
            "training.seed = 4_294_967_296",
            "training.seed is 4294967296, expected less than 4294967296",
        ),
        (
            "data.height = 1_000_000_000",
            "data.height is 1000000000, expected less than or equal to 4096",
        ),
        (
            "data.train_scenes = 1_000_000_000",
            "data.train_scenes is 1000000000, expected less than or equal",
        ),
    ],
)
def test_mistakes_name_the_file_the_key_and_its_limit(tmp_path, text, message):
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(InputError) as error:
        load_config(tmp_path / "c.toml")
    assert str(error.value).startswith(f"{tmp_path / 'c.toml'}: ") and message in str(error.value)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            (1_000_000_000, "D8"),
            "network.layers, entry 1: got 1000000000, expected a number of 1 to 65,536",
        ),
        (("D" + 5000 * "9",), "network.layers, entry 1: got 'D999"),
        (2000 * (4,), "network.layers: got 2,000 entries, expected at most 1,024"),
        (
            (60_000, 60_000, "D8"),
            "network.layers: 35,473,620,000 weights, expected at most 536,870,912",
        ),
    ],
)
def test_layers_that_no_network_needs(layers, message):
    with pytest.raises(InputError, match=message):
        count_inputs(plan_layers(layers), (3, 80, 80))


def test_layers_on_a_command_line_are_numbers_and_names():
    arguments = ["--network.layers", "16", "P", "D8"]
    command, config = parse_with_config(
        TrainCommand, load_config, arguments, prog="train", description=""
    )
    assert command.network.layers == config.network.layers == (16, "P", "D8")


def test_defaults_are_valid():
    assert Config() == Config.model_validate_json(Config().model_dump_json())


def test_a_bundled_configuration_is_read_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config(Path("cluttered_digits")) == load_config(CONFIGS / "cluttered_digits.toml")
    Path("chirps").mkdir()  # a folder of data, perhaps
    assert load_config(Path("chirps")) == load_config(CONFIGS / "chirps.toml")
    for name in ("clutered", "elsewhere/cluttered_digits"):
        with pytest.raises(
            InputError,
            match=rf"^{name}: neither a file nor a bundled configuration \(chirps, cluttered_",
        ):
            load_config(Path(name))
    Path("cluttered_digits").write_text(
        "[network]\ntimesteps = 3\n"
    )  # a file of that name comes first
    assert load_config(Path("cluttered_digits")).network.timesteps == 3
