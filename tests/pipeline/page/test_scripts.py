"""The page's scripts without a browser, in node: their own tests, and the SAM of random spikes beside Python's."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pipeline.maps.methods.sam import sam
from pipeline.page.content import spike_trains
from pipeline.page.render import HERE

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="needs node: it runs the page's scripts")


def node(*arguments: str, given: str = "") -> str:
    done = subprocess.run([str(NODE), *arguments], input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_their_own_tests() -> None:
    node("--test", str(Path(__file__).parent / "js" / "sam.test.js"))


@pytest.mark.parametrize("timesteps", [1, 7, 8, 33])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 3.0])
def test_sam_is_that_of_python(timesteps: int, gamma: float) -> None:
    spikes = np.random.default_rng(timesteps).random((timesteps, 1, 3, 4, 5)) < 0.3
    packed = np.packbits(spikes.reshape(timesteps, -1), axis=1)
    trains = spike_trains(packed, 60)
    script = f"""
        import {{ readFileSync }} from "node:fs";
        import {{ decodeSpikes }} from "{(HERE / "js" / "spikes.js").as_uri()}";
        import {{ mapOfStep, sumOfMaps }} from "{(HERE / "js" / "sam.js").as_uri()}";
        const {{ trains, steps, gamma }} = JSON.parse(readFileSync(0, "utf8"));
        const spikes = decodeSpikes(Uint8Array.from(trains), [3, 4, 5], steps);
        const each = Array.from({{ length: steps }}, (_, step) => [...mapOfStep(spikes, gamma, step, steps).map]);
        console.log(JSON.stringify([each, [...sumOfMaps(spikes, gamma, steps).map]]));
    """
    given = json.dumps({"trains": trains.ravel().tolist(), "steps": timesteps, "gamma": gamma})
    each, total = json.loads(node("--input-type=module", "--eval", script, given=given))
    expected = sam(spikes, gamma)[:, 0]
    assert np.allclose(np.reshape(each, expected.shape), expected, rtol=1e-6, atol=1e-6)
    assert np.allclose(np.reshape(total, (4, 5)), expected.sum(axis=0), rtol=1e-6, atol=1e-5)
