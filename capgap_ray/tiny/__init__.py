"""The embedded default: six procedural tasks, a family of tiny checkpoints, and how both are made.

Nothing here is downloaded: the tasks are generated from a seed (`procedural`), the tokenizer and the models were
trained from scratch on what the generators write (`tokenizer`, `training`), and `jobs/tiny_models.py` repeats it.
"""
