"""What a checkpoint says about the run that wrote it, and how model and data are rebuilt from it."""
