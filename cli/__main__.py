"""``python -m otembed.cli``, which ``torchrun -m`` starts in every process."""

from .main import main

main()
