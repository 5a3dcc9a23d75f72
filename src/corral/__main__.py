"""`python -m corral` is `corral`."""

import gc

from corral.hardening import forget_variable
from corral.network_environment import NEVER_FOLLOWED


def main() -> None:
    """Before anything else is imported: aiohttp reads the variables, and opens the file that they name, at import.

    What is imported stays. To look for garbage in it again and again would take a tenth of the start: `corral.cli`
    enables that before it runs anything.
    """
    for name in NEVER_FOLLOWED:
        forget_variable(name)
    gc.disable()
    from corral import cli  # noqa: PLC0415

    cli.main()


if __name__ == "__main__":
    main()
