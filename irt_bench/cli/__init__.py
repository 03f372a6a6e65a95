"""The command line: parse, call, write. Commands import heavy libraries when they run."""

from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

from irt_bench.cli import analyses, fit, report, subset, variance
from irt_bench.cli.command import CommandGroup, OrderedCommand

EXAMPLES: Final[dict[Callable[..., Any], tuple[str, ...]]] = {  # shown at the end of each help
    analyses.read: (
        "irt-bench read logs/",
        "irt-bench read logs/ --metric arc=acc_norm,ifeval=prompt_level_strict_acc -o responses.parquet",
        "irt-bench read logs/ --seed-from 'seed(\\d+)' --models-table models.csv -o responses.parquet",
    ),
    analyses.items: (
        "irt-bench items responses.parquet -o items.csv --figure items.png",
        "irt-bench items logs/ --benchmark gsm8k",
    ),
    fit.fit: (
        "irt-bench fit responses.parquet -o fit",
        "irt-bench fit responses.parquet --irt-model 3pl --guessing 0.25 --method nuts --chains 4 -o fit",
    ),
    analyses.score: (
        "irt-bench score new.csv --fit fit -o scores.csv",
        "irt-bench score logs/ --subset subset.json -o full-scores.csv --figure full-scores.png",
    ),
    analyses.scores: (
        "irt-bench scores responses.parquet -o scores",
        "irt-bench scores logs/ --models large,small --item-clusters passage",
        "irt-bench scores logs/ --measure pass@5 --baseline current",
    ),
    analyses.check: ("irt-bench check responses.parquet --fit fit -o checks --strict",),
    analyses.compare: ("irt-bench compare responses.parquet --fit fit -o comparison",),
    subset.subset: (
        "irt-bench subset responses.parquet --size 100 -o subset.json",
        "irt-bench subset responses.parquet --target-se 0.02 --method information -o subset.json",
        "irt-bench subset responses.parquet --compare --sizes 20,50 -o compared",
        "irt-bench subset responses.parquet --size 50 --calibration-models 5,10,20 -o errors.csv --figure errors.png",
    ),
    subset.export: (
        "irt-bench export subset.json --to lm-eval-task -o my_task",
        "irt-bench export subset.json --to ids -o ids.txt",
    ),
    subset.adaptive: ("irt-bench adaptive subset.json --fit fit -o adaptive.csv --figure adaptive.png",),
    variance.variance: (
        "irt-bench variance responses.parquet -o variance",
        "irt-bench variance responses.parquet --detect 0.01",
        "irt-bench variance responses.parquet --recipes old new --detect 0.01",
        "irt-bench variance responses.parquet --models large small",
    ),
    variance.study: (
        "irt-bench study responses.parquet --dry-run -o study",
        "irt-bench study responses.parquet --sizes 50,100 --methods information,anchors -o study",
    ),
    report.report: (
        "irt-bench report logs/ --benchmark gsm8k -o page.html",
        "irt-bench report fit checks variance -o report.html",
    ),
    report.demo: ("irt-bench demo -o irt-bench-demo",),
}

TASKS: Final[dict[str, tuple[Callable[..., Any], ...]]] = {  # panels of the help, in the order of a first analysis
    "Responses": (analyses.read, analyses.items),
    "Models": (fit.fit, analyses.check, analyses.score, analyses.scores, analyses.compare),
    "Reduced benchmarks": (subset.subset, subset.export, subset.adaptive),
    "Seed variance": (variance.variance, variance.study),
    "Everything": (report.report, report.demo),
}
HELP: Final = (
    "Can a benchmark score be trusted, and would fewer items, or items with weights, give the same score? "
    "Start with: irt-bench demo"
)

app = typer.Typer(
    cls=CommandGroup,
    help=HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        import irt_bench

        typer.echo(f"irt-bench {irt_bench.__version__}")
        raise typer.Exit


@app.callback(help=HELP)
def main(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", metavar="", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Hold what all commands share."""


for task, commands in TASKS.items():
    for command in commands:
        examples = "\n\n".join(["Examples:", *EXAMPLES[command]])
        app.command(cls=OrderedCommand, epilog=examples, rich_help_panel=task)(command)

__all__ = ["app"]
