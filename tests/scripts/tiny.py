"""Work of processes in which plain forms are put in place: it imports no kernels before."""

from pathlib import Path

from benchmarks.common.measurement import Options
from scripts.ablation.arms import begin, prepare, turn

TINY = Options(repeats=1, tiny=True)


def tiny_digests(plain: str | None, folder: Path) -> list[str]:
    """Digests of the workloads that are quick to make ready."""
    begin(plain)
    names = ("small network × 1, batch 8", "VGG11, batch 8", "recurrent")
    return [turn(name, prepare(name, folder, TINY)).digest for name in names]
