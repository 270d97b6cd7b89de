"""Tasks that models are evaluated on, one folder each; :mod:`otembed.tasks.registry` lists them."""
