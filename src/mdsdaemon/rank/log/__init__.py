"""The metadata log: segments of events, written ahead of everything else."""
