"""The former address of what is in ``nlpu.types.from_schema``."""

from nlpu.types.from_schema import schema_of, schema_type

__all__ = ["schema_of", "schema_type"]
