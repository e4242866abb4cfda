"""Many runs: grid, scheduler and executors (processes, Ray, Slurm)."""
