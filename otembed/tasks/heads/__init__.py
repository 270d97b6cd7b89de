"""Heads that are fine-tuned on top of an encoder: their run folder and their training."""
