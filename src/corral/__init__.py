"""Corral keeps Alpaca keys sealed and shows how each account stands right now."""

__version__ = "0.1.0"
