"""Imports what commands import, and loads compiled kernels, so that forked commands begin at once;
starts no thread.
"""

from importlib import import_module

from PIL import Image

from spikesam.backends.event.kernels.layer import compile_kernels
from spikesam.pipeline.maps.sam import compile_kernel

MODULES = """
spikesam.pipeline.run spikesam.pipeline.train spikesam.pipeline.convert spikesam.pipeline.export
spikesam.pipeline.explain paper.__main__ spikesam.pipeline.validate
spikesam.pipeline.training.fit paper.common.setup spikesam.backends.available
spikesam.backends.event spikesam.backends.torch.backend spikesam.pipeline.maps._sam_kernel
spikesam.pipeline.engine.summary spikesam.pipeline.drawing.figures
spikesam.pipeline.engine.simulate spikesam.pipeline.maps.methods.grad_cam
spikesam.pipeline.maps.localisation spikesam.pipeline.drawing.subject
spikesam.pipeline.cli.running matplotlib.backends.backend_agg PIL.PngImagePlugin
spikesam.pipeline.energy spikesam.pipeline.cost.energy paper.fig3
spikesam.pipeline.conversion.algorithm spikesam.pipeline.imports.nir.write spikesam
tests.campaign.isolated tests.campaign.formats
"""

for name in MODULES.split():
    import_module(name)
Image.init()
compile_kernel()
compile_kernels("fixed")
