"""Items regressed on what is known of them: difficulty and log discrimination ~ N(mean + x b, sd^2).

Covariates x are columns of the items: numbers, standardised, or texts such as the subtask, one coefficient per value.
The parameters of an unseen item follow from its covariates and the residual variation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from irt_bench.arrays import Array
from irt_bench.errors import ModelError, unknown_choice
from irt_bench.irt_models.model import Normal, field_from_dict
from irt_bench.responses.table import natural_order

ITEM_COVARIATE: Final = "item_covariate"  # plate and dimension of the coefficients
EFFECT: Final = "_effect"  # after the name of what is regressed
ITEM_REGRESSION: Final = "item_regression"  # attribute of labelled draws
MIN_SCALE: Final = 1e-9  # of a covariate, of its mean's size
MAX_VALUES: Final = 200  # of a column of texts


@dataclass(frozen=True)
class ItemRegression:
    """Difficulty and log discrimination of items regressed on columns of the items.

    Parameters
    ----------
    covariates : sequence of str
        Columns of the items' metadata: numeric ones, such as a length or the columns of an embedding, or texts, such as
        the subtask.
    coefficient : Normal
        Prior of each coefficient: of a number, per its sd; of a text, for each of its values.
    terms, means, sds : tuple, optional
        Coefficients, and means and sds of what they multiply; found when a model is fitted. A text has a coefficient
        for each value but the most frequent, from which they differ.

    Examples
    --------
    >>> from irt_bench import ItemRegression, TwoPL
    >>> TwoPL(item_regression=ItemRegression(["length", "subtask"])).item_regression.covariates
    ('length', 'subtask')
    """

    covariates: Sequence[str]
    coefficient: Normal = Normal(0.0, 1.0)
    terms: tuple[str, ...] = ()
    means: tuple[float, ...] = ()
    sds: tuple[float, ...] = ()
    design: Array | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.covariates, str) or not self.covariates:
            raise ModelError(f"covariates is {self.covariates!r}; a list of columns of the items is needed.")
        object.__setattr__(self, "covariates", tuple(self.covariates))

    def bind(self, items: pd.DataFrame) -> ItemRegression:
        """Find the coefficients for given items, and the items' design.

        Raises
        ------
        ModelError
            If a column or a value is missing, a number is the same in all items, or a text has too many values.
        """
        terms = []
        for name in self.covariates:
            given = _column(items, name)
            if _is_number(given):
                terms.append(name)
                continue
            sizes = given.astype(str).value_counts()
            if len(sizes) > MAX_VALUES or len(sizes) == len(items) > 1:
                raise ModelError(f"item column {name!r} has {len(sizes)} values for {len(items)} items; give groups.")
            if len(sizes) == 1:
                raise ModelError(f"item column {name!r} is the same in all items; leave it out.")
            most = sizes.index[0]
            terms += [f"{name}: {value} - {most}" for value in natural_order(sizes.index) if value != most]
        raw = replace(self, terms=tuple(terms))._raw(items)
        means, sds = raw.mean(axis=0), raw.std(axis=0)
        flat = sds <= MIN_SCALE * (1 + np.abs(means))
        if flat.any():
            raise ModelError(f"item column {terms[int(flat.argmax())]!r} is the same in all items; leave it out.")
        sds = np.where([term in self.covariates for term in terms], sds, 1.0)
        known = replace(self, terms=tuple(terms), means=tuple(means.tolist()), sds=tuple(sds.tolist()))
        return replace(known, design=known.design_of(items))

    def design_of(self, items: pd.DataFrame) -> Array:
        """Covariates of items as coefficients take them, (item, coefficient); 0, the average, of a text not seen.

        Raises
        ------
        ModelError
            If a column or a value is missing, or a number is none.
        """
        raw = self._raw(items)
        return np.asarray(np.where(np.isnan(raw), 0.0, (raw - np.array(self.means)) / np.array(self.sds)))

    def _raw(self, items: pd.DataFrame) -> Array:
        """Numbers, and whether a text has each value, (item, coefficient); NaN of a text not seen."""
        parts = []
        for name in self.covariates:
            given = _column(items, name)
            if name in self.terms:
                if not _is_number(given):
                    raise ModelError(f"item column {name!r} is {given.iloc[0]!r}; the fit has numbers there.")
                parts.append(given.to_numpy(dtype=np.float64)[:, None])
                continue
            texts = given.astype(str).to_numpy()[:, None]
            own = [
                term.removeprefix(f"{name}: ").rsplit(" - ", 1) for term in self.terms if term.startswith(f"{name}: ")
            ]
            values, known = np.array([value for value, _ in own]), {each for pair in own for each in pair}
            parts.append(np.where(np.isin(texts, list(known)), texts == values, np.nan))
        return np.hstack(parts)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, the design of the items left aside."""
        found = asdict(replace(self, design=None))
        del found["design"]
        return found

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> ItemRegression:
        """Undo `to_dict`, JSON included."""
        return cls(**{name: field_from_dict(value) for name, value in fields.items()})


def draw_effects(
    regression: ItemRegression, values: Array, sds: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Draw coefficients given draws of what is regressed, (draw, item), and its sds, (draw,); and the means that fit.

    The conjugate normal posterior at the mean of the sds; for whitening, which NUTS corrects.
    """
    design = regression.design
    assert design is not None  # noqa: S101 - bound before inference
    variance = float(np.mean(sds**2))
    full = np.hstack([np.ones((len(design), 1)), design])
    precision = full.T @ full / variance
    precision[1:, 1:] += np.eye(design.shape[1]) / regression.coefficient.scale**2
    precision[0, 0] += MIN_SCALE
    root = np.linalg.cholesky(precision)
    mean = np.linalg.solve(precision, full.T @ values.T / variance).T
    drawn = mean + np.linalg.solve(root.T, rng.standard_normal((full.shape[1], len(values)))).T
    return drawn[:, 1:], drawn[:, 0]


def predicted_draws(
    regression: ItemRegression, posterior: xr.Dataset, items: pd.DataFrame, *, seed: int
) -> dict[str, Array]:
    """Draw difficulties and discriminations of unseen items, (draw, item), with residual variation."""
    design, rng = regression.design_of(items), np.random.default_rng(seed)
    found = {}
    for name in ("difficulty", "log_discrimination"):
        if f"{name}{EFFECT}" not in posterior:
            continue
        effect = posterior[f"{name}{EFFECT}"].to_numpy().reshape(-1, design.shape[1]).astype(np.float64)
        mean, sd = (posterior[f"{name}_{part}"].to_numpy().reshape(-1, 1) for part in ("mean", "sd"))
        found[name] = mean + effect @ design.T + sd * rng.standard_normal((len(effect), len(items)))
    if "log_discrimination" in found:
        found["discrimination"] = np.exp(found.pop("log_discrimination"))
    return found


def _column(items: pd.DataFrame, name: str) -> pd.Series:
    if name not in items:
        raise ModelError(unknown_choice("item column", name, items.columns))
    values = items[name]
    if values.isna().any():
        raise ModelError(f"item {values.index[values.isna()][0]!r} has no value in column {name!r}; all need one.")
    return values


def _is_number(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
