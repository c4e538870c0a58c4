"""What the paper prints: its tables as CSV files, and a reader that recomputes their averages."""

from visor_reports.paper.printed import PrintedRow, disagreements, printed_table

__all__ = ["PrintedRow", "disagreements", "printed_table"]
