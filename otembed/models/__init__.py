"""Encoders: loading, the offline pretrained model, freezing, frozen references and saving."""

from otembed.models.describe import ModelDescription, describe_model
from otembed.models.export import check_saveable, save_model
from otembed.models.freeze import FreezeSummary, freeze, frozen_copy
from otembed.models.load import load_model
from otembed.models.offline.encoder import OFFLINE_MODELS, offline_model_path

__all__ = [
    "OFFLINE_MODELS",
    "FreezeSummary",
    "ModelDescription",
    "check_saveable",
    "describe_model",
    "freeze",
    "frozen_copy",
    "load_model",
    "offline_model_path",
    "save_model",
]
