"""Options that several commands have and no file of configuration: their types and lines of help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

ConfigFile = Annotated[Path | None, Field(description="TOML file with the settings; see configs/")]
Figures = Annotated[Path | None, Field(description="new folder for pictures of the first samples (PNG)")]
MapsFile = Annotated[Path, Field(description="file for the maps (HDF5); recordings/FORMAT.md says what it holds")]
Out = Annotated[Path, Field(description="folder for the results")]
Overwrite = Annotated[bool, Field(description="replace what is there")]
