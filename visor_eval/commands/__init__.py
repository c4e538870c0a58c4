"""One file per verb: its arguments and what it does. With `cli.py` the only place that prints."""
