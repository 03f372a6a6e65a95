"""File formats of responses by name, in the order in which they are tried."""

from irt_bench.responses.formats import every_eval_ever, helm, inspect_ai, json_records, lm_eval, tabular
from irt_bench.responses.formats.format import Format, ParsedFile, ReadOptions

FORMATS: dict[str, Format] = {
    entry.name: entry
    for entry in (
        tabular.FORMAT,
        inspect_ai.FORMAT,
        helm.FORMAT,
        every_eval_ever.FORMAT,
        lm_eval.FORMAT,
        *json_records.FORMATS,
        tabular.JSON,
        tabular.LONG,
        tabular.WIDE,
    )
}

__all__ = ["FORMATS", "Format", "ParsedFile", "ReadOptions"]
