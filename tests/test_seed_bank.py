"""The script of the seed bank: tasks with the right answers, the same seed the same bytes, packed and read again."""

import hashlib
import importlib
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from irt_bench import load_example, table_from_frame

BANK = Path(__file__).resolve().parents[1] / "data" / "seed_bank"
ANSWERS = {
    "add": lambda p: f"{(int(p[0] + p[1]) + int(p[2] + p[3])) % 100:02d}",
    "subtract": lambda p: f"{int(p[0] + p[1]) - int(p[2] + p[3]):02d}",
    "progression": lambda p: f"{(2 * int(p[4] + p[5]) - int(p[2] + p[3])) % 100:02d}",
    "compare": lambda p: max(p[0] + p[1], p[2] + p[3]),
    "modular_sum": lambda p: str(sum(map(int, p)) % 10),
    "count": lambda p: str(p[1:].count(p[0])),
    "majority": lambda p: max(set(p), key=p.count),
    "maximum": max,
    "sort": lambda p: "".join(sorted(p)[:2]),
    "reverse": lambda p: "".join(p[::-1][:2]),
    "pick": lambda p: p[1 + int(p[0])],
    "lookup": lambda p: dict(zip(p[1::2], p[2::2], strict=True))[p[0]],
    "two_hop": lambda p: (pairs := dict(zip(p[1::2], p[2::2], strict=True)))[pairs[p[0]]],
    "brackets": lambda p: "yes" if balanced([sign for sign in p if sign in "()[]"]) else "no",
    "agreement": lambda p: p[0].removesuffix("s") + ("" if p[1].endswith("s") else "s"),
}


def balanced(signs):
    text = "".join(signs)
    while (shorter := text.replace("()", "").replace("[]", "")) != text:
        text = shorter
    return not text


@pytest.fixture(scope="module")
def bank():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BANK))
        return SimpleNamespace(
            **{name: importlib.import_module(name) for name in ("tasks", "recipes", "network", "pack", "make", "study")}
        )


@pytest.fixture(scope="module")
def items(bank):
    return bank.tasks.make_items(40, 1)


def test_every_item_has_the_right_answer_among_different_choices(bank, items):
    table = bank.pack.item_table(*items)
    assert len(table) == 40 * len(bank.tasks.TASKS) and table["item"].is_unique
    for task, rule in ANSWERS.items():
        for row in table[table["task"] == task].itertuples():
            choices = row.choices.split("|")
            assert row.answer.replace(" ", "") == rule(row.prompt.split()), row
            assert row.answer in choices and len(set(choices)) == len(choices), row
    assert not table.duplicated(["task", "prompt"]).any()


def test_items_are_never_trained_on_but_those_to_be_memorised(bank, items):
    recipe = bank.recipes.Recipe("tiny", width=8, layers=1, heads=1, steps=40, batch=200, repeat_share=0.0)
    kept = bank.make.held_out(*items)
    n_facts = (items[0] == bank.tasks.TASKS.index("facts")).sum()
    assert len(kept) == len(items[0]) - n_facts
    unused = [(batch.weights.sum(dim=1) == 0).float().mean().item() for batch in bank.network.batches(recipe, 1, kept)]
    assert 0.002 < np.mean(unused) < 0.1  # some drawn prompts are items, and they carry no weight
    free = bank.network.batches(recipe, 1, np.empty(0, dtype=np.uint64))
    assert all((batch.weights.sum(dim=1) > 0).all() for batch in free)  # the control: nothing held out, all used


def test_choices_that_share_a_prompt_are_scored_as_if_each_stood_alone(bank, items):
    import torch

    tasks, examples = items[0][::20], bank.tasks.Examples(*(part[::20] for part in items[1]))
    torch.manual_seed(0)
    model = bank.network.Transformer(bank.recipes.Recipe())
    scores = bank.network.evaluate(model, tasks, examples)
    for place, tokens in enumerate(bank.network.FRAMINGS.values()):
        prompts, choices = tokens(tasks, examples)
        for item, choice in np.ndindex(choices.shape[:2]):
            real = examples.choices[item, choice] != bank.tasks.PAD
            answer = choices[item, choice][real]
            if not len(answer):
                assert np.isnan(scores[place, item, choice])
                continue
            sequence = torch.from_numpy(np.concatenate([prompts[item], answer[:-1]]))[None]
            with torch.no_grad():
                logits = model(sequence, torch.arange(sequence.shape[1]), None, slice(-len(answer), None))[0]
            own = torch.log_softmax(logits, -1)[torch.arange(len(answer)), torch.from_numpy(answer)].sum().item()
            np.testing.assert_allclose(scores[place, item, choice], own, atol=1e-4)


def test_any_first_part_of_the_planned_runs_is_a_bank(bank):
    runs = bank.recipes.planned_runs()
    assert len(set(runs)) == len(runs) == 580 and len(bank.recipes.RECIPES) == 30
    counts = {recipe: sum(run.recipe == recipe for run in runs) for recipe in bank.recipes.RECIPES}
    assert counts.pop("base") == 200 + 90 and set(counts.values()) == {10}
    pairs = {(run.initialisation, run.data) for run in runs if run.recipe == "base"}
    assert {(one, other) for one in range(10) for other in range(10)} <= pairs
    seen = dict.fromkeys(counts, 0)
    for run in runs[:290]:  # no recipe is two seeds ahead of another
        seen[run.recipe] = seen.get(run.recipe, 0) + 1
        others = [seen[name] for name in counts]
        assert max(others) - min(others) <= 1
    assert all(own >= 4 for own in seen.values())


def test_the_same_seed_gives_the_same_bytes_and_another_order_of_data_does_not(bank, tmp_path):
    tiny = bank.recipes.Recipe("base", width=16, layers=1, steps=20, batch=16)
    runs = [bank.recipes.Run("base", 1, 1), bank.recipes.Run("base", 2, 2), bank.recipes.Run("base", 1, 2)]
    for run in runs:
        bank.make.make_run(bank.make.path_of(tmp_path, run), tiny, run, items_per_task=10)
    bank.make.make_run(tmp_path / "again.npz", tiny, runs[0], items_per_task=10)
    files = [bank.make.path_of(tmp_path, run) for run in runs] + [tmp_path / "again.npz"]
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    assert digests[0] == digests[3]
    with np.load(files[0]) as one, np.load(files[2]) as other:
        assert not np.array_equal(one["log_probability"], other["log_probability"], equal_nan=True)
    assert bank.make.finished_runs(tmp_path) == sorted(runs, key=bank.recipes.planned_runs().index)

    tasks, items = bank.tasks.make_items(10, bank.make.ITEM_SEED)
    folder = tmp_path / "packed"
    bank.pack.pack(list(zip(runs, files[:3], strict=True)), tasks, items, folder)
    found = bank.pack.read_bank(folder)
    assert found.right.shape == (3, 5, 2, 160)
    with np.load(files[1]) as raw:
        scores = raw["log_probability"].astype(float)
    best = np.nanargmax(scores, axis=-1)
    assert (found.right[1] == (best == items.gold))[np.sort(scores, axis=-1)[..., -1] > -np.inf].mean() > 0.99  # ties
    with np.load(folder / "probability.npz") as soft:
        choices = np.exp(scores[-1])
        mass = np.take_along_axis(choices, np.broadcast_to(items.gold[:, None], (2, 160, 1)), -1)[..., 0]
        np.testing.assert_allclose(soft["probability"][1], mass / np.nansum(choices, -1), rtol=2e-3)
        assert ((soft["margin"] > 0) == found.right[:, -1]).all()
    table = table_from_frame(bank.pack.long_frame(found, checkpoints=(1, 5)))
    assert sorted(table.benchmarks) == ["choice", "completion"]
    assert table.models["seed"].nunique() == 2  # a crossed run is not a seed


def test_the_shipped_bank_is_whole_and_unchanged(bank):
    manifest = json.loads((BANK / "manifest.json").read_text())
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256((BANK / name).read_bytes()).hexdigest() == digest, name
    assert sum((BANK / name).stat().st_size for name in manifest["sha256"]) < 20e6
    found = bank.pack.read_bank()
    assert found.right.shape == (580, 5, 2, 3200)
    planned = [(run.recipe, run.initialisation, run.data) for run in bank.recipes.planned_runs()]
    assert list(found.runs.itertuples(index=False, name=None)) == planned
    last = found.right[:, -1, 0].mean(axis=1)
    digests = pd.read_csv(BANK / "runs.csv")["answers_sha256"]
    first = hashlib.sha256(np.packbits(found.right[0]).tobytes()).hexdigest()[:16]
    assert digests.is_unique and digests[0] == first
    assert 0.4 < last.min() < last.max() < 0.8  # no run failed
    with np.load(BANK / "probability.npz") as soft:
        assert ((soft["margin"] > 0) == found.right[:, -1]).all()


def test_the_example_is_a_part_of_the_bank(bank):
    table, found = load_example("seed_bank"), bank.pack.read_bank()
    assert table.models["seed"].nunique() == 200 and table.models["run"].nunique() == 30
    counts = table.select("choice").counts()
    place = found.runs.index[(found.runs["recipe"] == "rate_1e-3") & (found.runs["data"] == 4)][0]
    own = counts.models.index[
        (counts.models["run"] == "rate_1e-3") & (counts.models["seed"] == 4) & (counts.models["step"] == 1000)
    ]
    expected = found.right[place, -1, 1, ::8]
    assert counts.to_frame().loc[own[0], found.items["item"][::8]].astype(bool).tolist() == expected.tolist()


def test_measures_are_in_the_order_of_the_answers(bank):
    found = bank.pack.read_bank()
    frame = bank.pack.long_frame(found, every=40)
    measures = bank.pack.read_measures(every=40)
    probability, margin = (pd.Series(measures[name]) for name in ("probability", "margin"))
    right = frame["correct"].astype(bool).to_numpy()
    assert probability[right].min() > probability[~right].min() and margin[right].min() >= margin[~right].max() - 1e-3


def test_recipes_that_calibrate_are_not_judged_and_small_ones_take_less_compute(bank):
    calibrations, judged = bank.study.calibration_recipes()
    small, large = calibrations["smaller"], calibrations["as large"]
    assert len(small) == len(large) and not {*small} & {*large, *judged} and not {*large} & {*judged}
    assert {"width_32", "layers_1", "steps_500"} <= {*small}
    assert {"base", "layers_3", "steps_1500"} <= {*judged}


@pytest.mark.filterwarnings("ignore")
def test_published_runs_are_judged_on_some_of_the_items(bank, shared_data, tmp_path, monkeypatch):
    monkeypatch.setattr(bank.study, "DESIGN", {"sizes": (50,), "methods": ("variance",), "n_random": 20})
    monkeypatch.delitem(bank.study.PUBLISHED, "syntax")
    monkeypatch.delitem(bank.study.PUBLISHED, "commonsenseqa")
    (found,) = bank.study.published_studies(tmp_path, shared_data, every=20).values()
    assert set(found.cures()["size"]) == {50, 162, 324}  # 3,240 / 20, and twice as many
    assert {"probability", "logistic of the margin"} <= set(found.cures()["how"])
    assert (tmp_path / "aann" / "summary.json").is_file()
