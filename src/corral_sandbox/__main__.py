"""`python -m corral_sandbox` is `corral-sandbox`."""

from corral_sandbox.command import main

if __name__ == "__main__":
    main()
