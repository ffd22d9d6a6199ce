"""The price of an operation, in picojoules: published numbers, each table with its source."""

from __future__ import annotations

from dataclasses import dataclass, fields

from spikesam.common.arguments import checked_fields
from spikesam.common.errors import InputError


@checked_fields
@dataclass(frozen=True)
class Prices:
    """Prices of operations; all in pJ = 10⁻¹² J, and at least 0.

    Parameters
    ----------
    name : of the table
    source : where the numbers stand
    operation : a spike is added at a synapse
    mac : a number is multiplied with a weight and added; None where a chip does no such thing
    update : a neuron takes a step and does not fire
    firing : a neuron takes a step and fires
    byte : a byte is read or written

    Raises
    ------
    InputError : if a price is no number, or below 0
    """

    name: str
    source: str
    operation: float
    mac: float | None = None
    update: float = 0.0
    firing: float = 0.0
    byte: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self)[2:]:
            price = getattr(self, field.name)
            if price is not None and price < 0:
                raise InputError(
                    f"prices {self.name!r}: {field.name} is {price!r}, expected pJ, at least 0"
                )


HOROWITZ = "Horowitz 2014, ISSCC, doi:10.1109/ISSCC.2014.6757323, Fig. 1.1.9: 45 nm, 0.9 V"
PRICES = {
    prices.name: prices
    for prices in (
        Prices(
            "45nm",
            f"{HOROWITZ}; float32: an addition 0.9 pJ, a multiplication 3.7 pJ. Neurons and memory "
            "cost nothing here",
            operation=0.9,
            mac=4.6,
        ),
        Prices(
            "45nm-memory",
            f"{HOROWITZ}; float32 as in 45nm, and 10 pJ for 8 bytes from an 8 kB memory. A "
            "neuron's step is a MAC",
            operation=0.9,
            mac=4.6,
            update=4.6,
            firing=4.6,
            byte=1.25,
        ),
        Prices(
            "lemaire",
            "Lemaire et al. 2022, ICONIP, doi:10.1007/978-3-031-30105-6_48: 45 nm, integers of 32 "
            "bits; an addition "
            "0.1 pJ, a multiplication 3.1 pJ, 10 pJ for 4 bytes from an 8 kB memory. A neuron's "
            "step is a MAC, its "
            "leak, and a spike one more addition. Addresses and queues are not counted",
            operation=0.1,
            mac=3.2,
            update=3.2,
            firing=3.3,
            byte=2.5,
        ),
        Prices(
            "loihi",
            "Davies et al. 2018, IEEE Micro 38(1), doi:10.1109/MM.2018.112130359, Table 2: 14 nm, "
            "0.75 V, simulated "
            "before the chip was made; a synaptic operation at least 23.6 pJ, a neuron's update 52 "
            "pJ inactive and "
            "81 pJ active, taken here for neurons that fire. The ways between cores are not "
            "counted",
            operation=23.6,
            update=52.0,
            firing=81.0,
        ),
    )
}


def prices_of(choice: str | Prices) -> Prices:
    """A table by its name, or one's own; an InputError if there is none of that name."""
    if isinstance(choice, Prices):
        return choice
    if not isinstance(choice, str) or choice not in PRICES:
        raise InputError(f"got {choice!r}, expected one of {', '.join(PRICES)}", argument="prices")
    return PRICES[choice]
