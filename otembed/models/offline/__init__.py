"""The offline pretrained encoder, converted from its package to a standard folder."""

from otembed.models.offline.encoder import OFFLINE_MODELS, offline_model_path

__all__ = ["OFFLINE_MODELS", "offline_model_path"]
