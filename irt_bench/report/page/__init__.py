"""The report: one offline HTML file from what the commands wrote."""

from irt_bench.report.page.page import write_report

__all__ = ["write_report"]
