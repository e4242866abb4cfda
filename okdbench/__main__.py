"""Run the command line with ``python -m okdbench``."""

from okdbench.cli.app import main

main()
