"""How Lightning's checkpoints reach the disk."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from recordings.disk import write_file


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint whole or not at all.

    Lightning writes to the system's folder for temporary files and moves from there, which copies where that is
    another disk: killed meanwhile, a training could not be resumed.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write one."""
        content = BytesIO()
        torch.save(checkpoint, content)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_file(Path(path), content.getvalue())
