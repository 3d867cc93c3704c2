"""The JSON Schema of a Python type."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from lora_watch.alerts import Alert


class Also:
    """Further keywords of JSON Schema, in an ``Annotated`` type."""

    def __init__(self, **keywords: Any):
        self.keywords = keywords


def of(kind: Any) -> dict[str, Any]:
    """The schema of a type: what is plain, Literal, a union, a list, a mapping, a TypedDict or a dataclass of such."""
    plain = {str: "string", int: "integer", bool: "boolean", type(None): "null"}
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any:
        return {}
    if kind is Alert:
        return {"$ref": "alert.json"}
    if kind is float:
        return {"$ref": "#/$defs/number"}
    if kind in plain:
        return {"type": plain[kind]}
    if origin is Annotated:
        extra = [each.keywords if isinstance(each, Also) else {"description": each} for each in parts[1:]]
        return {key: value for each in (of(parts[0]), *extra) for key, value in each.items()}
    if origin is Literal:
        return {"enum": list(parts)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [of(part) for part in parts]}
    if origin in (list, tuple):
        return {"type": "array", "items": of(parts[0])}
    if origin in (dict, Mapping):
        return {"type": "object"} if parts[1] is Any else {"type": "object", "additionalProperties": of(parts[1])}
    if is_dataclass(kind):
        return of_dataclass(kind)
    hints = get_type_hints(kind, include_extras=True)
    return _object({name: of(hint) for name, hint in hints.items()}, [n for n in hints if n in kind.__required_keys__])


def of_dataclass(kind: Any, **instead: Any) -> dict[str, Any]:
    """With ``instead`` for fields that are written in another form. NaN as a default means that null is written."""
    hints = get_type_hints(kind, include_extras=True)
    unknown = {each.name: hints[each.name] | None for each in fields(kind) if each.default != each.default}
    every = {each.name: hints[each.name] for each in fields(kind)} | unknown | instead
    return _object({name: of(hint) for name, hint in every.items()}, list(every))


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties}
