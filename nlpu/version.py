"""The version of the installed project."""

from importlib import metadata

__version__ = metadata.version("nlpu")
