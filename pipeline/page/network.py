"""The picture of a run's network, as the page holds it."""

from __future__ import annotations

import base64
import io
from typing import Any

from spikesam.pipeline.page.shown_run import ShownRun


def graph_of(run: ShownRun) -> dict[str, Any] | None:
    """The picture as SVG in a `data:` address, and whether it shows more than a chain; None without the network."""
    if run.network is None:
        return None
    from spikesam.pipeline.drawing.canvas import style
    from spikesam.pipeline.drawing.network import draw_network

    drawn = io.BytesIO()
    with style(**{"svg.fonttype": "none", "svg.hashsalt": "spikesam"}):  # the same network, the same page
        draw_network(run.network, run.raster).savefig(drawn, format="svg", metadata={"Date": None})
    address = "data:image/svg+xml;base64," + base64.b64encode(drawn.getvalue()).decode()
    return {"address": address, "chain": run.network.is_chain}
