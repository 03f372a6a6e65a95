"""Data sets simulated from a fit and treated like the responses: what chance alone would show in every check.

A replicate takes one draw of the posterior, simulates answers of the same models to the same items in the same cells,
and fits the IRT model to them again by the fast method. So estimating items and abilities from the data, which makes
residuals too small and residuals of items correlated, does the same to the reference as to the responses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from irt_bench.analysis.checks.answers import FittedAnswers, fit_abilities
from irt_bench.analysis.curves import success
from irt_bench.analysis.labelled_draws import ASYMPTOTES, ItemParameters
from irt_bench.arrays import FloatArray
from irt_bench.inference.laplace import approximate
from irt_bench.irt_models.base import Beta, IRTModel
from irt_bench.irt_models.logistic import Logistic
from irt_bench.names import ITEM

REFIT_CELLS: Final = 3_000_000  # beyond, items are not fitted again: a replicate would take half a minute


@dataclass(frozen=True)
class PosteriorDraws:
    """Draws of a fit in the order of the responses.

    Parameters
    ----------
    irt_model : IRTModel
        That was fitted.
    items : ItemParameters of shape (draw, item)
        Item parameters.
    ability : array of shape (draw, model)
        Abilities, of the same draws.
    """

    irt_model: IRTModel
    items: ItemParameters
    ability: FloatArray

    @property
    def n_draws(self) -> int:
        """Number of draws."""
        return len(self.ability)

    @property
    def n_item_parameters(self) -> int:
        """Parameters of an item that were learned; of another class of model, those that differ between items."""
        if isinstance(self.irt_model, Logistic):
            return sum(site.dim == ITEM for site in self.irt_model.sites())
        return sum(bool(np.ptp(values, axis=-1).any()) for values in self.items)

    def evenly(self, n: int) -> npt.NDArray[np.intp]:
        """Positions of n draws, evenly spaced; repeated where there are fewer."""
        return np.linspace(0, self.n_draws - 1, n).astype(np.intp)

    def refits(self, n_cells: int) -> bool:
        """Whether the fast method can fit the model, and fast enough to do it for every replicate."""
        if not isinstance(self.irt_model, Logistic) or self.irt_model.has_own_program:
            return False
        learned = isinstance(self.irt_model.guessing, Beta) or self.irt_model.upper_share is not None
        return not learned and n_cells <= REFIT_CELLS


def fit_again(draws: PosteriorDraws, correct: npt.NDArray[Any], trials: npt.NDArray[Any]) -> FittedAnswers:
    """Fit items to answers where that can be done, else take the posterior's means, and abilities to both.

    Notes
    -----
    Used on the responses as well as on replicates: what differs between them is then the answers alone.
    """
    irt_model = draws.irt_model
    if not isinstance(irt_model, Logistic) or not draws.refits(correct.size):
        return fit_abilities(correct, trials, ItemParameters(*(values.mean(axis=0) for values in draws.items)))
    found = approximate(irt_model, correct, trials, threads=1).state.items
    one = np.ones(len(found.log_slope))
    guessing = ASYMPTOTES["guessing"] if found.guessing is None else found.guessing
    items = ItemParameters(found.difficulty, found.slope, guessing * one, one)
    return fit_abilities(correct, trials, items)


def replicate_answers(
    draws: PosteriorDraws, trials: npt.NDArray[Any], n: int, rng: np.random.Generator
) -> Iterator[FittedAnswers]:
    """Simulate n data sets of the same models, one at a time, and fit each."""
    for place, stream in zip(draws.evenly(n), rng.spawn(n), strict=True):
        chance, _ = success(draws.items.at((place, None)), draws.ability[place, :, None])
        yield fit_again(draws, stream.binomial(trials, chance), trials)


def replicate_scores(draws: PosteriorDraws, trials: npt.NDArray[Any], n: int, rng: np.random.Generator) -> FloatArray:
    """Simulate scores of n sets of new models with normal abilities, shape (replicate, model).

    Notes
    -----
    Abilities of a set are moved to the mean and sd that those of the draw have over the models: a fit puts them there
    whatever they are, and only the form of their distribution is left to be checked.
    """
    asked = trials > 0
    scores = np.empty((n, trials.shape[0]))
    for row, (place, stream) in enumerate(zip(draws.evenly(n), rng.spawn(n), strict=True)):
        drawn = draws.ability[place]
        new = stream.standard_normal(len(drawn))
        new = drawn.mean() + drawn.std() * (new - new.mean()) / new.std()
        chance, _ = success(draws.items.at((place, None)), new[:, None])
        share = stream.binomial(trials, chance) / np.maximum(trials, 1)
        scores[row] = share.sum(axis=1) / np.where(asked.any(axis=1), asked.sum(axis=1), np.nan)
    return scores
