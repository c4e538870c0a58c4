"""Runs models over tasks with lmms-eval. Import the modules by name: most of them are slow to import."""
