"""`python -m corral.workers DESCRIPTOR` is one worker. The supervisor starts it; the descriptor is their socket."""

import gc
import sys

from corral.hardening import forget_variable, harden_process
from corral.network_environment import NEVER_FOLLOWED


def main() -> None:
    """As `corral.__main__`: some variables are forgotten before aiohttp reads them at import."""
    for name in NEVER_FOLLOWED:
        forget_variable(name)
    harden_process()  # before there is anything secret
    gc.disable()
    from corral.workers import worker  # noqa: PLC0415

    worker.main(int(sys.argv[1]))


if __name__ == "__main__":
    main()
