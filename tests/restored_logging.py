"""Logging as it is, put back after a test that configures another."""

import logging
from collections.abc import Generator
from contextlib import contextmanager

import structlog

from corral import logs


@contextmanager
def restored_logging() -> Generator[None]:
    """Others look for what the run logs."""
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    configuration, output = structlog.get_config(), vars(logs.request_line_output).copy()
    try:
        yield
    finally:
        structlog.configure(**configuration)
        vars(logs.request_line_output).clear()
        vars(logs.request_line_output).update(output)
        logging.getLogger().handlers[:], logging.getLogger().level = handlers, level
