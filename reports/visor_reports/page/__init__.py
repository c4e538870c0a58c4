"""The report as one HTML file: no external request, light and dark, readable on a phone."""

from visor_reports.page.build import write_page

__all__ = ["write_page"]
