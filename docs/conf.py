"""Sphinx configuration: Markdown pages by MyST, the theme furo."""

project = "container_kit"
author = "the container_kit contributors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
myst_heading_anchors = 3
exclude_patterns = ["_build"]
autodoc_member_order = "bysource"
# Classes of the asynchronous face have the names of the others: a type in a signature may mean either.
suppress_warnings = ["myst.xref_missing", "ref.python"]
