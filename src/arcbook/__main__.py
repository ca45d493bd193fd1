"""``python -m arcbook``."""

from __future__ import annotations

from arcbook.cli.main import main

main()
