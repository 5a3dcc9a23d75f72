"""Keeps the memory of this process from other processes, as far as an ordinary process can.

Root can still read it; see docs/threat-model.md.
"""

import ctypes
import os
import resource
import sys

_PR_SET_DUMPABLE = 4  # prctl(2)


def harden_process() -> None:
    """No core files, and no ptrace, /proc/PID/mem or /proc/PID/environ for others of the same user."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def raise_file_limit() -> None:
    """Raises the limit of open files to the system's maximum: each client and each call to Alpaca is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def forget_variable(name: str) -> None:
    """Takes a variable out of this process's environment, and its value out of what /proc/PID/environ shows.

    Removing it alone would leave the text where the kernel put it when the program was started.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.getenv.restype = ctypes.c_void_p
        if address := libc.getenv(os.fsencode(name)):
            ctypes.memset(address, 0, len(ctypes.string_at(address)))
    os.environ.pop(name, None)
