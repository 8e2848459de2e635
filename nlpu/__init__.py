"""The processor: ops, values, labels, the codec and the engines."""

from nlpu.errors import HostError, ModelError, NlpuError, ProgramError
from nlpu.judgement import Judgement
from nlpu.label import Label
from nlpu.lifting import lift
from nlpu.op import Op, nlop, op
from nlpu.processor import Limits, Price
from nlpu.text import Chunk, split
from nlpu.value import Value

__all__ = [
    "Chunk",
    "HostError",
    "Judgement",
    "Label",
    "Limits",
    "ModelError",
    "NlpuError",
    "Op",
    "Price",
    "ProgramError",
    "Value",
    "lift",
    "nlop",
    "op",
    "split",
]
