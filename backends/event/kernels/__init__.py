"""Event-driven kernels: the only hot code of the simulators, compiled by numba and free of any
simulator.

Spikes are sparse, so work is done per spike: `events` lists who fired, `synapses` adds the weights
of each, `neurons` advances membranes. Where many fire, `products` multiplies every weight. `steps`
puts them together for a layer, which `layer` lays out, and `chain` for all layers of a chain. The
event backend and the Lava models run the same kernels; what they must equal is written down plainly
in backends/network/step.py.

Maps are channels last, (H, W, C), so that what one spike touches lies side by side.
"""
