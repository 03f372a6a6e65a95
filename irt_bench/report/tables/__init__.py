"""Terminal tables: frames, findings and checks, readable at 80 columns."""

from irt_bench.report.tables.terminal import (
    CheckLike,
    print_checks,
    print_comparison,
    print_findings,
    print_fit,
    print_item_report,
    print_table,
)
from irt_bench.report.tables.text import interval_text, shorten

__all__ = [
    "CheckLike",
    "interval_text",
    "print_checks",
    "print_comparison",
    "print_findings",
    "print_fit",
    "print_item_report",
    "print_table",
    "shorten",
]
