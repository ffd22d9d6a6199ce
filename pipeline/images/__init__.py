"""From a data set to what a network is given: images, their choice, preparation and encoding."""
