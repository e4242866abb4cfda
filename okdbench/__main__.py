"""Run the command line with ``python -m okdbench``."""

from okdbench.cli import main

main()
