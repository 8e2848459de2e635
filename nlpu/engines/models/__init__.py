"""Models by their names: files on this machine, on the Hugging Face hub, and a few known ones."""

from nlpu.engines.models.files import ModelFiles
from nlpu.engines.models.find import fetch_model, installed_model, is_folder
from nlpu.engines.models.known import DEFAULT_MODEL, KnownModel, known_models
from nlpu.engines.models.store import Progress

__all__ = [
    "DEFAULT_MODEL",
    "KnownModel",
    "ModelFiles",
    "Progress",
    "fetch_model",
    "installed_model",
    "is_folder",
    "known_models",
]
