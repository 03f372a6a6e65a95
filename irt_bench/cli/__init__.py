"""The command line: parse, call, write; one module a command. Heavy libraries are imported by the command that runs."""

import typer

from irt_bench.cli import (
    adaptive,
    check,
    compare,
    demo,
    export,
    fit,
    items,
    read,
    report,
    score,
    study,
    subset,
    variance,
)

app = typer.Typer(
    help="Can a benchmark number be trusted, and would fewer or reweighted items do? Start with: irt-bench demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    read.read,
    items.items,
    fit.fit,
    score.score,
    check.check,
    compare.compare,
    subset.subset,
    export.export,
    adaptive.adaptive,
    variance.variance,
    study.study,
    report.report,
    demo.demo,
):
    app.command()(command)

__all__ = ["app"]
