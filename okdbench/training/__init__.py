"""One resolved configuration -> a trained student and its record."""
