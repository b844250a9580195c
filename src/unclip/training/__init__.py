"""Network meets process to learn: tasks, optimizers, averages, checkpoints and the loop."""
