"""Entry point of ``python -m otembed``."""

from otembed.cli.main import main

main()
