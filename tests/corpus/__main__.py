"""``python -m corpus [FOLDER]``."""

from __future__ import annotations

import sys

from corpus.runner import main

sys.exit(main())
