"""Records, and everything that is computed from them. Loads no torch."""
