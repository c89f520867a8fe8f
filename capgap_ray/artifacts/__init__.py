"""Content-addressed results. Knows nothing of teachers, students or tasks."""
