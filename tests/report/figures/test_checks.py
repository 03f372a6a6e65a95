import numpy as np
import pandas as pd
import pytest

from irt_bench import save_figure
from irt_bench.checks.check_fit import ModelChecks
from irt_bench.inference.convergence import Check
from irt_bench.report.figures import checks_figure


@pytest.fixture
def found():
    steps = np.linspace(0, 1, 11)
    band = {"observed": steps, "predicted": steps, "predicted_q05": steps * 0.9, "predicted_q95": steps}
    scores = pd.DataFrame(band, index=pd.Index(steps, name="score"))
    eigenvalues = pd.DataFrame(
        {"observed": [8.0, 2.0, 1.0], "unrelated_q95": 1.5, "one_dimension_q05": 1.0, "one_dimension_q95": 2.0},
        index=pd.RangeIndex(1, 4, name="number"),
    )
    curves = pd.DataFrame({"item": "x$a", "group": [1, 2, 3], "score": [0.2, 0.5, 0.8], "observed": [0.1, 0.5, 0.9],
                           "predicted": 0.5, "predicted_q05": 0.4, "predicted_q95": 0.6})  # fmt: skip
    models = pd.DataFrame({"score": [0.2, 0.5], "zh": [-6.0, np.nan], "misfit": [True, False]}, index=["odd", "none"])
    checks = (Check("person_fit", "failed", 6.0, 4.0, "", "s"), Check("dif", "not_applicable", None, None, "", ""))
    empty = pd.DataFrame()
    return ModelChecks(checks, empty, models, empty, empty, eigenvalues, scores, curves, (), (), 39, 0)


def test_the_title_shows_what_failed_and_models_that_misfit_are_named(found):
    figure = checks_figure(found)
    assert figure.get_suptitle() == "1 of 1 model checks failed: person fit"
    assert "odd" in [text.get_text() for text in figure.axes[-1].texts]
    limits = [line for line in figure.axes[-1].lines if line.get_label() == "limit"]
    assert limits[0].get_ydata()[0] == -4


def test_without_eigenvalues_their_panel_states_it(found, tmp_path):
    bare = ModelChecks(**{**vars(found), "eigenvalues": found.eigenvalues.iloc[:0], "checks": ()})
    figure = checks_figure(bare)
    assert "not defined" in figure.axes[1].texts[0].get_text()
    save_figure(figure, tmp_path / "checks.png")
    first = (tmp_path / "checks.png").read_bytes()
    save_figure(checks_figure(bare), tmp_path / "checks.png")
    assert (tmp_path / "checks.png").read_bytes() == first
