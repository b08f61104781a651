"""Sphinx configuration: `make docs` builds docs/_build/html without a network."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "flowsuite"
author = "The flowsuite developers"
version = release = installed_version("flowsuite")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "api_pages"]
exclude_patterns = ["_build", "_ext", "new_domain", "configs"]
html_theme = "furo"
html_title = f"flowsuite {release}"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["wide.css"]

myst_heading_anchors = 3
suppress_warnings = ["ref.python"]  # names in annotations that several classes have
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_inherit_docstrings = False
napoleon_numpy_docstring = False
napoleon_use_param = False  # "val, test: fractions" is one line about two arguments
napoleon_use_ivar = True
