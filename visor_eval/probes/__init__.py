"""Run a model to find something out: the sweep of all configurations, speed and memory, similarity of its states."""
