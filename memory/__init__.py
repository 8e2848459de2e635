"""The memory hierarchy: context window, vector store, disk, and a controller with firmware."""

from nlpu.memory.controller import Memory
from nlpu.memory.store.page import Page
from nlpu.memory.window.window import Window, window_for

__all__ = ["Memory", "Page", "Window", "window_for"]
