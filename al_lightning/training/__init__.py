"""What a training step consists of: updates, reductions between processes, and seeded random numbers."""
