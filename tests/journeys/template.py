"""The text of `python -c … FD`: imports what `corral` imports once, and forks a program for each request at FD.

What is forked begins with the first line of `corral.__main__`, in the state of a new process: one thread, the signals,
limits, session and umask that its starter's programs inherit, and nothing open but its standard streams.
"""

import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import socket
import sys
from contextlib import suppress
from pathlib import Path

LONGEST_REQUEST = 128 * 1024
FILES = 4  # of a request: standard input, output and error of the program, and where its id and status are written


def import_everything() -> None:
    """Every command imports what it needs; here all of that is imported."""
    package = importlib.import_module("corral.commands")
    for module in ("corral.cli", "corral_sandbox.command", "uvicorn.protocols.http.httptools_impl"):
        importlib.import_module(module)
    for found in pkgutil.iter_modules(package.__path__, "corral.commands."):
        importlib.import_module(found.name)


def become_requested(control: socket.socket) -> list[str]:
    """Returns the arguments of a program, in the process that is to be it. The template itself never returns."""
    with selectors.DefaultSelector() as events:
        events.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in events.select():
                if key.data is not None:
                    events.unregister(key.fd)
                    report_end(key.fd, *key.data)
                elif (arguments := serve_request(control, events)) is not None:
                    for mine in list(events.get_map().values()):
                        close(mine)
                    return arguments


def serve_request(control: socket.socket, events: selectors.BaseSelector) -> list[str] | None:
    """Returns the arguments in the new process, and None in the template."""
    message, files, _, _ = socket.recv_fds(control, LONGEST_REQUEST, FILES)
    if not message:
        sys.exit()  # the tests have ended
    if len([*Path("/proc/self/task").iterdir()]) != 1:
        os._exit(1)  # the threads would be missing in what is forked
    request = json.loads(message)
    pid = os.fork()
    if pid == 0:
        for stream, file in enumerate(files[:3]):
            os.dup2(file, stream)
        for file in files:
            os.close(file)
        os.environ.clear()
        os.environ.update(request["environment"])
        return request["arguments"]
    *streams, report = files
    for file in streams:
        os.close(file)
    os.write(report, str(pid).encode())
    events.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, report))
    return None


def report_end(handle: int, pid: int, report: int) -> None:
    _, status = os.waitpid(pid, 0)
    os.close(handle)
    with suppress(BrokenPipeError):  # nobody waits for it any more
        os.write(report, str(os.waitstatus_to_exitcode(status)).encode())
    os.close(report)


def close(mine: selectors.SelectorKey) -> None:
    """Closes what the template has open, in what was forked from it."""
    os.close(mine.fd)
    if mine.data is not None:
        _, report = mine.data
        os.close(report)


def main() -> None:
    sys.path[0] = str(Path.cwd())  # as for `python -m`
    import_everything()
    gc.freeze()
    control = socket.socket(fileno=int(sys.argv.pop()))
    control.send(b"ready")
    try:
        sys.argv[1:] = become_requested(control)
    except KeyboardInterrupt:
        os._exit(1)  # the whole run was interrupted
    control.detach()
    runpy.run_module("corral", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
