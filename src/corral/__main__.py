"""`python -m corral` is `corral`."""

from corral.hardening import forget_variable
from corral.network_environment import NEVER_FOLLOWED


def main() -> None:
    """Before anything else is imported: aiohttp reads the variables, and opens the file that they name, at import."""
    for name in NEVER_FOLLOWED:
        forget_variable(name)
    from corral import cli  # noqa: PLC0415

    cli.main()


if __name__ == "__main__":
    main()
