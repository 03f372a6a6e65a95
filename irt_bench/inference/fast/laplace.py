"""The fast method: expectation-maximisation with parameter expansion, and a joint normal posterior at its end."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np
import scipy
from scipy.special import betaln, expit, logit
from threadpoolctl import ThreadpoolController

from irt_bench.arrays import Array, distinct_rows, sum_of_rows
from irt_bench.errors import FitError, FitWarning
from irt_bench.inference.convergence import MIN_MODELS
from irt_bench.inference.draws import Draws, reported
from irt_bench.inference.fast.ability_grid import REACH, AbilityGrid
from irt_bench.inference.fast.ability_updates import REACH_MARGIN, AbilityPosterior, GaussianAbilities, GridAbilities
from irt_bench.inference.fast.gibbs import chain_convergence, redraw_population, sample_gibbs
from irt_bench.inference.fast.gibbs_targets import Answers
from irt_bench.inference.fast.joint_normal import (
    Mode,
    SharedBiasCorrection,
    conditional_variances,
    draw_jointly,
    find_bias_correction,
    is_small,
    marginal_variances,
)
from irt_bench.inference.fast.parameter_updates import (
    FrameScale,
    Held,
    Items,
    Populations,
    covariances,
    frame_location,
    item_blocks,
    update_hierarchy,
    update_items,
)
from irt_bench.inference.fast.sweep import Sweeper
from irt_bench.inference.settings import LaplaceSettings
from irt_bench.irt_models.logistic import DISPERSION_PRIOR, LOG_DISCRIMINATION, Logistic, ThreePL
from irt_bench.irt_models.model import Beta, Normal
from irt_bench.names import ABILITY, DIFFICULTY, DISCRIMINATION, DISPERSION, GUESSING, ITEM
from irt_bench.workers import Progress

EXACT_ITEMS = 64  # up to so many, what not knowing abilities costs the items is exact; beyond, to first order
MANY_ITEMS = 500  # abilities informed by so many items are all but normal
SWEEP_COST = 1.5e9  # cells times nodes: a tenth of a second or two per sweep
FINER = 0.85  # grids laid anew where slopes turn out steep, with a margin
MAX_REFINED = 100_000_000  # cells times draws: some seconds
MAX_REFINED_OF_FEW = 1_000_000_000  # the same of fewer models than a normal posterior needs: a minute or two
MAX_REFINED_START = 40_000_000  # the same where draws are a start: few seconds
ENOUGH_MODELS = 10_000  # to come close to where more of them lead
OUTER_ROUNDS = 4  # updates at most of the hierarchy with the items' marginal variances
DISPERSION_ROUNDS = 3  # of the model and its dispersion in turn
DISPERSION_CELLS, DISPERSION_DRAWS = 20_000, 8  # a second
DISPERSIONS = np.array([1e-4, 0.98])
MEAN_DISPERSION, WIDEST = 0.25, 2.0  # where nothing is known; sd of its logit at most
SDS = np.arange(-9.0, 7.0)  # where its density is taken; towards 0 it falls off slowly
MIN_CHANCE = 1e-9
STEP = 0.02  # of a logit, for derivatives
MEAN_ROUNDS = 2  # the same with their means


def fit_laplace(
    irt_model: Logistic,
    correct: Array,
    trials: Array,
    settings: LaplaceSettings,
    progress: Progress | None = None,
) -> Draws:
    """Draw from the normal approximation of the posterior of a 1PL, 2PL or 3PL with known guessing.

    Raises
    ------
    FitError
        If the model learns asymptotes, or so few answers are there that the draws are not finite.

    Notes
    -----
    Abilities are integrated out (on a grid where items are few, as normal where they are many), items and the means of
    their hierarchy are at their mode; after every sweep abilities and items are moved together so that abilities have
    mean 0 and mean square 1 (parameter expansion, Liu, Rubin & Wu 1998). The hierarchy's sds are at their mode
    (empirical Bayes), around which their logarithms are drawn with the rest. Draws lie around the items' posterior
    means, to first order, where that is small (`find_bias_correction`), else around their mode. Where the matrix is
    small these draws start Gibbs chains (`irt_bench.inference.fast.gibbs`): a normal distribution cannot follow
    the posteriors of items with few models.
    """
    if irt_model.learns_asymptotes:
        raise FitError(
            f"method 'laplace' does not learn asymptotes, and the {irt_model.name} model has some to learn. "
            "Use method='nuts' or method='svi', or fix guessing (guessing=0.25, or 1 / choices of every item)."
        )
    rng = np.random.default_rng(settings.seed)
    dispersion = None
    if irt_model.has_dispersion:
        dispersion = find_dispersion(irt_model, correct, trials, settings, rng)
        correct, trials = dispersion.effective(correct, trials)
    with _pools().limit(limits=settings.sweep_threads(correct.size)):
        state = _maximise(irt_model, correct, trials, settings, progress)
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # refused below, in words
            posterior = draw_jointly(irt_model, state, rng, settings.draws)
    if not all(np.isfinite(site.sum()) for site in posterior.values()):
        raise FitError(
            f"{int((trials > 0).sum())} answers of {correct.shape[0]} models to {correct.shape[1]} items are too few "
            f"for method 'laplace': its posterior has no bounds after {state.sweeps} sweeps. Use method='nuts'."
        )
    notes = {"sweeps": state.sweeps, "change": state.change, "tolerance": settings.tolerance, "exact": state.exact}
    most = MAX_REFINED if correct.shape[0] >= MIN_MODELS else MAX_REFINED_OF_FEW
    if settings.refine and correct.size * settings.draws <= most:
        answers = Answers(correct, trials, state.items.guessing, threads=settings.n_threads)
        with _pools().limit(limits=1):
            posterior = sample_gibbs(irt_model, state, answers, posterior, rng, draws=settings.draws, progress=progress)
        notes |= chain_convergence(posterior)
    else:
        posterior = redraw_population(irt_model, posterior, rng)
    asked = distinct_rows(trials) > 0
    n_answering, n_asked = asked.any(axis=1).sum() * len(trials) // len(asked), asked.any(axis=0).sum()
    if dispersion is not None:
        posterior |= {DISPERSION: dispersion.draws(rng, settings.draws)[None]}
    posterior = reported(irt_model, posterior, correct.shape[1])
    dims = dict.fromkeys(posterior, ()) | {name: (dim,) for name, dim in irt_model.dims.items()}
    if irt_model.population is not None and irt_model.design is not None:
        dims |= {site.name: (site.dim,) for site in irt_model.design.sites if site.dim}
        dims |= {name: (dim,) for name, dim in irt_model.population.dims.items()}
    if not irt_model.shared_slope:
        dims[LOG_DISCRIMINATION] = (ITEM,)
    return Draws(sites=posterior, dims=dims, notes=notes | {"n_models": int(n_answering), "n_items": int(n_asked)})


def approximate(irt_model: Logistic, correct: Array, trials: Array, *, threads: int) -> Approximation:
    """Approximate the posterior for methods that start from it, asymptotes to be learned held at their prior mean."""
    guessing = irt_model.guessing
    if isinstance(guessing, Beta):
        guessing = guessing.successes / (guessing.successes + guessing.failures)
    known = irt_model
    if guessing is not None:
        known = ThreePL(
            difficulty=irt_model.difficulty,
            log_discrimination=irt_model.log_discrimination,
            guessing=guessing,
            population=irt_model.population,
        )
    with _pools().limit(limits=threads), warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)  # a rough start is a start
        settings, dispersion = LaplaceSettings(threads=threads), None
        if irt_model.has_dispersion:
            dispersion = find_dispersion(known, correct, trials, settings, np.random.default_rng(0))
            correct, trials = dispersion.effective(correct, trials)
        state = _maximise(known, correct, trials, settings, None)
        return Approximation(known, state, correct, trials, dispersion)


@dataclass(frozen=True)
class Approximation:
    """An approximation of the posterior, from which draws can be taken."""

    irt_model: Logistic  # with known asymptotes
    state: Mode  # the mode
    # (model, item): right answers and trials, as many as count where these are correlated
    correct: Array
    trials: Array
    dispersion: Dispersion | None = None  # correlation of the trials of a cell

    @property
    def least_sd(self) -> float:
        """Sd of the ability known best, items given."""
        return self.state.abilities.least_sd(self.state.items)

    def draws(self, n_draws: int) -> dict[str, Array]:
        """Site → array of shape (draw, ...); always the same, and carried on by Gibbs sweeps where models are few."""
        rng = np.random.default_rng(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FitWarning)
            drawn = draw_jointly(self.irt_model, self.state, rng, n_draws)
        if len(self.correct) < MIN_MODELS and self.correct.size * n_draws <= MAX_REFINED_START:
            answers = Answers(self.correct, self.trials, self.state.items.guessing)
            drawn = sample_gibbs(self.irt_model, self.state, answers, drawn, rng, draws=n_draws)
        found = {name: value[0] for name, value in drawn.items()}
        return found if self.dispersion is None else found | {DISPERSION: self.dispersion.draws(rng, n_draws)}


@cache
def _pools() -> ThreadpoolController:
    """Thread pools of linear algebra; finding them takes as long as a small fit."""
    return ThreadpoolController()


def _maximise(
    irt_model: Logistic, correct: Array, trials: Array, settings: LaplaceSettings, progress: Progress | None
) -> Mode:
    if len(correct) >= 2 * ENOUGH_MODELS and irt_model.design is None:  # begin where some of the models lead
        some = np.linspace(0, len(correct) - 1, ENOUGH_MODELS).astype(np.intp)
        taken = np.broadcast_to(trials[0], (len(some), len(trials[0]))) if trials.strides[0] == 0 else trials[some]
        items = _maximise(irt_model, correct[some], taken, settings, progress).items
    else:
        asked = sum_of_rows(trials)
        share = np.divide(correct.sum(axis=0), asked, out=np.full(len(asked), 0.5), where=asked > 0)
        items = Items.start(irt_model, share)
    populations = Populations.start(irt_model.design)
    abilities = _choose_abilities(correct, trials, settings, populations, least_sd=_first_guess(trials, items))
    # With guessing the information used is the expected one, from which the exact loss must not be taken.
    exact = isinstance(abilities, GridAbilities) and correct.shape[1] <= EXACT_ITEMS and items.guessing is None
    state = Mode(abilities, items, exact, populations=populations)

    def optimise_again(variances: tuple[Array, Array] | None = None) -> None:
        _optimise(state, irt_model, settings, progress, finer, variances)

    def finer(least_sd: float) -> AbilityPosterior:
        return _choose_abilities(correct, trials, settings, state.populations, least_sd=least_sd)

    optimise_again()
    variances = None
    for _ in range(OUTER_ROUNDS if state.exact else 0):
        before = state.sweeps
        variances = marginal_variances(irt_model, state)
        state.items = update_hierarchy(state.items, irt_model, variances)
        optimise_again(variances)
        if state.sweeps == before + 1:  # nothing moved
            break
    state.means, state.shared_bias = _find_means(irt_model, state, variances)
    return state


class Dispersion(NamedTuple):
    """Posterior of the correlation rho of the trials of a cell: where it is highest, and its quantiles.

    Near 0 it is far from normal on either scale.
    """

    logit: float
    quantiles: Array = np.empty(0)  # of the logit, evenly spaced

    @classmethod
    def from_density(cls, mode: float, sd: float, log_density: Callable[[float], float]) -> Dispersion:
        """Read the quantiles off a density of the logit that is given up to a constant, at some sds from its mode."""
        nodes = np.unique(np.clip(mode + sd * SDS, *logit(DISPERSIONS)))
        fine = np.linspace(nodes[0], nodes[-1], 2_000)
        values = scipy.interpolate.CubicSpline(nodes, [log_density(node) for node in nodes])(fine)
        shares = np.cumsum(np.exp(values - values.max()))
        return cls(mode, np.interp((np.arange(4_000) + 0.5) / 4_000, shares / shares[-1], fine))

    def effective(self, correct: Array, trials: Array) -> tuple[Array, Array]:
        """Divide counts by 1 + (n - 1) rho: n correlated trials tell as much as so many independent ones.

        Binomial scores at such counts are the quasi-scores of beta-binomial cells, whose variance is as much larger.
        """
        effect = 1 + np.maximum(trials - 1, 0) * expit(self.logit)
        return (correct / effect).astype(np.float32), (trials / effect).astype(np.float32)

    def draws(self, rng: np.random.Generator, n_draws: int) -> Array:
        """Draw rho, (draw,)."""
        return np.asarray(expit(rng.choice(self.quantiles, n_draws)), dtype=np.float32)


def find_dispersion(
    irt_model: Logistic, correct: Array, trials: Array, settings: LaplaceSettings, rng: np.random.Generator
) -> Dispersion:
    """Estimate how far the trials of a cell are correlated, by the beta-binomial likelihood.

    Notes
    -----
    In turn: the model at the effective counts, and rho from the squares of right answers beyond those expected, which
    are (k - n P)^2 = n P (1 - P) (1 + (n - 1) rho) on average. At the end rho is where its posterior is highest,
    chances averaged over draws, so that their uncertainty makes up for the answers having been fitted.
    """
    several = np.flatnonzero(trials > 1)
    prior = irt_model.dispersion if isinstance(irt_model.dispersion, Beta) else DISPERSION_PRIOR
    some = np.sort(rng.choice(several, min(len(several), DISPERSION_CELLS), replace=False))
    models, items = np.unravel_index(some, trials.shape)
    k, n = correct[models, items].astype(np.float64), trials[models, items].astype(np.float64)
    found, chances = Dispersion(float(logit(MEAN_DISPERSION))), np.empty((1, 0))
    with _pools().limit(limits=settings.sweep_threads(correct.size)), np.errstate(over="ignore", invalid="ignore"):
        for _ in range(DISPERSION_ROUNDS if len(several) else 0):
            state = _maximise(irt_model, *found.effective(correct, trials), settings, None)
            drawn = reported(irt_model, draw_jointly(irt_model, state, rng, DISPERSION_DRAWS), correct.shape[1])
            chances = np.array([_chances(drawn, at, models, items) for at in range(DISPERSION_DRAWS)])
            variance = n * chances * (1 - chances)
            excess = float(((k - n * chances) ** 2 - variance).sum() / ((n - 1) * variance).sum())
            found = found._replace(logit=float(logit(np.clip(excess, *DISPERSIONS))))

    def loss(at: float) -> float:
        rho = expit(at)
        r = 1 / rho - 1
        value = betaln(r * chances + k, r * (1 - chances) + n - k) - betaln(r * chances, r * (1 - chances))
        share = len(several) / max(len(some), 1)
        in_logit = prior.successes * np.log(rho) + prior.failures * np.log1p(-rho)
        return -float(share * value.sum() / DISPERSION_DRAWS + in_logit)

    at = float(
        scipy.optimize.minimize_scalar(loss, bounds=(logit(DISPERSIONS[0]), logit(DISPERSIONS[1])), method="bounded").x
    )
    curvature = (loss(at + STEP) - 2 * loss(at) + loss(at - STEP)) / STEP**2
    sd = float(np.clip(curvature, WIDEST**-2, None) ** -0.5)
    return Dispersion.from_density(at, sd, lambda value: -loss(value))


def _chances(drawn: dict[str, Array], at: int, models: Array, items: Array) -> Array:
    """Chances of right answers in some cells at one draw."""
    difficulty, slope = (drawn[name][0, at, items].astype(np.float64) for name in (DIFFICULTY, DISCRIMINATION))
    low = drawn[GUESSING][..., items].reshape(-1, len(items))[0] if GUESSING in drawn else 0.0
    chance = low + (1 - low) * expit(slope * (drawn[ABILITY][0, at, models] - difficulty))
    return np.asarray(np.clip(chance, MIN_CHANCE, 1 - MIN_CHANCE))


def _first_guess(trials: Array, items: Items) -> float:
    """Sd of an ability given answers to all items, if slopes are not far above one."""
    share = 1 / (1 + np.exp(-items.intercept))
    return float(0.7 / np.sqrt(1 + distinct_rows(trials).max(axis=0) @ (share * (1 - share))))


def _choose_abilities(
    correct: Array, trials: Array, settings: LaplaceSettings, populations: Populations | None, *, least_sd: float
) -> AbilityPosterior:
    """Choose a grid where it needs few nodes; else, and where all models answered much, normal abilities."""
    reach = None if populations is None else _reach(populations, REACH_MARGIN)
    cost = SWEEP_COST if correct.shape[1] <= MANY_ITEMS else 0.0
    few_answers = int((distinct_rows(trials) > 0).sum(axis=1).min()) < MANY_ITEMS
    if few_answers and AbilityGrid.is_affordable(AbilityGrid.n_nodes(least_sd, reach), correct.size, cost=cost):
        return GridAbilities(correct, trials, least_sd=least_sd, reach=reach)
    threads = settings.sweep_threads(correct.size)
    return GaussianAbilities(Sweeper(correct, trials, threads=threads, device=settings.device))


def _reach(populations: Populations, margin: float = 0.0) -> tuple[float, float]:
    """Smallest and largest ability to look at."""
    mean, sd = populations.prior
    return float((mean - REACH * sd).min()) - margin, float((mean + REACH * sd).max()) + margin


def _find_means(
    irt_model: Logistic, state: Mode, variances: tuple[Array, Array] | None
) -> tuple[Items | None, SharedBiasCorrection | None]:
    """Items and hierarchy at their means, given the abilities; the hierarchy draws items on, by Newton steps."""
    if len(state.abilities.mean) < 2 or not is_small(state.abilities, state.items):
        return None, None
    correction, shared = find_bias_correction(state.abilities, state.items)
    items = state.items
    for _ in range(MEAN_ROUNDS):
        sums = state.abilities.sums(items)
        known = variances or conditional_variances(items, covariances(item_blocks(items, sums)))
        above = update_hierarchy(correction.added_to(items), irt_model, known)
        items = update_items(replace(above, log_slope=items.log_slope, intercept=items.intercept), sums)
    return correction.added_to(items), shared


def _optimise(
    state: Mode,
    irt_model: Logistic,
    settings: LaplaceSettings,
    progress: Progress | None,
    choose_abilities: Callable[[float], AbilityPosterior],
    variances: tuple[Array, Array] | None = None,
) -> None:
    """Sweep until items stand still; without `variances` those given the abilities serve the hierarchy.

    A grid is laid anew as soon as slopes are steeper than it can follow: abilities that sit on nodes, none of which
    lies within the reach of an item's curve, would let slopes rise without end.
    """
    known = (np.zeros(len(state.items.intercept)),) * 2
    for _ in range(settings.max_sweeps):
        before, abilities = state.items, _fine_enough(state, choose_abilities)
        before_populations = state.populations
        abilities.update(state.items, state.prior)
        items = _reframe(irt_model, state, known[0])
        for _ in range(abilities.newton_steps):
            sums = abilities.sums(items)
            items = update_items(items, sums)
        known = variances or conditional_variances(items, covariances(item_blocks(items, sums)))
        state.items = update_hierarchy(items, irt_model, known)
        state.sweeps += 1
        state.change = max(
            float(np.abs(getattr(state.items, name) - getattr(before, name)).max())
            for name in ("log_slope", "intercept", "difficulty_sd", "slope_sd")
        )
        if state.populations is not None and before_populations is not None:
            moved = float(np.abs(state.populations.values - before_populations.values).max())
            state.change = max(state.change, moved)
        if progress is not None:
            progress("maximising", state.sweeps, settings.max_sweeps)
        if state.change < settings.tolerance:
            break
    _fine_enough(state, choose_abilities).update(state.items, state.prior)


def _reframe(irt_model: Logistic, state: Mode, variance: Array) -> Items:
    """Move abilities and items together to their most probable frame, difficulties known with some variance.

    Means and sds that are learned follow; the information of their own wide priors about the frame is less than the
    mode errs.
    """
    items, abilities, populations = state.items, state.abilities, state.populations
    mean, spread = abilities.mean, abilities.variance
    if populations is not None:
        populations = populations.updated(mean, spread)
        mean, spread = populations.frame_moments(mean, spread)
    location = float(frame_location(mean, _held(irt_model, items)[0])[0][0])
    squares = np.array([np.sum((mean - location) ** 2 + spread)])
    items = items.in_frame(location, 1.0)
    difficulty, slope = _held(irt_model, items)
    if isinstance(irt_model.difficulty, Normal):
        squares = squares + variance.sum() / irt_model.difficulty.scale**2
    frame = FrameScale.make(len(mean), squares, slope, difficulty)
    scale = float(np.exp(frame.peak()[0][0]))
    abilities.reframe(location, scale)
    state.populations = None if populations is None else populations.in_frame(location, scale)
    return items.in_frame(0.0, scale)


def _held(irt_model: Logistic, items: Items) -> tuple[Held, Held]:
    slopes, none = items.log_slope[:1] if items.shared_slope else items.log_slope, np.empty(0)
    return (
        Held.make(irt_model.difficulty, items.difficulty, none),
        Held.make(irt_model.log_discrimination, slopes, none),
    )


def _fine_enough(state: Mode, choose_abilities: Callable[[float], AbilityPosterior]) -> AbilityPosterior:
    """Abilities on a grid that is fine enough for the slopes, or normal ones where it would have too many nodes."""
    if isinstance(state.abilities, GridAbilities):
        least_sd = state.abilities.least_sd(state.items)
        beyond = False
        if state.populations is not None:
            (low, high), (first, last) = _reach(state.populations), state.abilities.reach
            beyond = low < first or high > last
        if beyond or least_sd < state.abilities.least_known_sd:
            state.abilities = choose_abilities(FINER * least_sd)
            state.exact &= isinstance(state.abilities, GridAbilities)
    return state.abilities
