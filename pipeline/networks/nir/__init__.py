"""NIR, the Neuromorphic Intermediate Representation: networks from and for other programs.

A NIR file is a graph of nodes with equations in continuous time. One step here is one Euler step of `dt` seconds; see
neurons.py. What NIR cannot say, :func:`to_nir` writes into the metadata of nodes, under :data:`KEY`, where
:func:`from_nir` finds it.
"""

KEY = "spikesam"  # of what NIR itself cannot say, in the metadata of nodes and graphs
DT = 1e-4  # seconds in a step, where nothing says otherwise: the convention of snnTorch's and SpikingJelly's files
