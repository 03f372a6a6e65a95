"""irt-bench read: read responses in any format and write one canonical table."""

from pathlib import Path
from typing import Annotated

import typer

from irt_bench.cli.options import (
    Benchmark,
    Filter,
    Force,
    FormatName,
    Json,
    Metric,
    Paths,
    SafeCsv,
    clear_errors,
    read_paths,
)
from irt_bench.console import out, print_text
from irt_bench.files import check_output, json_text


@clear_errors
def read(
    paths: Paths,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write, .parquet or .csv.")],
    benchmark: Benchmark = None,
    format: FormatName = None,
    metric: Metric = None,
    filter: Filter = None,
    safe_csv: SafeCsv = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Read responses in any format and write them as one table.

    Columns of a long CSV or Parquet file (one row per answer):

    - model, item: labels, required.

    - correct (0 or 1); or n_correct and n_samples (right answers of several); or score (from 0 to 1).

    - benchmark, subtask, trial: which benchmark, part of it, number of the repeat.

    - run, seed, step: training recipe, its random seed, checkpoint; needed for seed variance.

    - cluster: of models that belong together, such as fine-tunes of one base.

    - Any other column is kept with the models or the items that it describes.

    A wide file has one row per model, with its label in the column model, and one column per item: 0, 1, a score, or
    nothing.
    """
    from irt_bench.report.tables import print_findings, print_table
    from irt_bench.responses import write_table
    from irt_bench.responses.quality import findings, overview

    check_output(output, force=force)
    table = read_paths(paths, None, format, metric, filter)
    table = table.select(benchmark) if benchmark else table
    write_table(table, output, safe_csv=safe_csv)
    found = findings(table)
    if json:
        rows = overview(table).reset_index().to_dict("records")
        print_text(json_text({"output": str(output), "benchmarks": rows, "findings": [vars(each) for each in found]}))
        return
    print_table(overview(table), title="Responses", console=out)
    print_findings(found, out)
    out.print(f"Wrote {output}", highlight=False)
