"""How far a run is: a bar with rate and remaining time on a terminal, a line now and then elsewhere."""

import logging
import sys
import time

logger = logging.getLogger(__name__)

LINE_EVERY_S = 15.0


class Progress:
    """Counts finished samples of one model."""

    def __init__(self, label: str, total: int) -> None:
        """Start counting.

        Args:
            label: what is counted, e.g. the model's name.
            total: samples.
        """
        self.label, self.total, self.done, self.computed = label, total, 0, 0
        self.start = self.last_line = time.monotonic()
        self.bar = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(total=total, desc=label, unit="sample", disable=False, file=sys.stderr, dynamic_ncols=True)

    def update(self, count: int, known: bool = False) -> None:
        """Add ``count`` samples; ``known`` ones come from an earlier session and say nothing about the rate."""
        self.done += count
        self.computed += 0 if known else count
        if self.bar is not None:
            if known:
                self.bar.initial += count
            self.bar.update(count)
        elif known:
            logger.info("%s: %d of %d samples were finished before", self.label, count, self.total)
        elif self.done == self.total or time.monotonic() - self.last_line > LINE_EVERY_S:
            self.last_line = time.monotonic()
            logger.info("%s: %s", self.label, self._line())

    def close(self) -> None:
        """Leave the terminal tidy."""
        if self.bar is not None:
            self.bar.close()

    def _line(self) -> str:
        rate = self.computed / max(1e-9, time.monotonic() - self.start)
        left = (self.total - self.done) / rate if rate else 0.0
        return f"{self.done}/{self.total} samples, {rate:.1f}/s, {left:.0f} s left"
