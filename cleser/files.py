"""Files that cleser writes: where they are kept."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where what was computed is kept: ``$CLESER_CACHE``, else ``cleser`` in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "cleser"
    return Path(os.environ.get("CLESER_CACHE", default))
