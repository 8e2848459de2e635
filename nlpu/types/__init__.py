"""Result types: from Python annotations to what a model must write, and back."""

from nlpu.lazy import door

__getattr__ = door(__name__, {"result_type": "nlpu.types.result"})  # its former address
