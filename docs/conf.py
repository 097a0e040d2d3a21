"""Sphinx's settings for this documentation: ``sphinx-build -W docs docs/_build`` makes it, warnings being errors."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from al_lightning import __version__

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import messages  # noqa: E402  (it stands beside this file)

project = "al_lightning"
author = "The al_lightning authors"
copyright = "2026, the al_lightning authors"
version = release = __version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax", "sphinx.ext.viewcode", "myst_nb"]
exclude_patterns = ["_build"]

# Pages are Markdown, as the README is; a heading is a link target.
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # notebooks are shown with their committed outputs; tests run them

# The interface is what the docstrings say, in the order of the source.
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # attributes of named tuples are described once

# A reference to anything of ours must lead somewhere. Others' pages are on the network, where a build does not look.
nitpicky = True
type_variables = r"al_lightning.*\.(TargetState|RawBatch|Samples)"
nitpick_ignore_regex = [("py:.*", r"(?!al_lightning).*"), ("py:.*", type_variables)]
suppress_warnings = ["ref.python"]  # `ImageOptions` and `TextOptions` are of networks and of data: each links to one

html_theme = "furo"
html_title = f"al_lightning {release}"
html_static_path = ["site.css"]
html_css_files = ["site.css"]


def write_generated() -> None:
    """What the site shows of files that stand elsewhere: notebooks, the results, and every message of the package."""
    folder = HERE / "generated"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(HERE.parent / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns(".*"))
    results = (HERE.parent / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    # A link to a page outside of the site is none; one to a file lets it be downloaded.
    linked = results.replace("[`results/README.md`](results/README.md)", "`benchmarks/results/README.md`")
    linked = linked.replace("](results/", "](../../benchmarks/results/")
    (folder / "all_results.md").write_text(linked, encoding="utf-8")
    changelog = (HERE.parent / "CHANGELOG.md").read_text(encoding="utf-8")
    (folder / "changelog.md").write_text(changelog, encoding="utf-8")
    (folder / "messages.md").write_text(messages.page(), encoding="utf-8")


write_generated()
