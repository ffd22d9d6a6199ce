"""Tidy tables of what was measured, and their summaries: means with intervals, and differences over
the same images.

A measured table has a row per image and condition: the columns `image` and `value`, and between
them columns that say what the value is of, such as network, layer, map and measure; what does not
apply is "". A summary has a row per condition: its columns, then n, mean, low and high
(:class:`spikesam.pipeline.measures.statistics.Estimate`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from paper.measures.inference import (
    bootstrap_differences,
    bootstrap_mean,
    bootstrap_over_networks,
    shares_over_networks,
)
from spikesam import InputError
from spikesam.statistics import Estimate, mean_with_interval


def measured(
    values: ArrayLike, images: Sequence[int] | None = None, /, **names: Any
) -> pd.DataFrame:
    """One measurement (n,) of every image: a row each with its number (0 … n - 1 if not given),
    names, value.
    """
    array = np.asarray(values, np.float64)
    return pd.DataFrame(
        {"image": range(len(array)) if images is None else images, **names, "value": array}
    )


def measured_over_steps(values: NDArray[Any], first: int = 0, /, **names: Any) -> pd.DataFrame:
    """Measurements (N, T) of every image at every step, from step `first` on: image, names, step,
    value.
    """
    return pd.concat(
        [measured(of_step, **names, step=step) for step, of_step in enumerate(values.T, first)]
    )


def rows(table: pd.DataFrame, **conditions: Any) -> pd.DataFrame:
    """The rows that have the given values in the named columns."""
    chosen = np.ones(len(table), np.bool_)
    for column, value in conditions.items():
        chosen &= (table[column] == value).to_numpy()
    return table[chosen]


def values(table: pd.DataFrame, **conditions: Any) -> NDArray[np.float64]:
    """(n,) the column `value` of :func:`rows`."""
    return rows(table, **conditions)["value"].to_numpy(np.float64)


def groups(
    table: pd.DataFrame, by: Sequence[str]
) -> Iterable[tuple[tuple[Any, ...], pd.DataFrame]]:
    """The conditions of a table, in order of appearance: their values in the columns `by`, and
    their rows.
    """
    return table.groupby(list(by), sort=False, dropna=False)


def summary(table: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Every condition of a measured table with n, mean and the bootstrap's 95 % interval, in order
    of appearance.
    """
    return _summary(table, partial(bootstrap_mean, seed=seed))


def summary_of_shares(table: pd.DataFrame) -> pd.DataFrame:
    """The summary of values in [0, 1], hits and misses among them, with the interval of
    `mean_with_interval`.
    """
    return _summary(table, mean_with_interval)


def summary_of_differences(table: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """The summary of differences of such values, see `bootstrap_differences`."""
    return _summary(table, partial(bootstrap_differences, seed=seed))


def by_training(table: pd.DataFrame) -> NDArray[np.float64]:
    """(K, N) the values of one condition that has a column `training`: a row per training, a column
    per image.
    """
    return table.pivot(index="training", columns="image", values="value").to_numpy(np.float64)


def summary_over_trainings(table: pd.DataFrame, shares: Sequence[str] = ()) -> pd.DataFrame:
    """Every condition of a table with a column `training`, over trainings and images: trainings, n,
    mean, low, high; measures that are `shares` by `shares_over_networks`.
    """
    by = [column for column in table.columns if column not in ("image", "training", "value")]
    found = []
    for names, each in groups(table, by):
        values = by_training(each)
        is_share = bool(shares) and each["measure"].iloc[0] in shares
        estimate = (shares_over_networks if is_share else bootstrap_over_networks)(values)
        found.append((*names, len(values), *estimate))
    return pd.DataFrame(found, columns=[*by, "trainings", *Estimate._fields])


def mean_of(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Mean of measured tables that have their rows in one order."""
    return tables[0].assign(value=np.mean([values(each) for each in tables], axis=0))


def minus(first: pd.DataFrame, second: pd.DataFrame, *by: str) -> pd.DataFrame:
    """First - second, image by image: `second` has one row for every image and what is in the
    columns `by`.
    """
    keys = ["image", *by]
    other = second.set_index(keys)["value"]
    return first.assign(
        value=first["value"].to_numpy() - other.loc[first.set_index(keys).index].to_numpy()
    )


def difference(first: pd.DataFrame, second: pd.DataFrame, seed: int = 0) -> Estimate:
    """Mean of :func:`paired`."""
    return bootstrap_mean(paired(first, second), seed)


def paired(first: pd.DataFrame, second: pd.DataFrame) -> NDArray[np.float64]:
    """First - second, image by image; InputError unless both have one row, in one order, for each
    image.
    """
    images = [each["image"].tolist() for each in (first, second)]
    if images[0] != images[1] or len(set(images[0])) != len(images[0]):
        counts = " and ".join(f"{len(each)} rows of {len(set(each))} images" for each in images)
        raise InputError(
            f"paired difference: got {counts}, expected one row for each of the same images in both"
        )
    return values(first) - values(second)


def _summary(
    table: pd.DataFrame, estimate: Callable[[NDArray[np.float64]], Estimate]
) -> pd.DataFrame:
    by = [column for column in table.columns if column not in ("image", "value")]
    found = [(*names, *estimate(values(each))) for names, each in groups(table, by)]
    return pd.DataFrame(found, columns=[*by, *Estimate._fields])
