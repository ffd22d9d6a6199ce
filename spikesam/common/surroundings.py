"""Variables of the environment, and limits of memory, with which a library cannot start: refused in
a line when it is imported, for the library would end the process or raise an error without advice.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

from spikesam.common.errors import InputError
from spikesam.common.parallel import cores

# Bytes of addresses that Numba, its LLVM and OpenBLAS take before anything is computed: measured.
LEAST, LEAST_A_CORE = 700_000_000, 50_000_000


def _refuse_for_numba() -> None:
    number = os.environ.get("NUMBA_NUM_THREADS", "1").strip()
    if number.removeprefix("-").isdecimal() and int(number) < 1:
        raise InputError(
            f"the variable NUMBA_NUM_THREADS is {number}, expected a number of threads, at least 1"
        )
    limit, least = _addresses(), LEAST + LEAST_A_CORE * cores()
    if limit is not None and limit < least:
        raise InputError(
            f"this process may have {limit // 1000:,} kB of memory, as ulimit -v says, expected at "
            f"least {least // 1000:,} kB"
        )


def _refuse_for_f2py() -> None:
    seconds = os.environ.get("SOURCE_DATE_EPOCH", "0")
    try:
        time.gmtime(int(seconds))
    except (ValueError, OverflowError, OSError):
        raise InputError(
            f"the variable SOURCE_DATE_EPOCH is {seconds!r}, expected seconds since 1970"
        ) from None


def _addresses() -> int | None:
    """The limit of the addresses of this process, in bytes; None where there is none."""
    try:
        import resource
    except ImportError:  # on Windows
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


REFUSALS: Mapping[str, Callable[[], None]] = {  # by the module that is imported
    "numba": _refuse_for_numba,
    "numpy.f2py": _refuse_for_f2py,  # SciPy imports it
}
