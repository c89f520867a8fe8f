"""What exists, as data: models, judges and tasks by name. Knows nothing of how any of it is run."""
