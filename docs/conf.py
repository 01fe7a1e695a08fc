"""Sphinx configuration: docstrings are the reference, the gallery's examples run at every build."""

import sys
from pathlib import Path

import cleser

# For mathml.py and notebook_pages.py; the gallery draws with pulls.py.
sys.path.insert(0, str(Path(__file__).parent))

project = "cleser"
author = "The cleser developers"
copyright = "2026, the cleser developers"
version = release = cleser.__version__

extensions = [
    "mathml",
    "myst_parser",
    "notebook_pages",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
html_theme = "furo"
html_title = f"cleser {release}"
html_math_renderer = "mathml"
html_static_path = ["static"]
html_css_files = ["narrow.css"]
copybutton_prompt_text = "$ "  # not copied, and neither is what a command prints
copybutton_line_continuation_character = "\\"
myst_enable_extensions = ["dollarmath"]
exclude_patterns = [
    "_build",
    "versions.txt",
    "examples",
    "auto_examples/*.ipynb",
    "auto_examples/**/*.py.md5",
]

default_role = "py:obj"  # a name in single backticks is a link where it can be
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_numpy_docstring = False

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,  # that page would ask another host for its table
    "abort_on_example_error": True,
}
