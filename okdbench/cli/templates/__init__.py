"""Files to start from, which work as they are; ``okdbench new`` writes them with another class name."""
