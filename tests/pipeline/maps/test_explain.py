"""Maps of a raster from its recorded spikes alone, in a file or in memory, and what is refused."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import h5py
import numpy as np
import pytest

from spikesam.common.errors import InputError
from spikesam.pipeline.maps.explain import explain_source, write_maps
from spikesam.pipeline.maps.layers import kept_steps
from spikesam.pipeline.maps.methods.sam import SpikeActivationMaps
from spikesam.pipeline.maps.sam import Variant, spike_activation_map
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.arrays import write_raster
from spikesam.recordings.raster.reader import RasterReader
from tests.recordings.rasters import record, record_silence, samples


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    return record(tmp_path / "run", 5)


def test_maps_are_those_of_the_definition(raster: Path, tmp_path: Path) -> None:
    with (
        RasterReader(raster) as reader,
        explain_source(
            reader, tmp_path / "sam.h5", gamma=0.3, include_current=False, steps="all"
        ) as maps,
    ):
        assert list(maps) == ["input", "conv1"]  # fc1 has no places
        header = maps.header
        assert (header.method, header.source) == ("sam", reader.raster_digest)
        assert header.parameters == {"gamma": 0.3, "variant": "paper", "include_current": False}
        np.testing.assert_array_equal(maps.samples.index, reader.samples.index)
        np.testing.assert_array_equal(maps.samples.label, reader.samples.label)
        np.testing.assert_array_equal(maps.predictions, reader.predictions)
        for layer in map(reader.layer, maps):
            expected = spike_activation_map(reader.spikes(layer), 0.3, include_current=False)
            np.testing.assert_allclose(maps[layer.name][:], expected, rtol=1e-6)
            matter = reader.steps_that_matter(layer)
            np.testing.assert_allclose(
                maps[layer.name].sum, expected[:matter].sum(axis=0), rtol=1e-6
            )


@pytest.mark.parametrize("variant", ["paper", "authors-code"])
def test_sums_do_not_depend_on_which_steps_are_kept(
    raster: Path, tmp_path: Path, variant: Variant
) -> None:
    kept = {
        "pictured": ((0, 1, 2, 3, 4, 5), 4),
        "all": ((0, 1, 2, 3, 4, 5), 5),
        "none": ((), 0),
        "1::2": ((1, 3, 5), 5),
    }
    with (
        RasterReader(raster) as reader,
        explain_source(reader, tmp_path / "x.h5", steps="all", variant=variant) as expected,
    ):
        for number, (steps, (which, count)) in enumerate(kept.items()):
            with explain_source(
                reader, tmp_path / f"{number}.h5", steps=steps, variant=variant
            ) as found:
                assert (found.steps, found.header.stepped) == (which, count)
                for layer in expected:
                    np.testing.assert_array_equal(found[layer].sum, expected[layer].sum)
                    if which:
                        np.testing.assert_array_equal(
                            found[layer][:count], expected[layer][:count][list(which)]
                        )


def test_maps_that_take_too_much_room_are_refused_although_few_are_kept(tmp_path: Path) -> None:
    """64 MiB a map: up to step 16 that is more than a sample may take."""
    record_silence(tmp_path / "raster.h5", samples(1), timesteps=17, shape=(1, 4096, 4096))
    with (
        RasterReader(tmp_path / "raster.h5") as reader,
        pytest.raises(
            InputError,
            match="up to step 16 take 1,140,850,688 bytes a sample.*; keep earlier steps, or none",
        ),
    ):
        explain_source(reader, tmp_path / "sam.h5", steps="16:")
    assert not (tmp_path / "sam.h5").exists()


def test_threads_change_neither_order_nor_maps_and_progress_counts_every_sample(
    raster: Path, tmp_path: Path
) -> None:
    with RasterReader(raster) as reader:
        method = SpikeActivationMaps().of_raster(reader, reader.layers[:2], ((), 0))
        for workers in (1, 3):
            seen: list[int] = []
            write_maps(method, tmp_path / f"{workers}.h5", seen.append, workers)
            assert seen == [1, 1, 1, 1, 1]
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "3.h5").read_bytes()


@pytest.mark.filterwarnings("ignore:explain. replaced other maps")
def test_threads_that_explain_one_raster_take_turns(tmp_path: Path) -> None:
    """A neuron that fires at both of two steps has the map 1, then 1 + exp(-γ)."""
    path = write_raster(tmp_path / "raster.h5", {"conv1": np.ones((1, 2, 1, 1, 2))})
    gammas, together = [0.1, 0.2, 0.3, 0.4], Barrier(4)

    def summed(gamma: float) -> float:
        together.wait()
        with explain_source(path, gamma=gamma) as maps:
            return float(maps["conv1"].sum[0, 0, 0])

    with ThreadPoolExecutor(4) as pool:
        sums = list(pool.map(summed, gammas))
    assert sums == pytest.approx([2 + np.exp(-gamma) for gamma in gammas])


def test_chosen_layers_come_in_order_of_depth(raster: Path, tmp_path: Path) -> None:
    with RasterReader(raster) as reader:
        explain_source(reader, tmp_path / "both.h5", layers=["conv1", "0"]).close()
        explain_source(reader, tmp_path / "one.h5", layers=["1", "conv1"]).close()
    with MapReader(tmp_path / "both.h5") as both, MapReader(tmp_path / "one.h5") as one:
        assert list(both) == ["input", "conv1"]
        assert list(one) == ["conv1"]


def test_a_layer_without_places_has_a_row_for_each_neuron_on_demand(
    raster: Path, tmp_path: Path
) -> None:
    with RasterReader(raster) as reader:
        bands = explain_source(reader, tmp_path / "sam.h5", layers=["fc1"], gamma=0.3, steps="all")[
            "fc1"
        ]
        for sample, spikes in enumerate(reader["fc1"]):
            alone = spike_activation_map(spikes.reshape(-1, 1, 1, 7, 1), 0.3)[:, 0]
            np.testing.assert_array_equal(bands[sample], alone)
            np.testing.assert_allclose(
                bands.sum[sample], alone[: bands.steps_that_matter].sum(axis=0), rtol=1e-6
            )


def test_where_no_layer_has_places_all_have_bands(tmp_path: Path) -> None:
    spikes = np.zeros((1, 3, 2, 1, 1), np.bool_)
    spikes[0, :2, 1] = True  # the second neuron fires at steps 0 and 1
    with explain_source(write_raster(tmp_path / "raster.h5", {"fc1": spikes}), gamma=0.5) as maps:
        band = maps["fc1"][0][:, :, 0]
    np.testing.assert_allclose(band, [[0, 1], [0, 1 + np.exp(-0.5)], [0, 0]], rtol=1e-6)


def test_a_damaged_raster_leaves_no_maps(raster: Path, tmp_path: Path) -> None:
    content = bytearray(raster.read_bytes())
    with h5py.File(raster) as file:
        _, chunk = file["layers/001_conv1/spikes"].id.read_direct_chunk((3, 0, 0))
    content[content.find(chunk) + len(chunk) // 2] ^= 0xFF
    raster.write_bytes(content)
    with (
        RasterReader(raster) as reader,
        pytest.raises(InputError, match=r"/layers/001_conv1/spikes\[3\]"),
    ):
        explain_source(reader, tmp_path / "sam.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_raster_in_memory_is_explained_into_memory(raster: Path, tmp_path: Path) -> None:
    with (
        RasterReader(raster.read_bytes()) as in_memory,
        explain_source(in_memory) as found,
        explain_source(raster, tmp_path / "sam.h5") as expected,
    ):
        assert (found.path, found.content_digest) == (None, expected.content_digest)


@pytest.mark.parametrize(
    ("asked", "steps", "stepped"),
    [
        ("pictured", (0, 1, 2, 3, 4), 4),
        ("all", (0, 1, 2, 3, 4), 7),
        ("none", (), 0),
        ("1:3", (1, 2), 7),
        (" :2 ", (0, 1), 7),
        ("3:", (3, 4), 7),
        (":", (0, 1, 2, 3, 4), 7),
        ("::2", (0, 2, 4), 7),
        ("1::3", (1, 4), 7),
        (":4:3", (0, 3), 7),
        ("0:999999999:999999999", (0,), 7),
    ],
)
def test_each_form(asked: str, steps: tuple[int, ...], stepped: int) -> None:
    assert kept_steps(asked, 5, 7) == (steps, stepped)


@pytest.mark.parametrize(
    ("pictured", "expected"), [(0, ((), 0)), (1, ((0, 1), 1)), (9, ((0, 1), 3))]
)
def test_pictured_are_at_most_all_samples(
    pictured: int, expected: tuple[tuple[int, ...], int]
) -> None:
    assert kept_steps("pictured", 2, 3, pictured) == expected


def test_fewer_than_no_samples() -> None:
    with pytest.raises(
        InputError, match=r"^pictured: got -1, expected how many samples, at least 0$"
    ):
        kept_steps("pictured", 2, 3, -1)


NOTHING = "|some|ALL|3|-1:|:-1|::-1|::0|::00|1:2:3:4|1.5:|a:b|1 :2|0:1,2:3|١:|1234567890:"
FORMS = 'got .*, expected "pictured", "all", "none", or first:last:every'


@pytest.mark.parametrize(
    ("asked", "message"),
    [(asked, FORMS) for asked in NOTHING.split("|")]
    + [
        (asked, f"'{asked}' means none of the 5 steps, 0 to 4$")
        for asked in ("5:", "2:2", "3:1", ":0", "999999999:")
    ],
)
def test_what_means_nothing_or_no_step(asked: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^steps: {message}"):
        kept_steps(asked, 5, 7)
