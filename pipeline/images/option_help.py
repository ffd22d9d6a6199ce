"""Lines of help about the choice of images, which settings, commands and methods of maps have in common."""

from __future__ import annotations

DATA = (
    'images: "cluttered-digits", "cifar10", "fashion-mnist", a data set (folder or zip), or files; '
    'events: "saccade-digits", "chirps", a folder of class folders, or files; if not given, data that fit the network'
)
DOWNLOAD = "fetch cifar10 or fashion-mnist if it is not here"
SAMPLES = "how many images or recordings, in a random order in which classes take turns"
SEED = "seed of the order of the images, and of the Poisson spikes"
