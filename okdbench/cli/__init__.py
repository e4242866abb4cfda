"""One file per command: its signature, its help and what it prints. Loads no torch before a command runs."""
