"""python -m pipeline.gradcam: what speaks for a class, by Grad-CAM or methods beside it, into a file of maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pipeline.cli.command_line import Positional, parse_command
from pipeline.cli.errors import exit_codes
from pipeline.cli.options import Figures, MapsFile, Overwrite
from pipeline.config.fields import Data, Download, KeptSteps, Samples, Seed
from pipeline.maps.method import figures_folder, refuse_existing, write_maps
from pipeline.maps.steps import PICTURED
from recordings.console import PlainConsole
from recordings.disk import readable
from recordings.errors import InputError
from recordings.maps.reader import MapReader
from recordings.maps.schema import METHODS
from recordings.progress import Tracker

from .config import Section

if TYPE_CHECKING:
    from pipeline.maps.attribution_maps import AttributionMaps
    from pipeline.maps.network_maps import NetworkMaps

PROG = "python -m pipeline.gradcam"
DESCRIPTION = """\
Map what speaks for a class: Grad-CAM of an ANN, SNN-crafted Grad-CAM (Kim & Panda 2021, Eq. 9-10) of a spiking network.

The class is the true one, or the predicted one where that is unknown. Other methods map the input of a spiking network
for the predicted class: gradient × input and integrated gradients (16 points) by the surrogate, occlusion by squares of
a fifth of the image, and RISE (512 random masks), which only ask the network.

examples:
  python -m pipeline.gradcam cluttered-digits --out snn.h5 --figures figures
  python -m pipeline.gradcam cluttered-digits-ann --layers conv3 conv4 --samples 100 --out ann.h5
  python -m pipeline.gradcam cluttered-digits --method integrated-gradients --out ig.h5"""

Method = Literal["grad-cam", "gradient-x-input", "integrated-gradients", "occlusion", "rise"]


class GradCamCommand(Section):
    """Options of the command."""

    network: Positional[str] = Field(description="a bundled network or ANN by name, or a checkpoint file of either")
    out: MapsFile
    method: Method = Field("grad-cam", description="Grad-CAM of layers, or a map of the input")
    data: Data = None
    samples: Samples = 8
    seed: Seed = 0
    layers: tuple[str, ...] = Field(
        (), description="layers by name or number; if not given an ANN's last convolution, a spiking network's all"
    )
    steps: KeptSteps = "pictured"
    figures: Figures = None
    overwrite: Overwrite = False
    download: Download = False


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    command = parse_command(GradCamCommand, argv, prog=PROG, description=DESCRIPTION)
    from pipeline.networks.checkpoint_files import find_checkpoint

    refuse_existing(command.out, find_checkpoint(command.network), command.overwrite)
    with figures_folder(command.figures, command.overwrite):
        method = chosen(command)
        with Tracker(PlainConsole(stderr=True)).show("explaining", len(method.samples)) as advance:
            write_maps(method, command.out, advance, overwrite=command.overwrite)
        report(method, command, PlainConsole(soft_wrap=True))


def chosen(command: GradCamCommand) -> NetworkMaps | AttributionMaps:
    """The method, with the network and images that it explains."""
    about = command.network, command.data, command.samples, command.seed
    if command.method == "grad-cam":
        from pipeline.maps.network_maps import NetworkMaps  # torch is slow to import, --help need not wait

        return NetworkMaps.load(*about, command.layers, command.download, command.steps)
    for name in ("layers", "steps"):
        if name in command.model_fields_set:
            raise InputError(f"--{name}: belongs to --method grad-cam; {command.method} maps the input, over all steps")
    from pipeline.maps.attribution_maps import AttributionMaps

    return AttributionMaps.load(command.method, *about, command.download)


def report(method: NetworkMaps | AttributionMaps, command: GradCamCommand, console: PlainConsole) -> None:
    """Print what was written, and draw it if that is wanted."""
    header, unknown = method.header, int((method.samples.label < 0).sum())
    count = f"{len(method.samples)} sample{'s' * (len(method.samples) > 1)}"
    if unknown and METHODS[header.method].target == "label":
        console.print(f"no label is known of {unknown} of {count}: explained for the predicted class")
    size, names = readable(command.out.stat().st_size), ", ".join(layer.name for layer in header.layers)
    steps = f"{header.timesteps} step{'s' * (header.timesteps > 1)}"
    console.print(f"{command.out}  {size}, {header.method} maps of {count}, {steps}, layers {names} ({header.kept})")
    if command.figures is not None:
        for figure in draw(method, command.out, command.figures):
            console.print(str(figure))


def draw(method: NetworkMaps | AttributionMaps, maps_path: Path, directory: Path) -> list[Path]:
    """Picture the first samples; returns the files."""
    from .drawing.figures import save_figures
    from .drawing.subject import subjects_of

    with MapReader(maps_path) as maps:
        predictions = maps.predictions[:PICTURED]
        subjects = subjects_of(method.images, predictions, method.class_names)
        return save_figures(maps, subjects, directory)


if __name__ == "__main__":
    main()
