"""Entry point of ``python -m otembed``."""

from otembed.cli.start import main

main()
