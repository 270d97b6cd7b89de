"""Settings as documents: a commented file of every knob, its JSON Schema, where each value comes from; torch-free."""

from otembed.settings.origins import Resolved, resolve_settings
from otembed.settings.schema import settings_schema
from otembed.settings.template import settings_template

__all__ = ["Resolved", "resolve_settings", "settings_schema", "settings_template"]
