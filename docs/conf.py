"""Sphinx's settings: Markdown pages, one theme, nothing from the network."""

project = "streamfmt"
copyright = "2026, the streamfmt authors"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
# A class that streamfmt exports has a second name, that of its module; both lead to the same place.
suppress_warnings = ["ref.python"]
html_title = "streamfmt"
