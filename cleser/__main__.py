"""``python -m cleser``: the command line."""

import sys

from cleser.cli import main

sys.exit(main())
