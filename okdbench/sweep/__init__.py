"""Many runs of a grid as child processes, on this machine, on a Ray cluster or in a Slurm array job.

From the grid to a finished run:

1. ``grid.py`` reads which runs are wanted, ``jobs.py`` makes one job of each run and of each missing teacher.
2. ``scheduler.py`` decides which job starts when, ``retries.py`` which is started again after its child has died.
3. ``executors.py`` chooses where children run. ``child_process.py`` starts one; on a Ray cluster ``ray_driver.py``
   submits a Ray task, ``ray_worker.py`` is the code of the task, ``ray_handle.py`` receives its messages, and
   ``ray_nodes.py`` connects to the cluster and checks its nodes.
4. ``live_table.py`` shows the progress, ``eta.py`` estimates the remaining time, ``disk_quota.py`` limits the size of
   the results. ``sweep.py`` puts the pieces together; ``slurm.py`` writes an array job instead.
"""
