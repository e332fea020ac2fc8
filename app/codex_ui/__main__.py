"""`python -m codex_ui`."""

import sys

from codex_ui.cli import main

sys.exit(main())
