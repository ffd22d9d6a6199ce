"""Runs to be shown: one with images, masks and Grad-CAM, whose names are hostile;
and spikes alone.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikesam.pipeline import run
from spikesam.pipeline.explain import main as explain_network
from spikesam.pipeline.maps.explain import explain_source
from spikesam.pipeline.networks.checkpoint import load, save
from spikesam.recordings.raster.arrays import write_raster
from tests.pipeline.small_networks import class_folders, small_checkpoint

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-background-networking "
    "--disable-component-update --disable-sync "
    "--no-first-run"
)
HOSTILE = ("</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "&lt;b&gt;<!--")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with images of three classes, whose names try to become markup, and with
    Grad-CAM.
    """
    folder = tmp_path_factory.mktemp("report")
    checkpoint = folder / "small.safetensors"
    save(replace(load(small_checkpoint(checkpoint)), class_names=HOSTILE), checkpoint)
    images = class_folders(folder / "images", per_class=2)
    data = ("--data", str(images), "--samples", "4")
    out = folder / "<i>run"
    more = ("--steps", "all", "--figures", "0", "--backend", "event")
    run.main(["--checkpoint", str(checkpoint), *data, "--out", str(out), *more])
    explain_network([str(checkpoint), *data, "--out", str(out / "gradcam.h5")])
    return out


@pytest.fixture(scope="session")
def spikes_alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raster that a network of somebody else's fired: no input, no image, no answer; 20 steps,
    maps of 5 × 7.
    """
    folder = tmp_path_factory.mktemp("alone")
    random = np.random.default_rng(0)
    spikes = {
        "a": random.random((3, 20, 4, 5, 7)) < 0.2,
        "b": random.random((3, 20, 6, 1, 1)) < 0.2,
    }
    path = write_raster(folder / "raster.h5", spikes, labels=[1, -1, 0])
    explain_source(path, folder / "sam.h5").close()
    return path


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a recorded network, with images and names; nothing is known of its weights."""
    torch = pytest.importorskip("torch")
    from tests.pipeline.record.recorded import NAMES, record_images

    folder = tmp_path_factory.mktemp("recorded")
    record_images(folder, torch.rand(3, 3, 6, 6), class_names=NAMES)
    return folder


@pytest.fixture(scope="session")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of a network that takes events: two recordings."""
    folder = tmp_path_factory.mktemp("events") / "run"
    data = (
        "--checkpoint",
        "saccade-digits",
        "--samples",
        "2",
        "--backend",
        "event",
        "--figures",
        "0",
    )
    run.main([*data, "--out", str(folder)])
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium, as the system has it."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="needs the package playwright: it drives Chromium"
    )
    if not CHROMIUM.exists():
        pytest.skip(f"needs {CHROMIUM}; on Debian and Ubuntu: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS.split())
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a page; at the end of the test it must have had no error, said nothing, and asked for
    nothing but itself.
    """
    contexts, trouble = [], []

    def opened(path: Path, width: int = 1280, scheme: str = "light", *, quiet: bool = True) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: trouble.append(f"error: {error}"))
        if quiet:  # what a browser says of a policy, too
            page.on("console", lambda message: trouble.append(f"console: {message.text}"))
        page.on(
            "dialog", lambda dialog: (trouble.append(f"dialog: {dialog.message}"), dialog.dismiss())
        )
        page.on(
            "request",
            lambda request: (
                request.url == path.as_uri()
                or request.url.startswith("blob:")  # the page's own script, for its worker
                or trouble.append(f"request: {request.url}")
            ),
        )
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-shown]", state="attached")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert trouble == []
