"""`spikesam gradcam NETWORK`: `spikesam explain` of a network and images, by default with Grad-CAM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from spikesam.pipeline.cli.command_line import Positional, parse_command
from spikesam.pipeline.cli.errors import exit_codes
from spikesam.pipeline.cli.explaining import explain_and_print
from spikesam.pipeline.cli.options import Figures, MapsFile, Overwrite
from spikesam.pipeline.config import Section
from spikesam.pipeline.config.fields import Data, Download, KeptSteps, Samples, Seed

PROG = "spikesam gradcam"
DESCRIPTION = """\
Map what speaks for a class: Grad-CAM of an ANN, SNN-crafted Grad-CAM (Kim & Panda 2021, Eq. 9-10) of a spiking network.

The class is the true one, or the predicted one where that is unknown. Other methods map the input of a spiking network
for the predicted class: gradient × input and integrated gradients (16 points) by the surrogate, occlusion by squares of
a fifth of the image, and RISE (512 random masks), which only ask the network.

examples:
  spikesam gradcam cluttered-digits --out snn.h5 --figures figures
  spikesam gradcam cluttered-digits-ann --layers conv3 conv4 --samples 100 --out ann.h5
  spikesam gradcam cluttered-digits --method integrated-gradients --out ig.h5"""

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
    explain_and_print(command, command.network, command.model_fields_set & {"data", "samples", "seed", "download"})


if __name__ == "__main__":
    main()
