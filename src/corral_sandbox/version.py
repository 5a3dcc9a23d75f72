"""The release. It is Corral's, too: both distributions are made of one checkout."""

__version__ = "0.1.0"
