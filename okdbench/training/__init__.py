"""One resolved configuration -> a trained student and its record.

Read :mod:`okdbench.training.runner` for the life of a run and :mod:`okdbench.training.loop` for the training loop.
"""
