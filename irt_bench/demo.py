"""The demo: all steps on a simulated benchmark, and a comparison of estimates with the truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from irt_bench import names
from irt_bench.api.analysis import item_analysis
from irt_bench.api.fitting import fit, fit_tables
from irt_bench.console import out, progress_bar
from irt_bench.files import replacing_folder, write_csv, write_json
from irt_bench.irt_models.simulate import MIS_KEYED, PLANTED, Simulation, simulate_benchmark
from irt_bench.report.figures import save_figure
from irt_bench.report.tables import print_checks, print_table
from irt_bench.responses import ResponseCounts, read_responses, table_from_frame, write_table

COMPARISON = "comparison"
CALIBRATION = "calibration.parquet"  # responses that the items are fitted to
N_OTHER_MODELS = 120  # enough to calibrate 200 items on


def run_demo(output: Path, *, seed: int) -> None:
    """Simulate, write, read, analyse, fit, score and compare; write everything to a folder and print the results.

    Parameters
    ----------
    output : Path
        Folder to write.
    seed : int
        Seed of the simulation and the fit.
    """
    with replacing_folder(output) as folder:
        out.rule("1. Simulate a benchmark with runs, seeds and steps, and write it as files")
        simulation = simulate_benchmark(seed=seed, n_other_models=N_OTHER_MODELS)
        write_table(simulation.table, folder / "responses.parquet")
        counts = read_responses([folder / "responses.parquet"]).counts()
        out.print(
            f"{counts.n_models} models (3 runs x 5 seeds x 6 steps, and {N_OTHER_MODELS} others) x "
            f"{counts.n_items} items"
        )
        trained = counts.models[names.RUN].notna().to_numpy()
        others, checkpoints = counts.take(models=~trained), counts.take(models=trained)
        frame = simulation.table.to_frame()
        calibrating = frame[frame[names.MODEL].isin(others.models.index)]
        write_table(table_from_frame(calibrating, benchmark=counts.benchmark), folder / CALIBRATION)

        out.rule("2. Item analysis on the other models")
        analysis = item_analysis(others)
        analysis.save(folder / "item_statistics.csv")
        save_figure(analysis.plot(), folder / "item_statistics.png")
        columns = ("proportion_correct", "item_rest_correlation", "flags")
        title = "Flagged items, lowest correlation first"
        print_table(analysis.flagged(), title=title, console=out, max_rows=8, columns=columns)

        out.rule("3. Fit a Bayesian 2PL to the other models")
        with progress_bar() as progress:
            fitted = fit(others, "2pl", seed=seed, progress=progress)
        fitted.save(folder / "fit.nc")
        tables = fit_tables(fitted)
        for name, table in tables.items():
            write_csv(table, folder / f"{name}.csv")
        save_figure(fitted.plot("fit"), folder / "fit.png")
        print_checks(fitted.checks, out)

        out.rule("4. Score the training runs with these items, and compare ability with accuracy")
        scores = fitted.score(checkpoints)
        write_csv(scores, folder / "scores.csv")
        comparison = fitted.compare_accuracy(seed=seed)
        print_table(comparison.correlations(), title="Ability against accuracy", console=out)

        out.rule("5. Estimates and the truth of the simulation")
        recovery = recovery_table(
            simulation, analysis.items(), tables["abilities"], tables["items"], scores, checkpoints
        )
        recovery.to_csv(folder / "recovery.csv", index_label="quantity", float_format="%.6g")
        records = recovery.reset_index(names="quantity").to_dict("records")
        write_json(folder / "summary.json", fitted.to_dict() | {"recovery": records})
        print_table(recovery, title="Estimates and the truth", console=out)
    about = {"benchmark": others.benchmark, "fit": output.name, "converged": fitted.converged}
    comparison.save(output / COMPARISON, about=about)


def recovery_table(
    simulation: Simulation,
    statistics: pd.DataFrame,
    abilities: pd.DataFrame,
    items: pd.DataFrame,
    scores: pd.DataFrame,
    checkpoints: ResponseCounts,
) -> pd.DataFrame:
    """Compare estimates with the truth of a simulation.

    Returns
    -------
    pd.DataFrame
        One row per quantity: its ``true`` and its ``estimated`` value.

    Notes
    -----
    A slope of truth on estimate near 1 shows that estimates are on the right scale. Mis-keyed items and items that no
    or all models solve have no place on it, and are left out of the rows on items.
    """
    truth = simulation.truth
    sound = [str(item) for item in truth[names.ITEM].values[(truth[PLANTED] == "").values]]
    mis_keyed = [str(item) for item in truth[names.ITEM].values[(truth[PLANTED] == MIS_KEYED).values]]
    rows: dict[str, tuple[object, object]] = {}
    for name, table in (
        (names.ABILITY, abilities),
        (f"{names.ABILITY} (scored)", scores),
        (names.DIFFICULTY, items.loc[sound]),
    ):
        column = name.split()[0]
        true = truth[column].to_series().loc[table.index]
        slope = np.polyfit(table[column], true, 1)[0]
        covered = ((true >= table[f"{column}_q05"]) & (true <= table[f"{column}_q95"])).mean()
        rows[f"{name}: slope of truth on estimate"] = (1.0, slope)
        rows[f"{name}: share of 90% intervals that cover"] = (0.9, covered)
    flagged = statistics.loc[mis_keyed, "flags"].str.contains("negative")
    rows["mis-keyed items flagged negative"] = (len(mis_keyed), int(flagged.sum()))
    rows["seed sd of ability at the last step"] = (float(truth["seed_sd"]), _seed_sd(scores, checkpoints))
    return pd.DataFrame.from_dict(rows, orient="index", columns=["true", "estimated"])


def _seed_sd(scores: pd.DataFrame, checkpoints: ResponseCounts) -> float:
    """Pool the sd over seeds of the scored ability at the last step, after subtracting the error of the scores."""
    last = checkpoints.models[checkpoints.models[names.STEP] == checkpoints.models[names.STEP].max()]
    ability = scores.loc[last.index]
    between = ability.groupby(last[names.RUN].to_numpy())["ability"].var(ddof=1).mean()
    return float(np.sqrt(max(between - (ability["ability_sd"] ** 2).mean(), 0.0)))
