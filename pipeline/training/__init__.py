"""Training with Lightning: images in memory, augmentation, schedule, checkpoints, exact resume."""
