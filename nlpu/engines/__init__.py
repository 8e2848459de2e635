"""Engines: ``local`` (on this machine), servers over HTTP, ``transformers``, and ``scripted``."""
