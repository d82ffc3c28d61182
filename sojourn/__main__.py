"""`python -m sojourn` is the `sojourn` command."""

from sojourn.gateway.cli import main

main()
