"""Settings of the site that Sphinx builds from this folder: make docs."""

from __future__ import annotations

import os
import sys
from functools import partialmethod
from importlib.metadata import version as installed
from pathlib import Path

from nbclient import NotebookClient

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS.parent), str(DOCS / "_extensions")]
# The tutorials run this code, by the commands of this environment, whose folder need not be on
# PATH.
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(DOCS.parent), os.environ.get("PYTHONPATH")])
)
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
# Their arrays are so small that a second thread gains nothing, and waits long for its turn where
# cores are shared. Lines of output are as wide as the page.
os.environ |= {"COLUMNS": "104", "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}

project = "spikesam"
author = "The spikesam developers"
project_copyright = "The spikesam developers"
version = release = installed("spikesam")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_design",
    "command_help",
    "docstrings",
    "repository_links",
    "shown_outputs",
]
exclude_patterns = ["_build", "_extensions", "_filled", "joss"]
default_role = "literal"
python_use_unqualified_type_names = True
maximum_signature_line_length = 90

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autosummary_generate = False
napoleon_google_docstring = False
napoleon_attr_annotations = False
napoleon_use_ivar = True
napoleon_use_rtype = False

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 240  # seconds for one cell
# Jupyter passes on what a command prints in pieces of 100 bytes. nbclient joins them; myst-nb would
# put a line break behind each. On a busy machine, a kernel may need more than the 60 seconds that
# it is given to start.
NotebookClient.__init__ = partialmethod(
    NotebookClient.__init__, coalesce_streams=True, startup_timeout=240
)

html_theme = "pydata_sphinx_theme"
html_title = f"spikesam {version}"
html_last_updated_fmt = "%Y-%m-%d"
templates_path = ["_templates"]
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["report-example.html"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "spikesam"},
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
    "footer_start": ["copyright", "version_and_date"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": [], "start": []}
