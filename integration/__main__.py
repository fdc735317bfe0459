"""`python -m integration` is the command `ringback`."""

from integration.cli import main

main()
