"""Encoders: load, describe, freeze, save and export; the offline pretrained model."""

from otembed.models.describe import ModelDescription, describe_model
from otembed.models.export import ExportReport, export_model
from otembed.models.freeze import FreezeSummary, check_trainable, freeze, frozen_copy
from otembed.models.load import load_model
from otembed.models.lora import add_lora, has_adapter, load_adapter_checkpoint, merge_adapter, save_adapter
from otembed.models.merge import MergeReport, merge_models
from otembed.models.offline.encoder import OFFLINE_MODELS, offline_model_path
from otembed.models.onednn import fast_linear
from otembed.models.onnx_export import OnnxReport, export_onnx
from otembed.models.push import PushReport, push_model
from otembed.models.save import check_saveable, save_model
from otembed.models.slices import computes_flat, sliced, together

__all__ = [
    "OFFLINE_MODELS",
    "ExportReport",
    "FreezeSummary",
    "MergeReport",
    "ModelDescription",
    "OnnxReport",
    "PushReport",
    "add_lora",
    "check_saveable",
    "check_trainable",
    "computes_flat",
    "describe_model",
    "export_model",
    "export_onnx",
    "fast_linear",
    "freeze",
    "frozen_copy",
    "has_adapter",
    "load_adapter_checkpoint",
    "load_model",
    "merge_adapter",
    "merge_models",
    "offline_model_path",
    "push_model",
    "save_adapter",
    "save_model",
    "sliced",
    "together",
]
