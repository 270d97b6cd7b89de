"""``python -m otembed.cli``, which ``torchrun -m`` starts in every process."""

from .start import main

main()
