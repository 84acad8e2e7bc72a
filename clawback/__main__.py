"""``python -m clawback``."""

from clawback.cli import main

main()
