"""The manifest of an MCP server: what its tools were when a person looked at them.

Theory of operation
-------------------
A server says of itself which tools it has, with names, descriptions and schemas, and may say
something else tomorrow. So a program does not take its word: a JSON file beside the program holds
each tool's definition as it was read, and what the person who read it declares::

    {"forecast": {"effect": "read", "roles": {"city": "selector"}, "about": "",
                  "idempotent": false, "left_out": false,
                  "definition": {"description": ..., "inputSchema": ...}}}

Rules
1. What is not declared is external, and every argument authority (as of any driver).
2. A server whose tools are not exactly those of the manifest is not called. What a tool that is
   left out is now is nobody's concern.
3. A description is a text by somebody else: nothing here shows it to a model, and what a driver
   says about itself is the declaration's ``about`` alone.
4. A tool that cannot be used is set aside by name, with the reason, and the others work. Such are
   those with a name that a screen does not show as it is (controls, invisible or half characters),
   with a definition that is not of the protocol's form or a schema that is none of an object,
   several of one name, and those with a regular expression in a result's schema: one that is made
   for it keeps a matcher busy for years.
"""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from nlpu.errors import DriverFailed, StorageFailed, Usage
from nlpu.runtime.drivers.driver import Argument, Effect, Role
from nlpu.types.json_text import Twice, check_once

_MOST_NAME = 128  # characters of a name; the protocol's advice
BENT = "nlpu/bent"  # in a schema: the tool as it came (``mcp_repairs``)
_SEVERAL = "nlpu/several"  # in a schema: the tools of one name, as they were listed
_TYPES: Mapping[Any, Any] = {"string": str, "integer": int, "number": float, "boolean": bool}


class Definition(BaseModel):
    """A tool as its server describes it."""

    description: str | None = None
    inputSchema: dict[str, Any]  # noqa: N815  (the protocol's name)
    outputSchema: dict[str, Any] | None = None  # noqa: N815

    def parts(self) -> dict[str, str]:
        """As texts, which are equal only if all is: to Python, 1 is True."""
        return {k: json.dumps(v, sort_keys=True) for k, v in self.model_dump().items()}


class Pinned(BaseModel):
    """A tool as it was read, and what is declared about it."""

    model_config = ConfigDict(extra="forbid")

    effect: Effect = "external"
    roles: dict[str, Role] = Field(default_factory=dict)
    about: str = ""
    idempotent: bool = False
    left_out: bool = False
    definition: Definition

    @property
    def digest(self) -> str:
        """Of the definition."""
        whole = json.dumps(self.definition.parts())
        return blake2b(whole.encode(), digest_size=8).hexdigest()

    def arguments(self) -> tuple[Argument, ...]:
        """The tool's arguments, those that must be given first."""
        schema = self.definition.inputSchema
        required = schema.get("required", [])
        found = [
            Argument(
                name,
                _type_of(of),
                self.roles.get(name, "authority"),
                *([] if name in required else [None]),
            )
            for name, of in schema.get("properties", {}).items()
        ]
        return tuple(sorted(found, key=lambda each: each.optional))


Manifest: TypeAlias = dict[str, Pinned]
_FILE = TypeAdapter(Manifest)


def read(path: Path) -> Manifest:
    """The manifest in a file. Raises Usage."""
    try:
        text = path.read_bytes().removeprefix(BOM_UTF8)
        manifest = _FILE.validate_json(text)
        check_once(text.decode())
    except FileNotFoundError:
        raise Usage(
            f"there is no manifest {path}; write it with nlpu.runtime.drivers.pin(server, path) "
            "and declare in it what the tools do"
        ) from None
    except OSError as error:
        raise Usage(f"the manifest {path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"{part}: " for part in first["loc"])
        raise Usage(f"the manifest {path} cannot be used: {place}{first['msg']}") from error
    except Twice as error:
        raise Usage(f"the manifest {path} cannot be used: {error}") from None
    for name, pinned in manifest.items():
        _check_roles(name, pinned)
    return manifest


def write(path: Path, tools: Mapping[str, Definition]) -> None:
    """Pin the tools; those that are pinned as they are keep what was declared about them."""
    old = read(path) if path.exists() else {}
    new = {
        name: old[name]
        if name in old and old[name].definition.parts() == each.parts()
        else Pinned(definition=each)
        for name, each in tools.items()
    }
    try:
        path.write_bytes(_FILE.dump_json(new, indent=2))
    except OSError as error:
        raise StorageFailed(f"the manifest {path} cannot be written: {error}") from error


def one_of(found: list[Definition]) -> Definition:
    """The definition of a name, of those that have the protocol's form, if there are any.

    Where several differ, nobody knows which one a call reaches.
    """
    formed = [each for each in found if BENT not in each.inputSchema] or found
    texts = sorted({json.dumps(each.parts()) for each in formed})
    if len(texts) == 1:
        return formed[0]
    return Definition(inputSchema={"type": "object", _SEVERAL: texts})


def compare(manifest: Manifest, tools: Mapping[str, Definition]) -> None:
    """Rule 2. Raises DriverFailed naming all that differs."""
    changes = [f"{name!r} is new" for name in tools if name not in manifest]
    for name, pinned in manifest.items():
        if pinned.left_out:
            continue
        if name not in tools:
            changes.append(f"{name!r} is gone")
            continue
        was, now = pinned.definition.parts(), tools[name].parts()
        changes += [f"the {part} of {name!r} is another" for part in was if was[part] != now[part]]
    if changes:
        raise DriverFailed(
            f"the server's tools are not those of its manifest: {'; '.join(changes)[:1000]}. "
            "Nothing was called; look at the server, and if all is well, pin it again"
        )


def why_set_aside(name: str, pinned: Pinned) -> str:
    """Say why a tool cannot be used; "" if it can (rule 4)."""
    if pinned.left_out:
        return "its manifest leaves it out"
    schema = pinned.definition.inputSchema
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if BENT in schema:
        return "its definition is not of the protocol's form"
    if _SEVERAL in schema:
        return "the server lists several tools of this name"
    if not isinstance(properties, dict) or not isinstance(required, list):
        return "its inputSchema is not that of an object"
    for each in (name, *properties):
        if not _can_be_shown(each):
            return f"the name {each[:_MOST_NAME]!r} is empty, too long, or not shown as it is"
    if _has_pattern(pinned.definition.outputSchema):
        return "its outputSchema has a regular expression, which a result could keep busy for years"
    return ""


def _can_be_shown(name: str) -> bool:
    return 0 < len(name) <= _MOST_NAME and name.isprintable() and name == name.strip()


def _check_roles(name: str, pinned: Pinned) -> None:
    """Raise Usage for a role of what is no argument."""
    properties = pinned.definition.inputSchema.get("properties", {})
    unknown = pinned.roles.keys() - (properties if isinstance(properties, dict) else {})
    if unknown:
        raise Usage(f"the tool {name!r} has no argument {min(unknown)!r}; correct its roles")


def _has_pattern(schema: Any) -> bool:
    if isinstance(schema, list):
        return any(map(_has_pattern, schema))
    if not isinstance(schema, dict):
        return False
    found = isinstance(schema.get("pattern"), str) or "patternProperties" in schema
    return found or any(map(_has_pattern, schema.values()))


def _type_of(schema: Any) -> Any:
    """The annotation of an argument; what has none of our types may be anything JSON can hold."""
    kind = schema.get("type") if isinstance(schema, dict) else None
    return _TYPES.get(kind, Any) if isinstance(kind, str) else Any
