"""Networks: classifiers, generators, encoders, and the probe through which methods see a classifier."""
