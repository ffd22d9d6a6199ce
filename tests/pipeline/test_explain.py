"""Maps of a raster file, also where torch and lava do not exist; and Grad-CAM of a network and
images.
"""

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import spikesam
from spikesam.pipeline.cli.options import summary_of
from spikesam.pipeline.explain import main
from spikesam.pipeline.images.encoding import mean_spikes
from spikesam.pipeline.images.preprocessing import read_image
from spikesam.pipeline.maps.method import offline_methods
from spikesam.pipeline.maps.methods.grad_cam import grad_cam, snn_grad_cam
from spikesam.pipeline.maps.sam import spike_activation_map
from spikesam.pipeline.networks.checkpoint import load
from spikesam.pipeline.networks.differentiable import DifferentiableNetwork
from spikesam.pipeline.networks.samples import choose_samples
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.maps.schema import MapHeader, MapLayer
from spikesam.recordings.raster.arrays import write_raster
from tests.pipeline.without_torch import EXPLAIN_WITHOUT_TORCH
from tests.recordings.rasters import record


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    return record(tmp_path / "run", 5)


def run(*arguments: object) -> None:
    main([str(argument) for argument in arguments])


def test_command_says_what_it_wrote(
    raster: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(
        raster,
        "--out",
        tmp_path / "sam.h5",
        "--gamma",
        0.2,
        "--variant",
        "authors-code",
        "--layers",
        "conv1",
        "input",
    )
    printed = capsys.readouterr()
    assert printed.out.startswith(f"{tmp_path}/sam.h5  ")
    assert printed.out.endswith(
        "maps of 5 samples, 6 steps, layers input, conv1 (sums, and all steps of 4 samples)\n"
    )
    assert printed.err == ""
    with MapReader(tmp_path / "sam.h5") as maps:
        assert maps.header.parameters == {
            "gamma": 0.2,
            "variant": "authors-code",
            "include_current": True,
        }


def test_command_draws_the_first_samples(
    raster: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(raster, "--out", tmp_path / "sam.h5", "--figures", tmp_path / "figures")
    names = ["overview", "spike_rates", "raster_conv1", "sam_000", "sam_001", "sam_002", "sam_003"]
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"{tmp_path}/figures/{name}.png" for name in names
    ]
    assert all((tmp_path / "figures" / f"{name}.png").stat().st_size > 1000 for name in names)


def test_a_raster_of_unknown_origin_is_explained_and_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spikes = np.random.default_rng(0).random((3, 6, 2, 4, 5)) < 0.3
    raster = write_raster(
        tmp_path / "mine.h5", {"a": spikes, "b": spikes[:, :, :1]}, labels=[2, -1, 0]
    )
    run(raster, "--out", tmp_path / "sam.h5", "--figures", tmp_path / "figures")
    assert "maps of 3 samples, 6 steps, layers a, b" in capsys.readouterr().out
    assert (tmp_path / "figures" / "sam_002.png").stat().st_size > 1000
    with MapReader(tmp_path / "sam.h5") as maps:
        assert maps.predictions.tolist() == [-1, -1, -1]
        expected = spike_activation_map(spikes.swapaxes(0, 1), 0.5)
        np.testing.assert_allclose(maps["a"][:], expected, rtol=1e-6)
        np.testing.assert_allclose(
            maps["a"].sum, expected.sum(axis=0), rtol=1e-6
        )  # without delay every step matters


def test_nothing_is_overwritten_unless_asked(raster: Path, tmp_path: Path, refused: Any) -> None:
    out = tmp_path / "sam.h5"
    out.write_text("precious")
    said = refused(main, raster, "--out", out)
    assert (
        said
        == f"error: {out}: already exists; choose another --out, or replace it with --overwrite"
    )
    assert out.read_text() == "precious"
    run(raster, "--out", out, "--overwrite")
    with MapReader(out) as maps:
        assert maps.n_samples == 5


def test_works_where_torch_and_lava_cannot_be_imported(raster: Path, tmp_path: Path) -> None:
    arguments = [
        str(raster),
        "--out",
        str(tmp_path / "sam.h5"),
        "--figures",
        str(tmp_path / "figures"),
    ]
    done = subprocess.run(
        [sys.executable, "-c", EXPLAIN_WITHOUT_TORCH, *arguments], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    with MapReader(tmp_path / "sam.h5") as maps:
        assert maps["conv1"].sum[4].any()


def test_a_folder_is_enough_and_maps_of_another_gamma_go(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_raster(tmp_path / "raster.h5", {"conv1": np.eye(4).reshape(1, 4, 1, 2, 2)})
    run(tmp_path)
    run(tmp_path, "--gamma", "0.2")
    said = capsys.readouterr().out
    assert (said.count(f"{tmp_path / 'sam.h5'}  "), said.count("replaced other maps in")) == (2, 1)
    for gamma in (0.1, 0.3):  # as a cell of a notebook that is run twice
        with (
            pytest.warns(UserWarning, match="replaced other maps in"),
            spikesam.explain(tmp_path, gamma=gamma) as maps,
        ):
            assert maps.header.parameters["gamma"] == gamma
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spikesam.explain(tmp_path, gamma=gamma).close()  # the same once more
    with pytest.raises(spikesam.InputError, match="already exists"):
        spikesam.explain(tmp_path, out=tmp_path / "sam.h5")
    (tmp_path / "sam.h5").write_bytes(b"mine")
    with pytest.raises(spikesam.InputError, match="already exists"):
        spikesam.explain(path)
    assert (tmp_path / "sam.h5").read_bytes() == b"mine"


def test_maps_of_a_network_need_a_name(refused: Any) -> None:
    assert refused(main, "cluttered-digits", "--method", "occlusion").startswith(
        "error: --out is needed"
    )


def test_fewer_images_are_told(
    workplace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(
        workplace / "snn.safetensors",
        "--data",
        workplace / "images",
        "--samples",
        22,
        "--out",
        tmp_path / "snn.h5",
    )
    assert " has 21 images of these classes, fewer than 22\n" in capsys.readouterr().out
    with pytest.warns(
        UserWarning, match="^explain: .* has 21 images of these classes, fewer than 22$"
    ) as said:
        spikesam.explain(
            workplace / "snn.safetensors", data=workplace / "images", samples=22
        ).close()
    assert [each.filename for each in said if each.category is UserWarning] == [__file__]


def test_grad_cam_of_a_spiking_network(
    workplace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, network = tmp_path / "snn.h5", workplace / "snn.safetensors"
    words = ("--data", workplace / "images", "--samples", 3, "--seed", 3)
    run(network, *words, "--out", out, "--figures", tmp_path / "figures")
    printed = capsys.readouterr()
    assert "snn-grad-cam maps of 3 samples, 8 steps, layers input, conv1, conv2" in printed.out
    assert [path.name for path in sorted((tmp_path / "figures").iterdir())] == [
        "overview.png",
        *(f"snn-grad-cam_{number:03d}.png" for number in range(3)),
    ]
    checkpoint = load(str(network))
    samples = choose_samples(str(workplace / "images"), checkpoint, 3, 3)
    labels = samples.table.label
    (inputs,) = samples.encoded(range(3), checkpoint.network, 3, 3)
    differentiable = DifferentiableNetwork(checkpoint.network)
    _, expected = snn_grad_cam(differentiable, inputs, labels, [])
    with MapReader(out) as maps:
        assert (maps.header.source, maps.header.parameters) == (
            checkpoint.network.sha256,
            {"seed": 3},
        )
        np.testing.assert_array_equal(maps.samples.label, labels)
        logits = differentiable(torch.from_numpy(inputs.unpacked()).float())[0]
        np.testing.assert_array_equal(maps.predictions, logits.argmax(1))
        for layer in maps:
            for sample in range(3):
                found = maps[layer][sample]
                np.testing.assert_allclose(found, expected[layer][:, sample], rtol=1e-4, atol=1e-7)
                matter = maps[layer].steps_that_matter
                summed = expected[layer][:matter, sample].sum(axis=0)
                np.testing.assert_allclose(maps[layer].sum[sample], summed, rtol=1e-4, atol=1e-6)


def test_grad_cam_of_an_ann(
    workplace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, image = tmp_path / "ann.h5", workplace / "images" / "pear" / "0.png"
    run(
        workplace / "ann.safetensors",
        "--data",
        image,
        "--out",
        out,
        "--figures",
        tmp_path / "figures",
    )
    printed = capsys.readouterr().out
    assert printed.startswith(
        "no label is known of 1 of 1 sample: explained for the predicted class\n"
    )
    assert "grad-cam maps of 1 sample, 1 step, layers conv2" in printed
    ann = load(str(workplace / "ann.safetensors"))
    inputs = mean_spikes(ann.preprocessing.image(read_image(image))[None])
    with MapReader(out) as maps:
        layers = (MapLayer("conv2", 2, (8, 12), 1),)
        assert maps.header == MapHeader(
            "grad-cam", ann.network.sha256, {}, 1, layers, (0,), 1, "network_sha256"
        )
        assert maps.samples.label[0] == -1
        expected = grad_cam(
            DifferentiableNetwork(ann.network), inputs, maps.predictions, ["conv2"]
        )[1]["conv2"]
        np.testing.assert_allclose(maps["conv2"][0], expected[0], rtol=1e-5, atol=1e-7)
        np.testing.assert_array_equal(maps["conv2"].sum, maps["conv2"][0])  # of one step


def test_help_names_every_method_and_whose_each_option_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    help_text = " ".join(capsys.readouterr().out.split())
    for name, method in offline_methods().items():
        assert f"{name} {summary_of(method.__doc__).rstrip('.')}" in help_text
    assert (
        "--rule {signed,positive} exact shares" in help_text
        and "; for relevance (default: signed)" in help_text
    )
