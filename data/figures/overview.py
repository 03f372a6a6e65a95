"""Draw the README's figure, four questions and their answers: ``python data/figures/overview.py``."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from irt_bench import TwoPL, fit, item_analysis, load_example, make_subset, seed_variance, simulate_responses

BLUE, ORANGE, GREY, PALE = "#0072B2", "#D55E00", "#8C8C8C", "#CFCFCF"


def abilities(axes: Axes) -> None:
    """Draw the twelve ablest models of an example."""
    found = fit(load_example("benchmark"), "2pl", seed=1).abilities().nsmallest(12, "rank")
    place = np.arange(len(found))
    axes.hlines(place, found["ability_q05"], found["ability_q95"], color=PALE, linewidth=3)
    axes.scatter(found["ability"], place, s=22, color=BLUE, zorder=3)
    axes.set_yticks(place, [f"{name} ({share:.0%} right)" for name, share in found["accuracy"].items()])
    axes.invert_yaxis()
    axes.set(xlabel="ability, with 90% interval", title="Which models are better?")


def items(axes: Axes) -> None:
    """Draw the items of the example by two statistics."""
    found = item_analysis(load_example("benchmark")).items()
    broken = found["item_rest_q95"] < 0
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.scatter(found["proportion_correct"][~broken], found["item_rest_correlation"][~broken], s=14, color=PALE)
    axes.scatter(
        found["proportion_correct"][broken], found["item_rest_correlation"][broken], s=30, color=ORANGE, marker="v"
    )
    for name, row in found[broken].iterrows():
        axes.annotate(f"{name}: wrong key", (row["proportion_correct"], row["item_rest_correlation"]), (-8, 0),
                      textcoords="offset points", ha="right", va="center")  # fmt: skip
    axes.set(xlabel="share of right answers", ylabel="correlation with\nthe other items")
    axes.set(title="Which items look broken?", xlim=(0, 1))


def subset(axes: Axes) -> None:
    """Draw full scores of new models against their estimates from a fifth of the items."""
    rng = np.random.default_rng(4)
    truth = {
        "ability": rng.normal(size=200),
        "difficulty": rng.normal(scale=1.2, size=150),
        "discrimination": rng.lognormal(0.5, 0.4, size=150),
    }
    answers = simulate_responses(TwoPL(), n_models=200, n_items=150, seed=1, parameters=truth).table.counts()
    chosen = make_subset(answers.take(models=slice(0, 120)), 30, seed=1)
    found = 100 * chosen.compare(answers.take(models=slice(120, 200)))[["score", "estimate", "q05", "q95"]]
    axes.vlines(found["score"], found["q05"], found["q95"], color=PALE, linewidth=1.5)
    axes.scatter(found["score"], found["estimate"], s=14, color=BLUE, zorder=3)
    axes.axline((50, 50), slope=1, color=GREY, linewidth=0.8)
    axes.set(
        xlabel="score on all 150 items", ylabel="estimate from 30 items", title="Do fewer items give the full score?"
    )


def seeds(axes: Axes) -> None:
    """Draw the standard deviation over training seeds for random subsets of any size."""
    curve = seed_variance(load_example("seeds"), seed=1, n_subsets=200, n_bootstrap=20).curve()
    curve = curve[curve["run"] == curve["run"].iloc[0]].dropna(subset=["predicted_sd"])
    curve = curve[curve["form"] == curve["form"].iloc[0]]
    size = curve["k"]
    axes.fill_between(size, 100 * curve["simulated_q05"], 100 * curve["simulated_q95"], color=PALE, linewidth=0)
    axes.plot(size, 100 * curve["predicted_sd"], color=BLUE, linewidth=2)
    axes.set(xlabel="number of items, at random", ylabel="sd over seeds, points", xscale="log", ylim=(0, None))
    axes.set_xticks([5, 10, 20, 50, 100, 200], ["5", "10", "20", "50", "100", "200"])
    axes.set(title="How far does the score move\nbetween training seeds?")


if __name__ == "__main__":
    figure = Figure(figsize=(9, 6.6), layout="constrained")
    for axes, draw in zip(figure.subplots(2, 2).flat, (abilities, items, subset, seeds), strict=True):
        draw(axes)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(axes.get_title(), loc="left", weight="bold")
        axes.set_title("")
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=130)
