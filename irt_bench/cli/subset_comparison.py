"""irt-bench subset --compare: run every way to make a subset, and write what was found."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from irt_bench.console import err, out, print_text, progress_bar
from irt_bench.errors import SubsetError
from irt_bench.files import json_text, replacing_folder, write_json

if TYPE_CHECKING:
    import pandas as pd

    from irt_bench.responses import ResponseCounts
    from irt_bench.subsets.calibration import Plan
    from irt_bench.subsets.compare import Design

COMPARED_SIZES = "20,50,100"
COVERAGE = "Held-out models within their 90% interval (%)"
SHIFT = "Calibrated on the weaker half: bias on the stronger half (points)"
LEVEL = 0.05


def comparison_design(
    counts: "ResponseCounts", plan: "Plan", sizes: str, method: str | None, *, n_random: int, seed: int
) -> "Design":
    """Turn the command's options into a design; sizes are numbers of items or fractions of them."""
    from irt_bench.subsets.compare import Design, methods_for
    from irt_bench.subsets.defaults import check_names
    from irt_bench.subsets.select import item_number

    try:
        wanted = [item_number(float(part), counts.n_items) for part in sizes.split(",")]
    except ValueError:
        raise SubsetError(f"--sizes is {sizes!r}; numbers with commas between are needed: {COMPARED_SIZES}.") from None
    fitting = tuple(dict.fromkeys(size for size in wanted if size < counts.n_items))
    if not fitting:
        raise SubsetError(f"none of the sizes {sizes} is below the number of items, {counts.n_items}.")
    if len(fitting) < len(wanted):
        err.print(f"[yellow]Warning:[/] sizes of {counts.n_items} items and more are left out.", soft_wrap=True)
    check_names([] if method is None else [method], None, [])
    chosen = methods_for(counts, None if method is None else ["random", method])
    return Design(plan, fitting, chosen, n_random=n_random, seed=seed)


def compare_methods(
    counts: "ResponseCounts", design: "Design", output: Path, *, max_models: int, jobs: int, json: bool
) -> None:
    """Compare, repeat under a shift and with shuffled answers, and write a folder of tables and a figure."""
    import numpy as np

    from irt_bench.report.figures import save_figure
    from irt_bench.report.figures.study_figures import subset_comparison_figure
    from irt_bench.report.tables import print_table
    from irt_bench.report.tables.study_tables import best_table, coverage_table, error_table, markdown, shift_table
    from irt_bench.subsets.clusters import model_clusters
    from irt_bench.subsets.compare import WITHIN, compare, negative_control, shift

    if counts.n_models > max_models:
        err.print(f"[yellow]Warning:[/] {max_models} of {counts.n_models} models, drawn at random, take part.")
        rows = np.random.default_rng(design.seed).choice(counts.n_models, max_models, replace=False)
        counts = counts.take(models=np.sort(rows))
    clusters = model_clusters(counts)
    with progress_bar() as progress:
        found = compare(counts, clusters, design, jobs=jobs, progress=progress)
    shifted = shift(counts, clusters, design)
    middle = design._replace(sizes=design.sizes[len(design.sizes) // 2 :][:1])
    controls = {within: negative_control(counts, clusters, middle, within, jobs=jobs) for within in WITHIN}
    tables = {size: error_table(found.table, size) for size in design.sizes}
    with replacing_folder(output) as folder:
        frames = {"comparison": found.table, "random": found.random, "shift": shifted}
        frames["coverage"] = found.coverage.reset_index()
        frames |= {f"control_within_{within}": frame for within, frame in controls.items()}
        for name, frame in frames.items():
            frame.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
        parts = {f"Mean absolute error in points, {size} items": table for size, table in tables.items()}
        parts |= {COVERAGE: coverage_table(found.coverage), SHIFT: shift_table(shifted)}
        text = "\n\n".join(f"{title}\n\n{markdown(table)}" for title, table in parts.items())
        (folder / "errors.md").write_text(text + "\n", encoding="utf-8")
        save_figure(subset_comparison_figure(found.table), folder / "comparison.png")
        summary = _summary(counts, design, found.table, controls, len(set(clusters)))
        write_json(folder / "summary.json", summary)
    if json:
        print_text(json_text(summary))
        return
    for title, table in parts.items():
        print_table(table, title=title, console=out)
    for size in design.sizes:
        print_table(best_table(found.table, size), title=f"Least error with {size} items", console=out)
    for each in summary["default"]:
        out.print(
            f"The default ({each['method']}, {each['weights']}, {each['estimator']}) with {each['size']} items: error "
            f"{100 * each['mae']:.2f} points, bias {100 * each['bias']:.2f}, coverage {100 * each['coverage']:.0f}%.",
            highlight=False,
        )
    for within, control in controls.items():
        for estimator, part in control.groupby("estimator", sort=False):
            out.print(f"Answers shuffled within {within}, {estimator}: {_verdict(part)}", highlight=False)
    out.print(f"Wrote {output}", highlight=False)


def _verdict(control: "pd.DataFrame") -> str:
    """Say which methods beat random subsets after Holm's correction, and the least p-value."""
    better = control.loc[control["p_holm"] < LEVEL, "method"].unique()
    named = "no method beats" if len(better) == 0 else f"{', '.join(better)} beat{'s' * (len(better) == 1)}"
    return f"{named} random subsets (least adjusted p {control['p_holm'].min():.2g})."


def _summary(
    counts: "ResponseCounts",
    design: "Design",
    table: "pd.DataFrame",
    controls: "dict[Any, pd.DataFrame]",
    n_clusters: int,
) -> dict[str, Any]:
    import pandas as pd

    from irt_bench.subsets.defaults import DEFAULT_ESTIMATOR, DEFAULT_METHOD, default_weights

    best = table.loc[table.groupby("size")["mae"].idxmin()]
    recipe = {"method": DEFAULT_METHOD, "weights": default_weights(DEFAULT_METHOD), "estimator": DEFAULT_ESTIMATOR}
    default = table[(table[list(recipe)] == pd.Series(recipe)).all(axis=1)]
    return {
        "benchmark": counts.benchmark,
        "n_models": counts.n_models,
        "n_items": counts.n_items,
        "n_clusters": n_clusters,
        "n_random": design.n_random,
        "n_folds": design.n_folds,
        "seed": design.seed,
        "fingerprint": counts.fingerprint(),
        "best": best.to_dict("records"),
        "default": default.to_dict("records"),
        "control_least_p_holm": {
            within: {name: float(least) for name, least in frame.groupby("estimator")["p_holm"].min().items()}
            for within, frame in controls.items()
        },
    }
