"""Images that are prepared for a training."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from spikesam.pipeline.config import Config, DataSection, TrainingSection
from spikesam.pipeline.training.images import loaders
from spikesam.pipeline.training.inputs import training_inputs

SCENES = DataSection(height=16, width=16, train_scenes=40)


def datasets(**data):
    config = Config(data=SCENES.model_copy(update=data), training=TrainingSection(batch_size=8))
    return [loader.dataset for loader in loaders(config, training_inputs(config), Console(file=StringIO()))]


def test_scenes_are_drawn_once_for_trainings_in_a_row():
    first, again = datasets(), datasets()
    assert [one is other for one, other in zip(first, again, strict=True)] == [True, True]


def test_other_scenes_are_drawn_anew():
    fitting, _ = datasets(height=8, train_scenes=24)
    assert fitting.tensors[0].shape == (24, 3, 8, 16)
