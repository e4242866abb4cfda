"""Records of runs, and everything that is computed from them. Loads no torch.

The public functions work on data frames: :func:`okdbench.results.frames.load_records`,
:func:`okdbench.results.leaderboard.leaderboard` and :func:`okdbench.results.significance.compare`, which ``okdbench``
exports.
"""
