"""The memory hierarchy: context window, vector store, disk, and a controller with firmware."""

from memory.controller import Memory
from memory.pages import Page
from memory.window import Window, window_for

__all__ = ["Memory", "Page", "Window", "window_for"]
