"""Prices: the published numbers, one's own, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from spikesam.pipeline.cost.prices import PRICES, Prices, prices_of
from spikesam.recordings.errors import InputError


def test_published_numbers_and_their_sources() -> None:
    assert (PRICES["45nm"].operation, PRICES["45nm"].mac) == (0.9, 4.6)
    assert (PRICES["loihi"].operation, PRICES["loihi"].update, PRICES["loihi"].firing) == (23.6, 52, 81)
    assert PRICES["loihi"].mac is None
    assert PRICES["45nm-memory"].byte == 10 / 8
    assert all("doi:" in prices.source for prices in PRICES.values())


def test_ones_own() -> None:
    own = Prices("mine", "measured", operation=2, mac=None)
    assert prices_of(own) is own
    assert prices_of("loihi") is PRICES["loihi"]


@pytest.mark.parametrize("wrong", ["28nm", None, 0.9])
def test_no_such_prices(wrong: Any) -> None:
    with pytest.raises(InputError, match=r"^prices: got .*, expected one of 45nm, 45nm-memory, loihi$"):
        prices_of(wrong)


@pytest.mark.parametrize("wrong", [{"operation": -1}, {"mac": float("nan")}, {"byte": "1"}, {"update": True}])
def test_prices_are_numbers(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(InputError, match=f"prices 'mine': {name} is .*, expected pJ, at least 0"):
        Prices("mine", "nowhere", **{"operation": 1.0, **wrong})
