"""`python -m codex.cli`, the same as `codex-ml`."""

import sys

from codex.cli import main

sys.exit(main())
