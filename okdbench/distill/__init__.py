"""Building blocks of a method: losses, networks, optimisers, the adversarial base class and replay memories."""
