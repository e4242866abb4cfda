"""What a method is written with: losses, networks, optimisers, the adversarial base."""
