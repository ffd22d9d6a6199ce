"""The library `nir`, an optional extra, imported when it is first needed."""

from __future__ import annotations

from typing import Any

from recordings.errors import InputError


def nir_library() -> Any:
    """The module `nir`.

    Raises
    ------
    InputError : if it is not installed
    """
    try:
        import nir
    except ImportError:
        raise InputError(
            "NIR files need the library nir, which is not installed; pip install 'spikesam[nir]'"
        ) from None
    return nir
