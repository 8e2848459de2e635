"""What engines call the fields of ``Sampling``. One that is not in an engine's table, it has not.

Rules
1. A field means the same on every engine. llama.cpp counts the prompt among what frequency and
   presence penalties are of, so it has none.
2. Samplers come in one order everywhere: penalties, temperature, then what cuts the tail.
3. llama.cpp says nothing of a field that it does not know, so what ``extra`` may hold is a list.
4. Where the likeliest token is taken, penalties alone change anything.
"""

from collections.abc import Iterable

from nlpu.sampling import Sampling

COMMON = ("temperature", "top_p", "frequency_penalty", "presence_penalty")  # any server's
VLLM = (*COMMON, "top_k", "min_p", "repetition_penalty")

LLAMA = {  # what llama.cpp calls it, and which of its samplers reads it
    "repetition_penalty": ("repeat_penalty", "penalties"),
    "temperature": ("temperature", "temperature"),
    "min_p": ("min_p", "min_p"),
    "top_k": ("top_k", "top_k"),
    "top_p": ("top_p", "top_p"),
}
LLAMA_EXTRA = {
    "dry_multiplier": "dry",
    "dry_base": "dry",
    "dry_allowed_length": "dry",
    "dry_penalty_last_n": "dry",
    "dry_sequence_breakers": "dry",
    "top_n_sigma": "top_n_sigma",
    "dynatemp_range": "temperature",
    "dynatemp_exponent": "temperature",
    "typical_p": "typ_p",
    "xtc_probability": "xtc",
    "xtc_threshold": "xtc",
    "min_keep": "temperature",
    "ignore_eos": "temperature",
}
LLAMA_ORDER = (
    "penalties",
    "dry",
    "top_n_sigma",
    "temperature",
    "typ_p",
    "min_p",
    "top_k",
    "top_p",
    "xtc",
)

TRANSFORMERS = {  # its class, and the number that this takes
    "repetition_penalty": ("RepetitionPenaltyLogitsProcessor", float),
    "temperature": ("TemperatureLogitsWarper", float),
    "min_p": ("MinPLogitsWarper", float),
    "top_k": ("TopKLogitsWarper", int),
    "top_p": ("TopPLogitsWarper", float),
}
PENALTIES = {"repetition_penalty", *(name for name in LLAMA_EXTRA if LLAMA_EXTRA[name] == "dry")}


def changing(asked: Sampling, names: Iterable[str]) -> list[str]:
    """Those of the fields that were set and change something (rule 4)."""
    drawn = asked.temperature > 0
    return [name for name in names if name in asked.wanted and (drawn or name in PENALTIES)]
