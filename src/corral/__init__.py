"""Corral keeps Alpaca keys sealed and shows the current state of each account."""

__version__ = "0.1.0"
