"""Random models of every library: what is imported fires the model's bits on inputs that no proof
has seen.
"""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spikesam
from spikesam.backends.network import NetworkError
from spikesam.pipeline.imports.torch.calling import follow_model, read_example
from spikesam.pipeline.imports.torch.imported import assemble
from spikesam.pipeline.imports.torch.modules import NeuronModules
from spikesam.pipeline.imports.torch.proof import prove, prove_up_to_rounding
from tests.pipeline.imports.random_models import LIBRARIES, STEPS, model_of

SEEDS = st.integers(0, 2**31)
DENSITIES = (0.0, 0.1, 0.5, 1.0)


def verdict(library: str, seed: int, sparse: bool = True) -> str:
    """ "refused: …", or how the bits of the network and of its model are on other inputs: "same",
    or "ties" where membranes meet their threshold within rounding; an error where they are others.
    """
    model, given = model_of(library, seed)
    try:
        network = spikesam.from_torch(model, given(0.15 if sparse else 0.6, seed))
    except NetworkError as error:
        return f"refused: {error}"
    found = "same"
    for density in DENSITIES:
        shown = given(density, seed + 1)
        example = read_example(shown, STEPS if density == 0 else None, model, network)
        imported = assemble(model, follow_model(model, example, NeuronModules()), example)
        assert imported.network.sha256 == network.sha256
        try:
            prove(imported, example)
        except NetworkError:
            prove_up_to_rounding(imported, example)
            found = "ties"
    return found


@pytest.mark.parametrize("library", LIBRARIES)
@settings(max_examples=2, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_what_is_imported_fires_the_models_bits_on_other_inputs(library: str, seed: int) -> None:
    verdict(library, seed)


@pytest.mark.long
@pytest.mark.parametrize("library", LIBRARIES)
def test_many_models(library: str) -> None:
    verdicts = Counter(
        verdict(library, seed, seed % 2 == 0).partition(":")[0] for seed in range(60)
    )
    print(library, dict(verdicts))
    assert verdicts["same"] > 6
