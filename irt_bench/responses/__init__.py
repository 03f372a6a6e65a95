"""Responses of models to items: read from logs and tables, checked, arranged as counts, and written.

Files and folders of any known format become one `ResponseTable` (`read_responses`), whose ``counts()`` are the arrays
that are analysed. `write_table` saves a table as one Parquet file.
"""

from irt_bench.responses.canonical import table_from_frame
from irt_bench.responses.counts import ResponseCounts
from irt_bench.responses.formats.tables import write_table
from irt_bench.responses.read import read_responses
from irt_bench.responses.table import Finding, ResponseTable

__all__ = ["Finding", "ResponseCounts", "ResponseTable", "read_responses", "table_from_frame", "write_table"]
