"""The site: `make docs`. Pages of the plan and executed solutions are made by `docs/pages.py` before Sphinx runs."""

from gradekit import __version__

project = "gradekit"
author = "gradekit maintainers"
version = release = __version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx_design"]
myst_enable_extensions = ["colon_fence", "dollarmath", "amsmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # they were executed, with the kernel that students use
nb_merge_streams = True
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "gradekit"
html_favicon = None
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
suppress_warnings = ["mystnb.unknown_mime_type"]
