"""From a data set to the input of a network, and what helps say of the choice of images."""

DATA = (
    'images: "cluttered-digits", "cifar10", "fashion-mnist", a data set (folder or zip), or files; '
    'events: "saccade-digits", "chirps", a folder of class folders, or files; if not given, data '
    "that fit the network"
)
DOWNLOAD = "fetch cifar10 or fashion-mnist if it is not here"
SAMPLES = "how many images or recordings, in a random order in which classes take turns"
SEED = "seed of the order of the images, and of the Poisson spikes"
