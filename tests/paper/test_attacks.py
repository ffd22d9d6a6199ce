"""Attacks: signs and steps known by hand, bounds that hold everywhere, and networks that they do
fool.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from paper.common.attacks import fgsm, pgd, random_signs
from spikesam import LIF, InputError, Layer, Network, Preprocessing, Readout, load
from spikesam.backends.network import ReLU
from spikesam.data import open_dataset
from spikesam.gradients import DifferentiableNetwork, encode_straight_through
from spikesam.pipeline.images.encoding import mean_spikes, poisson_batch

Images = NDArray[np.float32]
PREPARE = Preprocessing(1, 2, (0.5, 0.4, 0.3), (0.25, 0.2, 0.3))


def prepared(pixels: object, prepare: Preprocessing = PREPARE) -> Images:
    """(B, 3, H, W) pixels in 0 … 1 as the network gets them."""
    mean, std = (
        np.array(values, np.float32)[:, None, None] for values in (prepare.mean, prepare.std)
    )
    return (np.asarray(pixels, np.float32) - mean) / std


def pixels_of(images: Images, prepare: Preprocessing = PREPARE) -> NDArray[np.float64]:
    mean, std = (np.array(values)[:, None, None] for values in (prepare.mean, prepare.std))
    return images * std + mean


def linear_ann(readout: float = 1.0) -> DifferentiableNetwork:
    """One active neuron per class: red speaks for class 0, green for class 1, blue for neither."""
    layer = Layer("fc1", np.array([[2.0, 2, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0]]), ReLU())
    return DifferentiableNetwork(
        Network((3, 1, 2), 1, (layer,), Readout(readout * np.eye(2)), "image")
    )


def linear_snn(encoder: str) -> DifferentiableNetwork:
    """One neuron per class that a bias makes fire now and then: red speaks for class 0, green for
    class 1.
    """
    weight = np.array([[0.6, 0.6, 0, 0, 0, 0], [0, 0, 0.3, 0.3, 0, 0]])
    if encoder == "poisson":
        weight = np.concatenate([weight, -weight], axis=1)
    layer = Layer("fc1", weight, LIF(0.9, 1.0, bias=0.2))
    shape = (len(weight[0]) // 2, 1, 2)
    return DifferentiableNetwork(Network(shape, 30, (layer,), Readout(np.eye(2)), encoder))


IMAGE = prepared([[[[0.6, 0.45]], [[0.5, 0.45]], [[0.9, 0.2]]]])
NETWORKS = {
    "ann": linear_ann(),
    **{encoder: linear_snn(encoder) for encoder in ("poisson", "constant-current")},
}


def attack(name: str, label: int, epsilon: float) -> Images:
    return fgsm(NETWORKS[name], IMAGE, np.array([label]), epsilon, PREPARE, 0, [5])


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("label", "step"), [(0, 0.1), (1, -0.1)])
def test_signs_of_a_linear_network(name: str, label: int, step: float) -> None:
    """Against class 0: less red, more green, whether a pixel is above its mean (ON) or below (OFF);
    blue has no say.
    """
    attacked = pixels_of(attack(name, label, 0.1))
    expected = [[[[0.6 - step, 0.45 - step]], [[0.5 + step, 0.45 + step]], [[0.9, 0.2]]]]
    np.testing.assert_allclose(attacked, expected, atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_unknown_labels_stand_for_the_prediction_and_no_strength_changes_no_bit(name: str) -> None:
    """Class 1, as all three see more green than red."""
    np.testing.assert_array_equal(attack(name, -1, 0.1), attack(name, 1, 0.1))
    assert attack(name, 0, 0.0).tobytes() == IMAGE.tobytes()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("epsilon", [-0.1, 1.1, float("nan")])
def test_meaningless_strength(name: str, epsilon: float) -> None:
    with pytest.raises(InputError, match=r"epsilon: got .*, expected 0 … 1"):
        attack(name, 0, epsilon)


def test_a_sure_answer_is_attacked_too() -> None:
    """A logit ahead by 21: no gradient is left in float32, and one far below the 1e-6 that captum
    counts in float64.
    """
    network = linear_ann(readout=120)
    assert network(torch.from_numpy(mean_spikes(IMAGE)))[0].softmax(1)[0, 1] == 1
    attacked = pixels_of(fgsm(network, IMAGE, np.array([1]), 0.1, PREPARE, 0, [5]))
    np.testing.assert_allclose(attacked[0, :2], [[[0.7, 0.55]], [[0.4, 0.35]]], atol=1e-6)


def test_gradients_pass_straight_through_the_encoder() -> None:
    """Values are the encoder's; slopes 1/2 in the plane of the sign at every step, 127/2 for a
    current, 0 beyond ±2.
    """
    values = np.float32([0.5, -0.5, 3, -3]).reshape(1, 1, 2, 2)
    x = torch.from_numpy(values).requires_grad_()
    for encoder, planes, slope in (("poisson", 2, 0.5), ("constant-current", 1, 63.5)):
        layer = Layer("fc1", np.ones((1, 4 * planes)), LIF(1.0))
        network = Network((planes, 2, 2), 7, (layer,), Readout(np.ones((1, 1))), encoder)
        encoded = encode_straight_through(network, x, 1, [2])
        if encoder == "poisson":
            np.testing.assert_array_equal(
                encoded.detach(), poisson_batch(values, 7, 1, [2]).unpacked()
            )
            on, off = (
                torch.autograd.grad(encoded[:, :, plane].sum(), x, retain_graph=True)[0]
                for plane in (0, 1)
            )
            assert on.flatten().tolist() == [7 * slope, 0, 0, 0]
            assert off.flatten().tolist() == [0, -7 * slope, 0, 0]
        else:
            assert encoded.flatten().tolist() == [32, -32, 127, -127]
            (gradient,) = torch.autograd.grad(encoded.sum(), x)
            assert gradient.flatten().tolist() == [slope, slope, 0, 0]


@settings(max_examples=10)
@given(epsilon=st.floats(0, 1), seed=st.integers(0, 9))
def test_no_pixel_moves_further_than_asked(epsilon: float, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (3, 3, 1, 2)) / np.float32(255)
    images, labels = prepared(pixels), np.array([0, 1, -1])
    for attacked in (
        fgsm(linear_ann(), images, labels, epsilon, PREPARE, seed, [0, 1, 2]),
        fgsm(linear_snn("poisson"), images, labels, epsilon, PREPARE, seed, [0, 1, 2]),
        pgd(
            linear_ann(),
            images,
            labels,
            epsilon,
            PREPARE,
            (seed,),
            [0, 1, 2],
            4,
            start=seed or None,
        ),
        random_signs(images, epsilon, PREPARE, seed, [0, 1, 2]),
    ):
        after = pixels_of(attacked)
        assert np.abs(after - pixels).max() <= epsilon + 1e-6
        assert after.min() >= -1e-6 and after.max() <= 1 + 1e-6


def test_random_signs_depend_on_seed_and_index_alone() -> None:
    images = prepared(np.full((2, 3, 1, 2), 0.5), PREPARE)
    together = random_signs(images, 0.1, PREPARE, 3, [7, 8])
    np.testing.assert_array_equal(together[1:], random_signs(images[1:], 0.1, PREPARE, 3, [8]))
    np.testing.assert_allclose(np.abs(pixels_of(together) - 0.5), 0.1, atol=1e-6)
    assert any(
        (random_signs(images, 0.1, PREPARE, seed, [7, 8]) != together).any() for seed in range(4)
    )
    np.testing.assert_array_equal(random_signs(images, 0.0, PREPARE, 3, [7, 8]), images)


def digits(
    count: int,
) -> tuple[Preprocessing, DifferentiableNetwork, Images, NDArray[np.int64], list[int]]:
    """The bundled network and its preprocessing, and prepared images with their labels and
    indices.
    """
    checkpoint, dataset = (
        load("cluttered-digits"),
        open_dataset("cluttered-digits", "val"),
    )
    items = [dataset[position] for position in range(count)]
    images = np.stack([checkpoint.image_preprocessing.image(item.image) for item in items])
    network = DifferentiableNetwork(checkpoint.network)
    labels, indices = np.array([item.label for item in items]), [item.index for item in items]
    return checkpoint.image_preprocessing, network, images, labels, indices


def answers(network: DifferentiableNetwork, images: Images, indices: list[int]) -> torch.Tensor:
    """(B, classes) logits of what the network sees of the images with seed 0."""
    inputs = poisson_batch(images, network.network.timesteps, 0, indices)
    with torch.no_grad():
        return network(torch.from_numpy(inputs.unpacked()).float())[0]


def test_the_bundled_network_is_fooled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight digits at ε = 0.1: most answers turn wrong, while random signs of that size turn at
    most one.
    """
    prepare, network, images, labels, indices = digits(8)

    def right(attacked: Images) -> int:
        return int((answers(network, attacked, indices).argmax(1).numpy() == labels).sum())

    attacked = fgsm(network, images, labels, 0.1, prepare, 0, indices)
    assert right(images) >= 7
    assert right(random_signs(images, 0.1, prepare, 0, indices)) >= right(images) - 1
    assert right(attacked) <= 4
    monkeypatch.setattr("paper.common.attacks.NEURON_STEPS", 1)
    again = fgsm(network, images[:2], labels[:2], 0.1, prepare, 0, indices[:2])
    np.testing.assert_array_equal(again, attacked[:2])


@pytest.mark.parametrize("name", NETWORKS)
def test_steps_end_where_one_step_of_a_linear_network_does(name: str) -> None:
    """The sign of a linear network's gradient is the same everywhere; blue has none."""

    def iterated(epsilon: float) -> Images:
        return pgd(NETWORKS[name], IMAGE, np.array([0]), epsilon, PREPARE, (0,), [5], 8)

    moved = pixels_of(iterated(0.02)) - pixels_of(IMAGE)
    np.testing.assert_allclose(moved[0, :, 0, 0], [-0.02, 0.02, 0], atol=1e-6)
    np.testing.assert_array_equal(iterated(0.0), IMAGE)


def test_steps_fool_the_bundled_network_with_spikes_that_the_attacker_does_not_know() -> None:
    """Three digits at ε = 0.05; the loss is averaged over the attacker's draws, of which equal ones
    count as one.
    """
    prepare, network, images, labels, indices = digits(3)

    def confidence(changed: Images) -> float:
        return float(answers(network, changed, indices).softmax(1)[range(3), labels].mean())

    def after(seeds: list[int], steps: int) -> Images:
        return pgd(network, images, labels, 0.05, prepare, seeds, indices, steps)

    assert confidence(after([7, 8], 4)) < confidence(
        fgsm(network, images, labels, 0.05, prepare, 7, indices)
    )
    one = after([7], 1)
    np.testing.assert_allclose(after([7, 7], 1), one, atol=1e-5)
    assert not np.allclose(after([7, 8], 1), one, atol=1e-5)


def test_an_attack_breaks_a_network_without_defence_where_it_must() -> None:
    """Class 1 is ahead by 0.375 - 0.2, of which each unit of ε takes 2 · 2/0.25 red and 1/0.2
    green: 0.175 = 13 ε.
    """
    for start in (None, 1, 2):
        for epsilon, expected in ((0.0134, 1), (0.0136, 0)):
            changed = pgd(
                NETWORKS["ann"], IMAGE, np.array([1]), epsilon, PREPARE, (0,), [5], 20, start=start
            )
            logits = NETWORKS["ann"](torch.from_numpy(mean_spikes(changed)))[0]
            assert logits.argmax(1).item() == expected


def test_a_restart_begins_elsewhere() -> None:
    def restarted(start: int | None) -> Images:
        return pgd(NETWORKS["ann"], IMAGE, np.array([1]), 0.01, PREPARE, (0,), [5], 1, start=start)

    one, other = restarted(1), restarted(2)
    np.testing.assert_array_equal(one, restarted(1))
    assert not np.array_equal(one, other)
    assert (pixels_of(one) - pixels_of(IMAGE))[0, 2, 0, 0] != 0, (
        "blue has no gradient, so it shows where it began"
    )


def test_draws_come_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three seeds, two at a time: the target, then three steps."""
    seen = []

    def recorded(network: Network, x: torch.Tensor, seed: int, indices: list[int]) -> torch.Tensor:
        seen.append(seed)
        return encode_straight_through(network, x, seed, indices)

    monkeypatch.setattr("paper.common.attacks.encode_straight_through", recorded)
    pgd(NETWORKS["poisson"], IMAGE, np.array([1]), 0.01, PREPARE, (1, 2, 3), [5], 3, at_once=2)
    assert seen == [1, 2, 3, 1, 2, 3, 1, 2]
