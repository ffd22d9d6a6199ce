"""fig2 and fig3, whole, the maps they compare, and sweeps over γ, in which a raster is decoded
once.
"""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from paper import fig2, fig3
from paper.common.heatmaps import (
    at_steps,
    by_step,
    count_maps,
    largest,
    mean_where_not_flat,
    row_of_maps,
    sam_maps,
    snn_grad_cams,
    step_of_largest,
    swept,
)
from paper.measures.maps import heatmap_variance
from spikesam import RasterReader
from spikesam.maps import spike_activation_maps
from spikesam.pipeline.maps.sam import spike_activation_map
from spikesam.recordings import reader as reading
from tests.paper.setups import small_setup


def test_sam_comes_from_the_raster_at_the_steps_that_can_still_change_the_answer(
    tmp_path: Path,
) -> None:
    setup = small_setup(tmp_path)
    with RasterReader(setup.recording(setup.networks.surrogate.network, setup.images)) as raster:
        spikes = raster.spikes("conv1", slice(2, 3))
        expected = spike_activation_map(spikes, 0.3)[:, 0]
        maps = sam_maps(raster, "conv1", 2, 0.3)
        assert (
            len(maps) == raster.steps_that_matter("conv1") == 6
        )  # of 8; conv2 and fc1 take a step each
        np.testing.assert_allclose(maps, expected[:6], rtol=1e-6)
        np.testing.assert_array_equal(count_maps(raster, "conv1", 2), spikes[:6, 0].sum(axis=1))


def test_grad_cams_are_cached_and_cut_to_the_same_steps(tmp_path: Path) -> None:
    setup = small_setup(tmp_path)
    with RasterReader(setup.recording(setup.networks.surrogate.network, setup.images)) as raster:
        maps = snn_grad_cams(setup, setup.images, raster)
        assert {layer: each.shape for layer, each in maps.items()} == {
            "conv1": (9, 6, 16, 24),
            "conv2": (9, 7, 8, 12),
        }
        assert all(each.min() >= 0 and each.max() > 0 for each in maps.values())
        assert not maps["conv2"][:, :2].any()  # the image has not arrived
        again = snn_grad_cams(small_setup(tmp_path), setup.images, raster)
        other = snn_grad_cams(setup, setup.images, raster, seed=1)
    np.testing.assert_array_equal(again["conv1"], maps["conv1"])
    assert not np.array_equal(other["conv1"], maps["conv1"])


def test_steps_too_late_to_matter_are_blank() -> None:
    maps = np.arange(3.0, dtype=np.float32)[:, None, None]
    shown = at_steps(maps, [0, 2, 3])
    assert shown[1] is not None and shown[1].item() == 2
    assert shown[2] is None


def test_a_row_is_relative_to_its_largest_value() -> None:
    ones, picture = np.ones((2, 2), np.float32), np.random.default_rng(0).random((64, 64, 3))
    row = row_of_maps("conv1", [2 * ones, None, 4 * ones])
    assert [None if cell is None else cell.heat[0, 0] for cell in row.cells] == [0.5, None, 1]
    row = row_of_maps("conv1", [2 * ones, 0 * ones], picture, each=True)
    image, first, silent = row.cells
    assert image.image is picture and image.heat is None
    assert first.image is picture and first.heat.max() == 1
    assert silent.heat.max() == 0


def test_a_measure_step_by_step_and_what_becomes_of_it_over_steps() -> None:
    maps = np.array([[[0, 0]], [[0, 1]], [[2, 2]], [[0, 2]]], np.float32)
    steps = by_step(heatmap_variance, maps)
    assert steps == [0, 0.25, 0, 0.25]
    assert max(steps) == heatmap_variance(maps)
    table = pd.DataFrame(
        {
            "image": [0] * 4 + [1] * 4,
            "layer": "conv1",
            "step": [0, 1, 2, 3] * 2,
            "value": [0, 0.2, 0, 0.1] + [0.0] * 4,
        }
    )
    for summary, values in (
        (largest, [0.2, 0]),
        (step_of_largest, [1, 0]),
        (mean_where_not_flat, [0.15, 0]),
    ):
        found = summary(table)
        assert found.columns.tolist() == ["image", "layer", "value"]
        assert found["image"].tolist() == [0, 1]
        np.testing.assert_allclose(found["value"], values)


def test_fig2_compares_the_first_convolution_and_the_chosen_ones(tmp_path: Path) -> None:
    setup = small_setup(tmp_path, layers=("conv2",), shown=2)
    result = fig2.run(setup)
    assert [claim.what for claim in result.claims] == [
        "total variation at conv1",
        "total variation at conv2",
    ]
    table = result.table
    assert (
        (table["low"] >= 0) & (table["low"] <= table["mean"]) & (table["mean"] <= table["high"])
    ).all()
    assert (table["high"] <= 1).all()
    assert set(table["n"]) == {9}
    assert sorted(path.name for path in setup.out.glob("*.png")) == ["fig2.png", "fig2_2.png"]


def test_fig2_pictures_without_images_differ(tmp_path: Path) -> None:
    pictures = []
    for shown in (True, False):
        setup = small_setup(tmp_path, show_images=shown, shown=1)
        fig2.run(setup)
        pictures.append((setup.out / "fig2.png").read_bytes())
    assert pictures[0] != pictures[1]


def test_fig3_has_a_verdict_per_convolution_and_two_on_depth(tmp_path: Path) -> None:
    setup = small_setup(tmp_path)
    result = fig3.run(setup)
    assert [claim.what for claim in result.claims[:2]] == [
        "heatmap variance at conv1",
        "heatmap variance at conv2",
    ]
    assert len(result.claims) == 4
    rows = result.table.set_index(["measure", "layer", "map"])["mean"]
    for layer in ("conv1", "conv2"):
        for name in fig3.MAPS:
            assert 0 < rows[fig3.MEAN, layer, name] <= rows[fig3.LARGEST, layer, name] <= 0.25
    assert (setup.out / "fig3.png").stat().st_size > 5000


@pytest.mark.parametrize("experiment", [fig2, fig3])
def test_one_image_gives_numbers_but_no_verdict(tmp_path: Path, experiment: object) -> None:
    setup = small_setup(tmp_path, images=1)
    result = experiment.run(setup)  # type: ignore[attr-defined]
    assert {claim.same for claim in result.claims} == {"cannot say"}
    assert all("no interval" in claim.ours for claim in result.claims)


GAMMAS = [gamma / 10 for gamma in range(11)]


def test_every_layer_of_an_image_before_the_next_with_each_chunk_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup, decoded = small_setup(tmp_path, images=3), Counter[bytes]()
    path, decode = (
        setup.recording(setup.networks.surrogate.network, setup.images),
        reading.decompress,
    )

    def counting(stored: bytes, size: int) -> bytes:
        decoded[stored] += 1
        return decode(stored, size)

    monkeypatch.setattr(reading, "decompress", counting)
    found = list(swept(setup, path, GAMMAS))
    assert decoded and set(decoded.values()) == {1}
    assert [(image, layer) for image, layer, _ in found] == [
        (i, layer) for i in range(3) for layer in ("conv1", "conv2")
    ]
    with RasterReader(path) as raster:
        for image, layer, maps in found:
            packed = raster.packed(layer, image)[: raster.steps_that_matter(layer)]
            for gamma, of_gamma in zip(GAMMAS, maps, strict=True):
                (alone,) = spike_activation_maps(packed, raster.layer(layer).shape, [gamma])
                np.testing.assert_array_equal(of_gamma, alone)
