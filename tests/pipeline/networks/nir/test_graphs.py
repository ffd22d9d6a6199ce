"""Graphs with sums, shortcuts and loops: what NIR says of them, and networks that go through a file."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from backends.network import Network
from pipeline.networks.nir.read import from_nir
from pipeline.networks.nir.write import to_nir
from tests.backends.graphs import FLOAT, graphs


@given(network=graphs(FLOAT))
@settings(max_examples=15)
def test_any_graph_goes_through_a_file(network: Network, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("nir") / "network.nir"
    to_nir(network, path)
    assert from_nir(path).sha256 == network.sha256
