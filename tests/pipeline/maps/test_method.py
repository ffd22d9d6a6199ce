"""What every method of maps keeps to, and how files say which one made them."""

import subprocess
import sys
from dataclasses import FrozenInstanceError, field, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import numpy as np
import pytest

from spikesam.common.arguments import Option, options_of
from spikesam.common.errors import InputError
from spikesam.common.progress import Tracker
from spikesam.pipeline.engine.simulate import simulate
from spikesam.pipeline.maps.explain import compute_maps, explain_source, write_maps
from spikesam.pipeline.maps.method import (
    Explained,
    Explainer,
    MapMethod,
    method_of,
    methods,
    offline_methods,
    summed,
)
from spikesam.pipeline.networks.checkpoint import load
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.maps.schema import MapHeader, MapLayer, Parameter, SourceName
from spikesam.recordings.raster.arrays import write_raster
from spikesam.recordings.schema import SampleTable
from tests.pipeline.small_networks import class_folders, small_ann, small_checkpoint

RAMP = MapHeader(
    "grad-cam", "ab" * 32, {}, 3, (MapLayer("conv1", 1, (2, 3), 2),), (0, 2), 1, "network_sha256"
)


def ramp(sample: int) -> Explained:
    """Maps whose pixels count up from the number of the sample, over 3 steps, of which 2 matter."""
    return summed(
        RAMP,
        sample,
        3 - sample,
        {"conv1": sample + np.arange(18, dtype=np.float32).reshape(3, 2, 3)},
    )


def test_a_method_of_ones_own(tmp_path: Path) -> None:
    samples = SampleTable(np.array([5, 6]), np.array([1, -1]))
    write_maps(
        Explainer(RAMP, samples, ramp, lambda _: [], "ramps of 2 samples"), tmp_path / "maps.h5"
    )
    with MapReader(tmp_path / "maps.h5") as maps:
        assert maps.header == RAMP
        assert maps.predictions.tolist() == [3, 2]
        assert maps.samples.label.tolist() == [1, -1]
        np.testing.assert_array_equal(
            maps["conv1"].sum, [[[6, 8, 10], [12, 14, 16]], [[8, 10, 12], [14, 16, 18]]]
        )
        np.testing.assert_array_equal(
            maps["conv1"][0], [[[0, 1, 2], [3, 4, 5]], [[12, 13, 14], [15, 16, 17]]]
        )
        with pytest.raises(InputError, match="of its first sample, not of sample 1"):
            maps["conv1"][1]


NAMES = list(methods())
KERNEL = {"gamma": 0.5, "variant": "paper", "include_current": True}
SAM = MapHeader("sam", "cd" * 32, KERNEL, 6, (MapLayer("conv1", 1, (2, 3), 5),))


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spiking network, its raster of three images, an ANN, and the images."""
    folder = tmp_path_factory.mktemp("methods")
    class_folders(folder / "data", per_class=1)
    small_ann(folder / "ann.safetensors")
    network = small_checkpoint(folder / "snn.safetensors")
    simulate(network, str(folder / "data"), out=folder / "run", samples=3).close()
    tokens = np.random.default_rng(0).random((2, 3, 8, 4, 2, 3)) < 0.5
    write_raster(folder / "tokens.h5", dict(zip(("q_lif", "k_lif"), tokens, strict=True)))
    return folder


def test_the_default_comes_first_and_the_run_makes_maps_of_its_own() -> None:
    assert ["sam", *sorted(set(NAMES) - {"sam"})] == NAMES
    assert set(NAMES) - set(offline_methods()) == {"graph-sam", "signed-relevance"}


@pytest.mark.parametrize("name", NAMES)
def test_every_method_says_what_files_commands_and_pictures_need(name: str) -> None:
    method = methods()[name]
    assert issubclass(method, MapMethod) and method.name == name
    assert method.title and method.shows and method.__doc__
    assert method.speaks_for in get_args(get_args(get_type_hints(MapMethod)["speaks_for"])[0])
    assert method.source in get_args(SourceName)
    assert set(method.parameters.values()) <= set(get_args(Parameter))
    values = {str: "paper", float: 0.5, bool: True, int: 1}
    parameters = {each: values[kind] for each, kind in method.parameters.items()}
    header = MapHeader(name, "cd" * 32, parameters, 1, SAM.layers[:0], source_name=method.source)
    assert method_of(header) is method
    assert isinstance(method.caption(parameters), str)
    for option, (kind, about, _) in options_of(method).items():
        assert about.about and not about.about.endswith("."), option
        assert kind is not None


@pytest.mark.parametrize("name", offline_methods())
def test_every_method_explains_and_its_file_says_so(
    name: str, workplace: Path, tmp_path: Path
) -> None:
    """Maps of a sample do not depend on what was explained before, and the function writes the same
    file.
    """
    method, images = (
        methods()[name](),
        {"data": (str(workplace / "data"),), "samples": 3, "seed": 2},
    )
    source = workplace / ("tokens.h5" if name == "attention" else "run/raster.h5")
    if method.source == "network_sha256":
        method = methods()[name](**images)
        source = workplace / ("ann.safetensors" if name == "grad-cam" else "snn.safetensors")
    assert method.path(str(source)) == source
    with pytest.raises(FrozenInstanceError):
        method.name = "other"
    with method.prepare(str(source), (), "pictured", 2) as explainer:
        assert method_of(explainer.header) is type(method)
        assert explainer.description.startswith(("maps of 3 samples", f"{name} maps of 3 samples"))
        assert (explainer.raster is None) == (method.source == "network_sha256")
        compute_maps(explainer, tmp_path / "maps.h5", Tracker())
        again = explainer.explain(2)
        assert len(explainer.subjects(np.array([0, 1], np.int32))) == 2
    with MapReader(tmp_path / "maps.h5") as maps:
        maps.verify()
        assert method_of(maps.header) is type(method)
        assert maps.header.stepped == (2 if method.layered else 0)
        for layer in maps:
            assert maps[layer].sum.any()
            np.testing.assert_array_equal(maps[layer].sum[2], again.sums[layer])
        first = {layer: maps[layer].sum for layer in maps}
    options = images if method.source == "network_sha256" else {}
    with explain_source(source, tmp_path / "again.h5", method=name, pictured=2, **options) as maps:
        assert {layer: maps[layer].sum.tobytes() for layer in maps} == {
            layer: sums.tobytes() for layer, sums in first.items()
        }
    assert (tmp_path / "again.h5").read_bytes() == (tmp_path / "maps.h5").read_bytes()


@pytest.mark.parametrize("name", offline_methods())
def test_every_method_refuses_what_it_cannot_explain(
    name: str, workplace: Path, tmp_path: Path
) -> None:
    foreign = {"gamma": "sam", "rule": "relevance", "samples": "grad-cam"}
    for option in foreign.keys() - options_of(methods()[name]).keys():
        with pytest.raises(
            InputError,
            match=f"^explain: {option} belongs to method .*{foreign[option]}.*, got method {name}$",
        ):
            explain_source(
                workplace / "run" / "raster.h5", tmp_path / "no.h5", method=name, **{option: 1}
            )
    with pytest.raises(
        InputError, match=f"^explain: depth is no option of any method; {name} has "
    ):
        explain_source(workplace / "run" / "raster.h5", tmp_path / "no.h5", method=name, depth=1)
    with pytest.raises(
        InputError, match="^explain: methd is no option of any method; did you mean 'method'"
    ):
        explain_source(workplace / "run" / "raster.h5", tmp_path / "no.h5", method=name, methd=1)
    with pytest.raises(InputError, match="^explain: got list, expected a "):
        explain_source([1], tmp_path / "no.h5", method=name)
    with pytest.raises(InputError, match="none"):
        explain_source("none", tmp_path / "no.h5", method=name)
    for given in ({"layers": ["conv1"]}, {"steps": "all"}) * (not methods()[name].layered):
        with pytest.raises(
            InputError, match=f"belongs to method grad-cam, snn-grad-cam; {name} maps the input"
        ):
            explain_source(workplace / "snn.safetensors", tmp_path / "no.h5", method=name, **given)
    if methods()[name].source == "network_sha256":
        for given, told in (
            ({"samples": 0}, "samples is 0, expected a whole number ≥ 1"),
            ({"seed": -1}, "seed is -1"),
        ):
            with pytest.raises(InputError, match=f"^explain: {told}"):
                explain_source(
                    workplace / "snn.safetensors", tmp_path / "no.h5", method=name, **given
                )
    assert not list(tmp_path.iterdir())


def test_a_method_refuses_numbers_beyond_the_limits_of_its_options() -> None:
    limits = Option("width", at_least=-1, below=9, above=0)
    option = ("width", Annotated[float | None, limits], field(default=None))
    wide: Any = make_dataclass("Wide", [option], bases=(methods()["sam"],), frozen=True)
    assert (wide().width, wide(width=0.5).width) == (None, 0.5)
    for width, told in ((-2.0, "≥ -1"), (9.0, "below 9"), (0.0, "above 0")):
        with pytest.raises(
            InputError, match=f"^explain: width is {width}, expected a number {told}$"
        ):
            wide(width=width)


def test_a_network_of_the_other_kind_is_refused_or_has_a_method_of_its_own(workplace: Path) -> None:
    data = {"data": (str(workplace / "data"),), "samples": 1}
    with explain_source(workplace / "snn.safetensors", method="grad-cam", **data) as maps:
        assert maps.header.method == "snn-grad-cam" and maps.path is None
    for name in ("snn-grad-cam", "rise"):
        with pytest.raises(InputError, match="ann.safetensors: an ANN, which does not spike"):
            explain_source(workplace / "ann.safetensors", method=name, **data)
        with pytest.raises(
            InputError, match=f"^explain: {name} explains a network of kind snn, got ann"
        ):
            explain_source(load(workplace / "ann.safetensors"), method=name, **data)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (replace(SAM, method="cam"), "method is 'cam', expected one of sam, .*grad-cam.*relevance"),
        (
            replace(SAM, method="grad-cam"),
            "parameters of grad-cam are gamma, variant, include_current, expected none",
        ),
        (
            replace(SAM, parameters={"gamma": 0.5}),
            "parameters of sam are gamma, expected gamma, variant, include_curr",
        ),
        (
            replace(SAM, parameters=KERNEL | {"gamma": "0.5"}),
            "gamma of sam is '0.5', expected a value of type float",
        ),
        (
            replace(SAM, parameters=KERNEL | {"gamma": 1}),
            "gamma of sam is 1, expected a value of type float",
        ),
        (
            replace(SAM, source_name="network_sha256"),
            "sam maps by network_sha256, expected raster_digest",
        ),
    ],
)
def test_a_file_of_no_known_method_is_refused(header: MapHeader, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        method_of(header)


def test_listing_methods_imports_neither_torch_nor_numba() -> None:
    script = (
        "import sys\nfrom spikesam.pipeline.maps.method import methods\nassert len(methods()) == "
        "13\n"
        "heavy = ('torch', 'captum', 'lava', 'numba', 'matplotlib', 'pydantic')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
