"""The scripted engine's former address: it is in ``nlpu.testing``."""

from nlpu.testing.scripted import Scripted

__all__ = ["Scripted"]
