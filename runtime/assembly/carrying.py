"""The former address of ``nlpu.runtime.plans.execute``."""

from nlpu.runtime.plans.execute import program_of

__all__ = ["program_of"]
