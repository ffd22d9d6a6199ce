"""timing: tasks of equal counts, spikes at other times, and what maps of them are worth."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import trapezoid

from paper import timing
from paper.common.heatmaps import COUNT, SAM
from paper.common.images import TimedSpikes
from paper.common.result import Claim
from paper.common.settings import TimingSection, TimingTask
from paper.common.timing_measures import (
    HIDDEN,
    INPUT,
    LEFT_OUT,
    MOMENTS,
    NO_GAMMA,
    PLACES,
    RELEVANCE,
    SHARE,
    SHUFFLED,
    all_times_shuffled,
    cut,
    deletion_areas,
    earlier_times_shuffled,
    on_deciding,
    with_leaving_out,
)
from paper.common.timing_tasks import BINS, PER_NEURON, SHAPES, SIDE, TASKS, samples_of
from paper.measures.deletion import spike_deletion
from paper.measures.inference import bootstrap_over_networks, equivalence_p_value, holm
from paper.measures.tables import rows
from spikesam import InputError
from spikesam.data import handwriting
from spikesam.maps import spike_activation_maps, spike_count_map
from spikesam.pipeline.maps.sam import spike_activation_map
from spikesam.settings import TrainingSection
from spikesam.statistics import Estimate
from tests.paper.setups import small_setup

PER_PLACE = {"manifold": {3}, "latency": {1}, "bursts": {0, 6}, "regular": {0, 6}}
CLASSES = {"manifold": 5, "latency": 10, "bursts": 4, "regular": 4}


def counts(samples: TimedSpikes) -> np.ndarray:
    """Spikes of every place: (N, H, W)."""
    return samples.values.sum(axis=0)[:, 0]


@pytest.mark.parametrize("task", TASKS)
def test_every_place_fires_equally_often(task: str) -> None:
    samples = samples_of(task, "val", 40)
    assert samples.values.shape == (BINS, 40, 1, SIDE, SIDE)
    found = counts(samples)
    assert set(found.ravel().tolist()) == PER_PLACE[task]
    assert len(set(found.sum(axis=(1, 2)).tolist())) == 1, (
        "a sample has as many spikes as any other"
    )
    on, off = (set(found[where].tolist()) for where in (samples.deciding, samples.others))
    assert on == off and 0 not in on, "places that decide fire as often as the others"
    assert not (samples.deciding & samples.others).any()


@pytest.mark.parametrize("task", TASKS)
def test_samples_are_the_same_each_time_and_those_of_another_split_are_not(task: str) -> None:
    first, again, other = (samples_of(task, split, 40) for split in ("val", "val", "train"))
    assert first.sha256 == again.sha256 != other.sha256
    assert (
        set(first.table.label.tolist())
        == set(other.table.label.tolist())
        == set(range(CLASSES[task]))
    )


def test_two_shapes_are_the_same_spikes_with_the_answer_turned_round() -> None:
    """Intervals by hand: three steps between regular spikes, one within a burst."""
    for task, decides in (("bursts", 1), ("regular", 3)):
        samples = samples_of(task, "val", 8)
        for sample, label in enumerate(samples.table.label):
            rows, columns = np.nonzero(samples.deciding[sample])
            corner = rows.min(), columns.min()
            cut = samples.deciding[sample][corner[0] : corner[0] + 5, corner[1] : corner[1] + 5]
            np.testing.assert_array_equal(cut, SHAPES[label])
            for where, interval in ((samples.deciding, decides), (samples.others, 4 - decides)):
                for row, column in np.argwhere(where[sample]):
                    steps = np.flatnonzero(samples.values[:, sample, 0, row, column])
                    assert np.diff(steps).tolist()[:2] == [interval, interval]


def test_two_questions_are_asked_of_the_same_spikes() -> None:
    one, other = samples_of("bursts", "val", 40), samples_of("regular", "val", 40)
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_array_equal(one.deciding, other.others)
    np.testing.assert_array_equal(
        one.answers, np.stack([one.table.label, other.table.label], axis=1)
    )
    assert (one.table.label != other.table.label).all()
    assert set(other.table.label.tolist()) == {0, 1, 2, 3}


def test_a_digit_fires_the_earlier_the_more_ink() -> None:
    samples = samples_of("latency", "val", 10)
    steps = samples.values.argmax(axis=0)[:, 0]
    glyphs, labels = handwriting("val")
    for sample, label in enumerate(samples.table.label):
        ink = [
            np.rint((1 - glyph[3:11, 3:11]) * 17).astype(int).tolist()
            for glyph in glyphs[labels == label]
        ]
        windows = [
            steps[sample, y : y + 8, x : x + 8].tolist() for y in (1, 2, 3) for x in (1, 2, 3)
        ]
        assert any(window in ink for window in windows)
        assert (steps[sample][samples.deciding[sample]] <= 8.5).all()


def test_a_manifold_has_one_spike_in_each_third_and_close_samples_have_close_times() -> None:
    samples = samples_of("manifold", "train", 1000)
    thirds = samples.values.reshape(PER_NEURON, BINS // PER_NEURON, 1000, SIDE, SIDE).sum(axis=1)
    assert (thirds == 1).all()
    one = samples.values[:6, samples.table.label == 0, 0, 5, 5].argmax(
        axis=0
    )  # a place that decides
    every = samples.values[:6, samples.table.label == 0, 0].argmax(axis=0)
    apart = np.abs(
        every[:, 3:9, 3:9].reshape(200, -1)[:, None] - every[:, 3:9, 3:9].reshape(200, -1)
    ).mean(axis=2)
    np.fill_diagonal(apart, 9)
    assert apart.min(axis=1).mean() < 0.5 < 1 < apart[apart < 9].mean()
    assert len(set(one.tolist())) > 2


@given(st.integers(0, 10_000))
def test_shuffling_keeps_counts_and_labels(seed: int) -> None:
    for task in TASKS:
        samples = samples_of(task, "val", 4)
        shuffled = samples.shuffled(seed)
        np.testing.assert_array_equal(counts(shuffled), counts(samples))
        np.testing.assert_array_equal(shuffled.table.label, samples.table.label)
        assert shuffled.sha256 != samples.sha256
        assert shuffled.sha256 == samples.shuffled(seed).sha256


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(
        InputError, match="got 'rate', 'val', expected one of manifold, latency, bursts, regular"
    ):
        samples_of("rate", "val", 1)


def test_the_share_on_deciding_places_by_hand() -> None:
    deciding, others = np.zeros((2, 2, 2), np.bool_)
    deciding[0, 0], others[1] = True, True
    maps = {
        (SAM, 0.5): np.array([[[1.0, 0], [0, 0]], [[2, 9], [1, 1]]]),
        (COUNT, NO_GAMMA): np.ones((2, 2, 2)),
    }
    found = on_deciding(maps, np.stack([deciding, others]))
    assert found == {(SAM, 0.5): 0.75, (COUNT, NO_GAMMA): 0.5}  # 3 against a mean of 1


SPIKES = np.zeros((4, 1, 1, 2), np.bool_)  # two places of two spikes and one
SPIKES[[0, 1, 2], 0, 0, [0, 0, 1]] = True


def first_spike(batch: np.ndarray) -> np.ndarray:
    """An answer that rests on the first spike of the first place."""
    right = np.where(batch[0, :, 0, 0, 0], 50.0, -50.0)
    return np.stack([right, -right], axis=1)


def test_deletions_by_hand() -> None:
    good, bad = np.zeros((2, 3, 1, 2))
    good[0, 0, 0], bad[2, 0, 1] = 1, 1
    maps = {(SAM, 0.5): good, (COUNT, NO_GAMMA): bad}
    places = deletion_areas(first_spike, SPIKES, maps, 2, 1, 0)[PLACES]
    assert places[SAM, 0.5] == pytest.approx(
        1 / 3
    )  # falls from 1 to 0 over two thirds of the spikes
    assert places[COUNT, NO_GAMMA] == pytest.approx(1 / 3 + 1 / 3)
    moments = deletion_areas(first_spike, SPIKES, maps, 3, 40, 0)[MOMENTS]
    assert moments[SAM, 0.5] == pytest.approx(1 / 6)  # falls over the first third
    assert 1 / 2 < moments[COUNT, NO_GAMMA] < 5 / 6, (
        "one of these for each order of what is equal in the map"
    )
    assert moments[COUNT, NO_GAMMA] == pytest.approx(2 / 3, abs=0.1)
    silent = deletion_areas(first_spike, np.zeros_like(SPIKES), maps, 3, 2, 0)
    assert silent[MOMENTS][SAM, 0.5] == silent[PLACES][SAM, 0.5] == pytest.approx(1)


def test_leaving_out_by_hand() -> None:
    """The first place decides, the second does nothing; a map that is flat, or of silence, says
    nothing.
    """
    good, flat = np.zeros((1, 1, 2)), np.ones((1, 1, 2))
    good[0, 0, 0] = 1
    maps = {(SAM, 0.5): good, (RELEVANCE, NO_GAMMA): -good, (COUNT, NO_GAMMA): flat}
    found = with_leaving_out(first_spike, SPIKES, maps)
    assert found == pytest.approx({(SAM, 0.5): 1, (RELEVANCE, NO_GAMMA): -1, (COUNT, NO_GAMMA): 0})
    assert set(with_leaving_out(first_spike, np.zeros_like(SPIKES), maps).values()) == {0.0}


@given(st.integers(0, 1000), st.integers(1, 4))
def test_deletions_of_places_are_those_of_the_measure(seed: int, parts: int) -> None:
    """Many maps at once give what :func:`spike_deletion` gives of each, where no two values are
    equal.
    """
    random = np.random.default_rng(seed)
    spikes, weights = random.random((3, 2, 2, 4)) < 0.4, random.normal(size=(4, 48))

    def answer(batch: np.ndarray) -> np.ndarray:
        return batch.swapaxes(0, 1).reshape(-1, 48) @ weights.T

    each = random.permuted(np.arange(24.0)).reshape(3, 2, 4) ** 2
    curve = spike_deletion(answer, spikes, each.sum(axis=0), steps=parts, seed=seed, equal="spikes")
    found = deletion_areas(answer, spikes, {(SAM, 0.5): each}, parts, 2, seed)
    assert found[PLACES][SAM, 0.5] == pytest.approx(trapezoid(curve.probability, curve.spikes))


@given(st.integers(0, 1000), st.integers(1, 16))
def test_a_cut_deletes_the_highest_first_and_all_at_the_end(seed: int, parts: int) -> None:
    random = np.random.default_rng(seed)
    values, counts = random.random((5, 6)), random.integers(0, 3, size=(5, 6))
    cuts = cut(values, counts, parts, seed)
    gone = np.zeros((len(cuts), 5, 6), np.bool_)
    gone[:, counts > 0] = cuts
    assert not gone[0].any() and (gone[-1] == (counts > 0)).all() and not gone[:, counts == 0].any()
    for each in gone[1:-1]:
        assert values[each].min() > values[(counts > 0) & ~each].max()
    assert np.abs(np.diff((gone * counts).sum(axis=(1, 2)))).max() <= counts.sum() / parts + 2


def test_equivalence_by_hand() -> None:
    """Two standard errors from the nearer bound: the normal distribution's 2.28 %."""
    estimate = Estimate(100, 0.01, 0.01 - 1.959964 * 0.005, 0.01 + 1.959964 * 0.005)
    assert equivalence_p_value(estimate, 0.02) == pytest.approx(0.02275, abs=1e-4)
    assert equivalence_p_value(estimate, 0.02, networks=5) == pytest.approx(
        0.0236, abs=1e-4
    )  # t = 2 · 2.776 / 1.96
    assert equivalence_p_value(Estimate(9, 0.0, 0.0, 0.0), 0.02) == 0
    assert equivalence_p_value(Estimate(9, 0.03, 0.03, 0.03), 0.02) == 1
    assert equivalence_p_value(Estimate(1, 0.0, -np.inf, np.inf), 0.02) == 1


@given(st.lists(st.floats(-0.05, 0.05), min_size=8, max_size=8), st.floats(0.001, 0.1))
def test_a_wider_margin_is_never_harder_to_show(values: list[float], margin: float) -> None:
    estimate = bootstrap_over_networks(np.reshape(values, (2, 4)))
    narrow, wide = (equivalence_p_value(estimate, each, 2) for each in (margin, 2 * margin))
    assert 0 <= wide <= narrow <= 1


@pytest.mark.parametrize(
    ("same", "p_equal", "expected"),
    [
        ("yes", 0.5, "better"),
        ("no", 0.01, "worse, by less than 0.02"),
        ("no difference seen", 0.01, "equal"),
        ("no difference seen", 0.5, "open"),
    ],
)
def test_outcomes_are_never_equal_without_a_test_of_it(
    same: str, p_equal: float, expected: str
) -> None:
    claim = Claim("", "", "", same, 9)  # type: ignore[arg-type]
    assert timing.outcome_of(claim, p_equal, 0.02) == expected


def test_the_experiment_on_tiny_networks(tmp_path: Path) -> None:
    tiny = TimingTask(layers=(2, "P", 2, "P", "D4"), epochs=1, samples=16, trainings=2)
    section = TimingSection(
        training=TrainingSection(batch_size=16, learning_rate=1e-3),
        tasks=dict.fromkeys(TASKS, tiny),
        accuracy_samples=20,
        samples=4,
        gammas=(0.5, 1.0),
        parts=2,
        ties=2,
    )
    setup = small_setup(tmp_path, {"timing": section}, gamma=0.5)
    result = timing.run(setup)
    assert len(result.claims) == 4 * 3 * (3 + 2), (
        "three questions at the convolutions, and relevance at the input, too"
    )
    table, of_values = result.table, result.values
    assert of_values is not None and set(of_values["layer"]) == {"", INPUT, HIDDEN}
    assert set(rows(table, measure=timing.RIGHT)["n"]) == {20}
    shown = rows(table, task="latency", layer=INPUT, measure=PLACES).set_index(["map", "gamma"])[
        "mean"
    ]
    assert shown[SAM, 0.5] == shown[COUNT, NO_GAMMA], "one spike for each neuron has no interval"
    gain = rows(
        table, task="latency", layer=INPUT, measure=MOMENTS, map="SAM better than spike count by"
    )
    assert set(gain["mean"]) == {0.0} and gain["outcome"].isna().all(), (
        "at the input the count is a random order"
    )
    share = rows(table, task="bursts", layer=INPUT, measure=SHARE, map=COUNT)
    assert share["mean"].tolist() == pytest.approx([0.5]), "both shapes fire equally often"
    assert rows(table, task="bursts", layer=INPUT, measure=SHARE, map=SAM)["mean"].min() > 0.5, (
        "bursts are short"
    )
    assert rows(table, task="regular", layer=INPUT, measure=SHARE, map=SAM)["mean"].max() < 0.5, (
        "whatever is asked"
    )
    both = [
        rows(table, task=task, measure=SHARE, map=SAM)["mean"].to_numpy()
        for task in ("bursts", "regular")
    ]
    np.testing.assert_allclose(
        both[0] + both[1], 1, atol=1e-6
    )  # one network, one map, two questions
    for first, second, tested in (
        (SAM, COUNT, 12),
        ("SAM at the best γ", COUNT, 12),
        (RELEVANCE, SAM, 24),
    ):
        family = rows(table, map=f"{first} better than {second} by").dropna(subset="outcome")
        assert len(family) == tested
        np.testing.assert_allclose(family["p_holm"], holm(family["p"]))
    assert (
        rows(table, map=f"SAM better than {SHUFFLED} by", measure=LEFT_OUT)["outcome"].notna().sum()
        == 4
    )
    names = {path.name for path in setup.out.glob("*.png")}
    assert names >= {
        "timing.png",
        "timing_gamma_places.png",
        "timing_bursts.png",
        "timing_latency_maps.png",
    }
    again = timing.run(setup)
    pd.testing.assert_frame_equal(again.table, table)


SHAPE = (2, 1, 2)


def packed(trains: list[list[int]]) -> NDArray[np.uint8]:
    """Spike trains of the four neurons of two channels and two pixels."""
    return np.packbits(np.array(trains, np.uint8).T, axis=1)


TRAINS = [[0, 1, 0, 1, 1], [0, 0, 1, 0, 1], [0, 0, 0, 0, 1], [0, 1, 1, 1, 1]]


def test_earlier_spikes_at_random_by_hand() -> None:
    maps = earlier_times_shuffled(packed(TRAINS), SHAPE, 0.5, 1)
    decay = np.exp(-0.5)
    assert maps[3, 0].tolist() == pytest.approx(
        [1 + (decay + decay**2) / 2, 1 + 2 * (decay + decay**2) / 2]
    )
    assert maps[1, 0].tolist() == [1, 1]


def test_earlier_spikes_at_random_are_the_mean_over_all_ways_to_lay_them() -> None:
    """One neuron fires at the last of five steps and twice before, anywhere in steps 1 to 3."""
    ways = []
    for places in combinations([1, 2, 3], 2):
        train = np.zeros((5, 1, 1, 1, 1), np.bool_)
        train[[*places, 4]] = True
        ways.append(spike_activation_map(train, 0.7)[4].item())
    found = earlier_times_shuffled(
        np.array([[0], [128], [128], [0], [128]], np.uint8), (1, 1, 1), 0.7, 1
    )
    assert found[4].item() == pytest.approx(np.mean(ways))


def test_all_times_at_random_keep_how_often_a_neuron_fires() -> None:
    random = np.random.default_rng(0)
    bits = random.random((12, 4)) < 0.4
    bits[:2] = False
    spikes = np.packbits(bits, axis=1)
    maps = all_times_shuffled(spikes, SHAPE, 1e3, 2, random)  # which is the spike count
    np.testing.assert_array_equal(maps.sum(axis=0), spike_count_map(spikes, SHAPE).sum(axis=0))
    assert not maps[:2].any()
    assert not np.array_equal(maps, spike_activation_maps(spikes, SHAPE, [1e3])[0])
