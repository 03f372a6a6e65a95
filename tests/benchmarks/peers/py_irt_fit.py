"""py-irt's 2PL by its trainer. Options: priors, epochs, and optionally epochs_run (fewer; the time is extrapolated) and
snapshot_every (estimates at so many epochs and its multiples, for the time to reach an accuracy).

py-irt exports no intervals: they are taken from its guide, Normal for ability and difficulty, log-normal for the
discrimination.
"""

import time

import numpy as np
import pandas as pd
import pyro
import torch
from common import Z90, serve, with_bounds
from py_irt.config import IrtConfig
from py_irt.dataset import Dataset
from py_irt.models.two_param_logistic import TwoParamLog
from py_irt.training import IrtModelTrainer

NEVER = 10**9


def guide_estimates():
    """Means, sds and bounds that the guide holds now."""
    site = {name: pyro.param(name).detach().cpu().numpy().copy() for name in PARAMETERS}
    location, scale = site["loc_slope"], site["scale_slope"]
    return {
        **with_bounds("ability", site["loc_ability"], site["scale_ability"]),
        **with_bounds("difficulty", site["loc_diff"], site["scale_diff"]),
        "discrimination": np.exp(location),
        "discrimination_q05": np.exp(location - Z90 * scale),
        "discrimination_q95": np.exp(location + Z90 * scale),
    }


PARAMETERS = ("loc_ability", "scale_ability", "loc_diff", "scale_diff", "loc_slope", "scale_slope")


class Watched(TwoParamLog):
    """py-irt's own 2PL, whose guide notes the time of every epoch and keeps snapshots."""

    every = NEVER

    def get_guide(self):
        guide = super().get_guide()
        self.times, self.snapshots = [], {}

        def watched(*arguments):
            epoch = len(self.times) - 1  # the first call only creates the parameters
            self.times.append(time.perf_counter())
            if epoch > 0 and epoch % self.every == 0:
                self.snapshots[epoch] = guide_estimates()
            return guide(*arguments)

        return watched


def prepare(responses, options):
    values = np.where(responses < 0, np.nan, responses)
    columns = [f"i{place:06d}" for place in range(responses.shape[1])]
    frame = pd.DataFrame(values, columns=columns, index=[f"m{place:06d}" for place in range(responses.shape[0])])
    return Dataset.from_pandas(frame, item_columns=columns)


def fit(dataset, options):
    torch.manual_seed(0)
    Watched.every = options.get("snapshot_every", NEVER)
    config = IrtConfig(model_type=Watched, priors=options["priors"])
    trainer = IrtModelTrainer(data_path=None, config=config, dataset=dataset, verbose=False)
    trainer.train(epochs=options.get("epochs_run", options["epochs"]), device="cpu")
    return trainer.irt_model, time.perf_counter()


def export(fitted, dataset, options):
    irt_model, end = fitted
    times = np.array(irt_model.times)
    epochs_run = len(times) - 1
    notes = {"epochs": epochs_run}
    if epochs_run < options["epochs"]:
        a_epoch = (end - times[2]) / (epochs_run - 1)  # without the first, which warms up
        notes = {"fit_seconds": a_epoch * options["epochs"], "extrapolated_from_epochs": epochs_run}
        return {}, notes
    estimates = guide_estimates()
    for epoch, snapshot in irt_model.snapshots.items():
        estimates |= {f"{name}@{epoch}": value for name, value in snapshot.items()}
        notes[f"seconds@{epoch}"] = float(times[epoch + 1] - times[0])
    return estimates, notes


if __name__ == "__main__":
    serve(prepare, fit, export, ("py-irt", "pyro-ppl", "torch"), warm_up={"epochs": 20, "epochs_run": 20})
