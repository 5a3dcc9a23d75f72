"""`corral serve --workers N`: a supervisor and N workers, each a process of its own, on one port.

The supervisor does what is done once, and keeps the workers running. They do what `corral serve` does otherwise.
"""
