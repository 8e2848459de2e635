"""The former address of ``nlpu.runtime.plans``."""
