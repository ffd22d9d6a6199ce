"""spikesam: spike activation maps, which show what a spiking neural network looks at.

    import spikesam

    raster = spikesam.simulate("cluttered-digits", samples=4)  # every spike of every layer
    maps = spikesam.explain(raster)  # where they come in quick succession
    maps["conv2"].sum[0]  # one map per image: (H, W)

========================  ========================================================================
:func:`load`              a checkpoint, by its bundled name or from a file
:func:`train`             a spiking network, or its ANN twin, from images or events
:func:`convert`           a spiking network from an ANN, yours too, with its accuracy after every
                          step
:func:`simulate`          run samples through a network on a backend; a reader of the recorded
                          spikes
:func:`explain`           maps of recorded spikes, or of a network and images; a reader of the
                          maps
:func:`measure`           how well maps find objects whose masks are known: a table
:func:`energy`            what a recording costs: operations, and joules by :class:`Prices`; an
                          :class:`Energy`
:func:`fits`              which layers of a network fit on a model of Loihi: a :class:`Fit`
:func:`chip`              a recording on a model of Loihi: its spikes, time and energy; a
                          :class:`Chip`
:func:`edit`              what if these spikes were silent? the answer then, simulated from there:
                          an :class:`Edit`
:func:`report`            one HTML file to explore a run in, or two side by side
:func:`view`              the page in a notebook: its place, layer, step and edit are values of
                          Python
:func:`record`            every spike of a torch network of any library, while you run it
:func:`check`             is a torch network what you think it is? a :class:`Check` of each
                          :class:`Finding`
:class:`Monitor`          the same of a fixed batch, every few epochs of a training;
                          :class:`MonitorCallback`
:func:`open_raster`       read a raster file, whatever wrote it
:func:`open_maps`         read a file of maps
:func:`write_raster`      a raster file from arrays, or from :class:`SpikeEvents`, whatever fired
                          the spikes
:func:`sam`               Spike Activation Maps of an array
:func:`attention_map`     which token attends to which, from the recorded spikes of queries and
                          keys
:func:`from_torch`        a spiking network of snnTorch, SpikingJelly, Norse, sinabs, lava-dl:
                          proven equal
:func:`to_torch`          a network as a torch module from images to class scores, with gradients
:func:`compare`           bits that differ between a model and its network, per layer, and answers
:class:`Network`          a network of your own: with :class:`Layer`, :class:`LIF`,
                          :class:`Readout`
:class:`Input`            what a layer reads, a :class:`Source` for instance, through which
                          synapse
:class:`Conv`             weights of a convolution; :class:`Dense` of a matrix product
:class:`Identity`         the spikes themselves, as a shortcut has; :class:`Attention` multiplies
                          them
:func:`from_nir`          a network from a NIR file of another program; :func:`to_nir` writes one
:func:`from_nir_data`     a raster file from the data of NIR that other programs and chips write
:func:`from_netx`         a network of Loihi's own integers from a `.net` file of lava-dl
:func:`quantise`          a network in the integers that every backend agrees on
:func:`integer_planes`    layers of bits for neurons that fire several spikes a step;
                          :func:`ternary_planes` -1, 0, 1
:func:`compact`           a network whose weights take a byte each on disk
:class:`Checkpoint`       a network, its classes and its :class:`Preprocessing`; :func:`save`
                          writes it
:func:`draw_network`      a picture of a network: what reads what, and how often it fires
:func:`read_events`       :class:`Events` that a camera recorded; :class:`EventBinning` makes
                          spikes of them
:class:`InputError`       what every function raises where something given does not fit
========================  ========================================================================

Names are imported when they are first used, so that `import spikesam` takes neither torch, nor
Lava, nor time.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import lazy_loader

from spikesam.common.extras import NEEDS, missing, register_needs
from spikesam.common.foreign_settings import ignore_foreign_settings
from spikesam.common.pictures import register_drawing

if TYPE_CHECKING:
    from types import ModuleType

# Links to the folders become text files where git cannot make links, as on Windows by default.
if os.path.isfile(_link := os.path.join(os.path.dirname(__file__), "pipeline")):
    raise ImportError(
        f"{_link}: expected a symbolic link, got a file; git config core.symlinks true, then "
        "git checkout -- spikesam (Windows allows it in developer mode), or install the wheel"
    )
ignore_foreign_settings()  # before anything imports numba, matplotlib or torch
register_needs(
    {
        **dict.fromkeys(
            (
                *("Diff", "Edit", "Energy"),
                *("diff", "edit", "energy", "measure"),
            ),
            ("pandas",),
        ),
        **dict.fromkeys(("Chip", "Fit", "chip", "fits"), ("pandas", "sanafe")),
        **dict.fromkeys(("check", "from_torch", "record", "to_torch"), ("torch",)),
        **dict.fromkeys(
            ("Comparison", "Conversion", "Monitor", "compare", "convert", "convert_checkpoint"),
            ("pandas", "torch"),
        ),
        **dict.fromkeys(("MonitorCallback", "train"), ("lightning", "pandas", "torch")),
        "view": ("anywidget",),
    }
)
_import, _, __all__ = lazy_loader.attach_stub(__name__, __file__)


@register_drawing
def _drawing() -> ModuleType:
    from spikesam.pipeline.maps import plot

    return plot


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used; `__init__.pyi` says from where."""
    if name == "__version__":
        from importlib.metadata import version  # takes half of the time of this import

        return version("spikesam")
    if name not in __all__:
        raise AttributeError(f"module 'spikesam' has no attribute {name!r}")
    try:
        return _import(name)
    except ImportError as error:
        if lacks := missing(error, name):
            raise ImportError(f"spikesam.{name} {lacks}", name=error.name) from None
        raise


def __dir__() -> list[str]:
    """The public names, without those that need what is not installed:
    `help` looks at all of them.
    """
    from importlib.util import find_spec

    return [*(name for name in __all__ if all(map(find_spec, NEEDS.get(name, ())))), "__version__"]
