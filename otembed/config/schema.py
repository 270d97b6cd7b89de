"""JSON Schema of a configuration dataclass, and the values that a schema node allows, in words."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

DIALECT = "https://json-schema.org/draft/2020-12/schema"
BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
NAMES = {"boolean": "true | false", "string": "text", "object": "names and values", "null": "null"}

Schema = dict[str, Any]


class _Untitled(GenerateJsonSchema):
    """Omits titles, which only repeat the keys."""

    schema_dialect = DIALECT

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def settings_schema(kind: type, *, title: str | None = None) -> Schema:
    """Return the JSON Schema (draft 2020-12) of a YAML file of settings.

    Parameters
    ----------
    kind
        A configuration dataclass, such as :class:`otembed.config.TrainConfig`.
    title
        Title of the document; by default the name of ``kind``.

    Returns
    -------
    dict
        Types, choices, limits, defaults and descriptions of all settings; unknown keys are invalid. No
        key is required: the command line may supply it. Constraints between settings are not part of
        the schema; they are checked when the settings are read.
    """
    schema = TypeAdapter(kind).json_schema(schema_generator=_Untitled)
    schema.pop("required", None)
    return {"$schema": DIALECT, **schema, "title": title or kind.__name__}


def allowed(node: Schema) -> str:
    """Describe the values that a schema node allows.

    >>> allowed({"anyOf": [{"type": "integer", "exclusiveMinimum": 0}, {"type": "null"}]})
    'integer > 0 | null'
    >>> allowed({"type": "number", "minimum": 0, "exclusiveMaximum": 1})
    'number >= 0, < 1'
    """
    for union in ("anyOf", "oneOf"):
        if union in node:
            return " | ".join(dict.fromkeys(allowed(each) for each in node[union]))
    if "enum" in node:
        return " | ".join(map(str, node["enum"]))
    if "const" in node:
        return str(node["const"])
    if "prefixItems" in node:
        return f"[{'; '.join(allowed(each) for each in node['prefixItems'])}]"
    if "$ref" in node:
        return "settings below"
    kind = node.get("type", "any value")
    if kind == "array":
        return f"list of {allowed(node['items'])}"
    limits = ", ".join(f"{sign} {node[key]:g}" for key, sign in BOUNDS.items() if key in node)
    return f"{NAMES.get(kind, kind)} {limits}".rstrip()
