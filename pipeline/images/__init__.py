"""From a data set to the input of a network."""
