"""All settings, and settings as documents: YAML, JSON Schema, a template, the origin of each value. Torch-free."""

from otembed.config.documents import DocumentMiningConfig, DocumentsConfig, MatchConfig
from otembed.config.hub import HubConfig
from otembed.config.io import (
    build,
    merge,
    parse_assignments,
    preset_names,
    preset_text,
    read_preset,
    read_yaml,
    to_yaml,
    train_config,
)
from otembed.config.loss import AlignmentConfig, AnchorConfig, ContrastiveConfig
from otembed.config.mining import MiningConfig
from otembed.config.negatives import NegativesConfig
from otembed.config.origins import Resolved, resolve_settings
from otembed.config.plan import PlanConfig
from otembed.config.schema import settings_schema
from otembed.config.tagging import TaggingFinetuneConfig, TaggingProbeConfig
from otembed.config.template import settings_template
from otembed.config.train import (
    DataConfig,
    HeldOutConfig,
    LoraConfig,
    LossConfig,
    ModelConfig,
    OptimizationConfig,
    PairChecks,
    ReleaseConfig,
    TrainConfig,
)
from otembed.config.trainer import TrainerConfig
from otembed.config.words import WordAlignmentConfig
from otembed.config.xnli import FinetuneConfig, ProbeConfig
from otembed.config.xquad import SpanConfig

__all__ = [
    "AlignmentConfig",
    "AnchorConfig",
    "ContrastiveConfig",
    "DataConfig",
    "DocumentMiningConfig",
    "DocumentsConfig",
    "FinetuneConfig",
    "HeldOutConfig",
    "HubConfig",
    "LoraConfig",
    "LossConfig",
    "MatchConfig",
    "MiningConfig",
    "ModelConfig",
    "NegativesConfig",
    "OptimizationConfig",
    "PairChecks",
    "PlanConfig",
    "ProbeConfig",
    "ReleaseConfig",
    "Resolved",
    "SpanConfig",
    "TaggingFinetuneConfig",
    "TaggingProbeConfig",
    "TrainConfig",
    "TrainerConfig",
    "WordAlignmentConfig",
    "build",
    "merge",
    "parse_assignments",
    "preset_names",
    "preset_text",
    "read_preset",
    "read_yaml",
    "resolve_settings",
    "settings_schema",
    "settings_template",
    "to_yaml",
    "train_config",
]
