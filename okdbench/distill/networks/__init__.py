"""Networks: classifiers and the wrapper through which methods call them, generators, encoders, discriminators."""
