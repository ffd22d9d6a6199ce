"""A spiking detector: which spikes does the score of *this* box rest on?

Trains for half a minute of one core on scenes of crosses among brighter blocks. The relevance of
the best box's score in 100 new scenes comes from one backward pass, `record(why=…)`. Then places
are deleted from the input by their relevance, by their spike count, and by their spike count with
those of the box first: the score falls fastest with relevance.
"""

import torch
from matplotlib.patches import Rectangle
from scenes import SIDE, conv, draw, explained, lif, run, scenes, train
from spikingjelly.activation_based.layer import Conv2d
from torch import nn

CELLS, SCENES, BATCHES = 8, 100, 600
DELETED = [0, 0.02, 0.05, 0.1, 0.2, 0.3]  # of the places that fired


def detector():
    """Spikes (T, B, 1, 32, 32) -> (T, B, 5, 8, 8): of each cell a score, and its box's place (row,
    column) and sides.
    """
    layers = [conv(1, 8, 5, 2), lif(), conv(8, 24, 3, 2), lif(), conv(24, 32), lif()]
    return nn.Sequential(*layers, Conv2d(32, 5, 1, step_mode="m"))


def targets(crosses):
    """(N, 5, 8, 8) what the detector should give."""
    wanted = torch.zeros(len(crosses), 5, CELLS, CELLS)
    for scene, boxes in enumerate(crosses):
        for row, column, side in boxes:
            y, x = row + side // 2, column + side // 2
            numbers = [1, y % 4 / 4, x % 4 / 4, side / 16, side / 16]
            wanted[scene, :, y // 4, x // 4] = torch.tensor(numbers)
    return wanted


def trained(batches=BATCHES):
    """A detector that was trained on so many batches of 16 scenes."""
    torch.manual_seed(0)
    model = detector()

    def loss_of(seed):
        spikes, _, crosses = scenes(16, seed)
        output, wanted = run(model, spikes), targets(crosses)
        score = nn.functional.binary_cross_entropy_with_logits(
            output[:, 0], wanted[:, 0], pos_weight=torch.tensor(8.0)
        )
        misses = (output[:, 1:] - wanted[:, 1:]).abs().sum(1) * wanted[:, 0]
        return score + 0.2 * misses.sum() / wanted[:, 0].sum()

    return train(model, loss_of, batches)


def best_score(output):
    """The score of the best box of each scene."""
    return output[:, 0].amax((1, 2))


def best_boxes(output):
    """Row, column and side of the best box of each scene."""
    boxes = []
    for scene, cell in zip(output, output[:, 0].flatten(1).argmax(1).tolist(), strict=True):
        row, column, height, width = scene[1:].flatten(1)[:, cell].tolist()
        side = 8 * (height + width)
        y, x = 4 * (cell // CELLS + row), 4 * (cell % CELLS + column)
        boxes.append((y - side / 2, x - side / 2, side))
    return boxes


def is_right(box, crosses):
    """True if a box lies on a cross, to 3 pixels."""
    return any(max(abs(box[0] - row), abs(box[1] - column)) < 3 for row, column, _ in crosses)


def areas(model, spikes, cells, order):
    """(N,) areas under the scores of the cells, while places are deleted in an order (N, 1024)."""
    fired = (spikes.sum((0, 2)).flatten(1) > 0).sum(1)
    curves = []
    for share in DELETED:
        remains = torch.ones(len(cells), SIDE * SIDE)
        for scene, count in enumerate((share * fired).round().int().tolist()):
            remains[scene, order[scene, :count]] = 0
        with torch.no_grad():
            output = run(model, spikes * remains.view(1, -1, 1, SIDE, SIDE))
        curves.append(output[:, 0].flatten(1).gather(1, cells[:, None])[:, 0])
    return torch.trapezoid(torch.stack(curves), torch.tensor(DELETED), dim=0) / DELETED[-1]


def deletion(model, spikes, output, relevance):
    """Name of an order -> (N,) mean score while places are deleted in it."""
    counts = spikes.sum((0, 2))
    inside = torch.zeros_like(counts)
    for scene, box in enumerate(best_boxes(output)):
        row, column, size = (max(0, round(number)) for number in box)
        inside[scene, row : row + size, column : column + size] = 1
    orders = {
        "relevance": relevance,
        "spikes": counts,
        "spikes of the box": counts * (1 + 99 * inside),
    }
    cells = output[:, 0].flatten(1).argmax(1)
    return {
        name: areas(model, spikes, cells, values.flatten(1).argsort(1, descending=True))
        for name, values in orders.items()
    }


def compared(scores, name):
    """The mean difference of relevance from another order, half its 95 % interval of paired
    scenes, and in how many scenes the score is lower.
    """
    differences = scores["relevance"] - scores[name]
    margin = 1.96 * differences.std() / len(differences) ** 0.5
    return float(differences.mean()), float(margin), int((differences < 0).sum())


def main():
    """Train, explain, delete, draw."""
    model = trained()
    spikes, _, crosses = scenes(SCENES, 10**6)
    output, relevance = explained(
        model, spikes, {"best score": best_score}, "runs/spiking-detector"
    )
    boxes = best_boxes(output)
    right = sum(map(is_right, boxes, crosses))
    print(f"the best box lies on a cross in {right} of {SCENES} new scenes")
    scores = deletion(model, spikes, output, relevance)
    print(f"mean score while deleting by relevance: {scores['relevance'].mean():.2f}")
    for name in ("spikes", "spikes of the box"):
        mean, margin, lower = compared(scores, name)
        print(
            f"by {name}: {scores[name].mean():.2f}; by relevance {mean:.2f} ± {margin:.2f} (95 %, "
            f"{SCENES} pairs), lower in {lower}"
        )

    def mark(axis, scene):
        top, left, side = boxes[scene]
        corner = left - 0.5, top - 0.5
        axis.add_patch(Rectangle(corner, side, side, fill=False, edgecolor="tab:green"))

    titles = "spikes of a scene, and its best box", "relevance of the box's score (red raises it)"
    draw(spikes, relevance, "runs/spiking-detector/boxes.png", titles, mark)


if __name__ == "__main__":
    main()
