"""Imports what commands import, and loads compiled kernels, so that forked commands begin at once; starts no thread."""

from __future__ import annotations

from importlib import import_module

from PIL import Image

from backends.event.kernels.layer import compile_kernels
from pipeline.maps.sam import compile_kernel

MODULES = (
    *("pipeline.run", "pipeline.train", "pipeline.convert", "pipeline.export", "pipeline.explain", "pipeline.gradcam"),
    *("paper.__main__", "recordings.validate", "pipeline.networks.train.fit", "paper.common.setup"),
    *(
        "backends.available",
        "backends.event",
        "backends.torch.backend",
        "pipeline.maps.sam_kernel",
        "pipeline.engine.summary",
    ),
    *(
        "pipeline.drawing.figures",
        "pipeline.engine.simulate",
        "pipeline.maps.methods.snn_grad_cam",
        "pipeline.maps.localisation",
    ),
    *("pipeline.drawing.subject", "pipeline.cli.run_report", "matplotlib.backends.backend_agg", "PIL.PngImagePlugin"),
    *("pipeline.energy", "pipeline.cost.energy", "pipeline.cost.pictures", "pipeline.cli.energy_report"),
    *("paper.fig3", "pipeline.networks.convert.algorithm", "pipeline.networks.nir.write", "spikesam"),
    *("tests.campaign.isolated", "tests.campaign.formats"),
)

for name in MODULES:
    import_module(name)
Image.init()
compile_kernel()
compile_kernels("fixed")
