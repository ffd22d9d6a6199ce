"""Reading, checking and explaining recordings must work where neither torch nor lava can be imported."""

import re
import subprocess
import sys
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

HEAVY = ("torch", "torchvision", "lightning", "snntorch", "captum", "lava")
COMMANDS = (
    "spikesam.recordings.validate",
    "spikesam.pipeline.run",
    "spikesam.pipeline.train",
    "spikesam.pipeline.export",
    "spikesam.pipeline.explain",
    "spikesam.pipeline.energy",
    "spikesam.pipeline.diff",
    "spikesam.pipeline.report",
)


def run_python(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


def test_recordings_and_explanations_import_where_torch_and_lava_cannot_be():
    done = run_python(
        f"import sys; sys.modules.update(dict.fromkeys({HEAVY}))\n"  # None there makes an import fail
        "from spikesam.recordings import validate\n"
        "from spikesam.recordings.raster import arrays, reader\n"
        "import spikesam.pipeline.maps.sam, spikesam.pipeline.explain\n"
        "import spikesam.pipeline.measures.localisation, spikesam.pipeline.measures.statistics\n"
        "import paper.measures.maps, paper.measures.deletion\n"
        f"print([name for name in {HEAVY} if sys.modules[name]])"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_help_does_not_wait_for_torch():
    done = run_python(
        "import sys, runpy\n"
        f"for command in {COMMANDS}:\n"
        "    sys.argv = [command, '--help']\n"
        "    try:\n        runpy.run_module(command, run_name='__main__', alter_sys=True)\n"
        "    except SystemExit as stop:\n        assert not stop.code\n"
        f"    assert not sys.modules.keys() & {set(HEAVY)}, command"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage: ") == len(COMMANDS)


def test_a_run_takes_the_time_of_what_it_uses_alone():
    """Each of these takes a second or more where a run needs a part of it, or none."""
    unused = ("torch", "sklearn", "skimage", "scipy.stats", "matplotlib.pyplot", "networkx", "torchvision")
    done = run_python(
        "import sys\n"
        "from spikesam.backends.available import make_backend\n"
        "from spikesam.pipeline.images.datasets.handwriting import handwriting\n"
        "import spikesam.pipeline.drawing.figures, spikesam.pipeline.maps.localisation\n"
        "import spikesam.pipeline.page.write, spikesam.pipeline.engine.simulate\n"
        "make_backend('auto', 'cpu'), handwriting('val')\n"
        f"print([name for name in {unused} if name in sys.modules])"
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_the_page_on_architecture_lists_the_layers_in_the_order_that_is_checked():
    root = Path(__file__).parents[1]
    contracts = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(contract["layers"] for contract in contracts if contract.get("containers") == ["spikesam.pipeline"])
    floors = {name.strip(): -floor for floor, line in enumerate(layers) for name in line.split("|")}
    page = (root / "docs" / "architecture.md").read_text(encoding="utf-8")
    listed = [re.findall(r"`pipeline/(\w+)/`", row.split("|")[1]) for row in page.splitlines() if row.startswith("| `")]
    folders = [name for row in listed for name in row]
    assert {name for name in floors if (root / "pipeline" / name).is_dir()} == set(folders)
    numbers = [floors[name] for name in folders]
    assert numbers == sorted(numbers, reverse=True)
