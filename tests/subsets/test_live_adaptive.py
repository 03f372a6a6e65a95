"""Adaptive tests that run in a harness: one item after another, as the simulated ones, from files that stand alone."""

import ast
import importlib.util
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import printed

import irt_bench as ib
from irt_bench import AdaptiveRules, as_counts
from irt_bench.analysis.labelled_draws import ItemParameters
from irt_bench.errors import AnalysisError, SubsetError
from irt_bench.subsets.adaptive import AdaptiveSettings, item_bank, run_adaptive
from irt_bench.subsets.harness import export_tasks, inspect_adaptive
from irt_bench.subsets.harness.export_tasks import live_content, next_round
from irt_bench.subsets.harness.inspect_adaptive import LiveTest, share_of


@pytest.fixture(scope="module")
def subset():
    return ib.make_subset(ib.load_example("benchmark"), 90, method="discrimination", seed=1)


@pytest.fixture(scope="module")
def answers(subset):
    """Right and wrong answers of 12 models to the subset's items."""
    frame = ib.load_example("benchmark").counts().to_frame()[list(subset.ids)]
    return frame.iloc[::10].astype(bool)


def run(content, own):
    test = LiveTest(content)
    while not test.finished:
        test.record(label := test.choose(test.items), float(own[label]))
    return test


def test_a_live_test_asks_the_items_of_the_simulated_one_and_ends_with_it(subset, answers, monkeypatch):
    names = ("difficulty", "discrimination", "guessing", "upper_asymptote")
    bank = item_bank(ItemParameters(*(np.array([getattr(i, n) for i in subset.record.items]) for n in names)))
    simulated = run_adaptive(answers.to_numpy(), bank, AdaptiveSettings(stop_sd=0.4, max_items=60))
    rules = AdaptiveRules(stop_sd=0.4, max_items=60)
    coarse = live_content(subset.record, rules)
    monkeypatch.setattr(export_tasks, "EVERY", 1)  # the nodes of the simulation
    content = live_content(subset.record, rules)
    for model, own in enumerate(answers.itertuples(index=False)):
        test = run(content, dict(zip(answers.columns, own, strict=True)))
        found, n = test.summary(), int(simulated.estimates.n_items[model])
        assert list(test.asked) == [subset.ids[place] for place in simulated.asked[model, :n]]
        exported = LiveTest(coarse)
        for label, score in test.asked.items():
            exported.record(label, score)
        for name, value in (("ability", "ability"), ("ability_q05", "lower"), ("estimated_score", "score")):
            for own_summary in (found, exported.summary()):
                assert own_summary[name] == pytest.approx(getattr(simulated.estimates, value)[model], abs=0.01)


def test_the_uncertainty_of_the_items_widens_the_posterior(subset, answers):
    fitted = ib.fit(ib.load_example("benchmark"), "2pl", seed=1)
    rules = AdaptiveRules(stop_sd=0, max_items=90)
    own = answers.iloc[3]
    known, uncertain = (
        run(live_content(subset.record, rules, posterior), own) for posterior in (None, fitted.posterior)
    )
    assert uncertain.ability()[1] > 1.02 * known.ability()[1]
    everything = fitted.score(answers.iloc[[3]]).iloc[0]
    assert uncertain.ability()[0] == pytest.approx(everything["ability"], abs=0.5 * everything["ability_sd"])
    assert uncertain.ability()[1] == pytest.approx(everything["ability_sd"], rel=0.15)


def test_exposure_spreads_items_and_balance_keeps_the_shares_of_subtasks(subset, answers):
    def asked(**rules):
        content = live_content(subset.record, AdaptiveRules(stop_sd=0, max_items=20, **rules))
        return [list(run(content, own).asked) for _, own in answers.iterrows()]

    first = {labels[0] for labels in asked()}
    assert len(first) == 1  # every model begins with the most informative item
    seeds = {asked(exposure=5, seed=seed)[0][0] for seed in range(20)}
    assert 2 <= len(seeds) <= 5
    subtask = {item.id: item.subtask for item in subset.record.items}
    share = (
        np.mean([subtask[label] == "subtask-1" for label in subset.ids]) if "subtask-1" in subtask.values() else None
    )
    names = sorted(set(subtask.values()))
    share = np.mean([subtask[label] == names[0] for label in subset.ids])
    for labels in asked(balance=True):
        assert abs(np.sum([subtask[label] == names[0] for label in labels]) - 20 * share) <= 1


def test_rounds_go_on_from_the_answers_so_far_and_end(subset, answers):
    content = live_content(subset.record, AdaptiveRules(stop_sd=0.35, parallel=3))
    own, seen = answers.iloc[[4]], []
    for _ in range(20):
        counts = as_counts(own[seen].astype(int)) if seen else None
        test, chosen = next_round(content, counts)
        assert not set(chosen) & set(seen) and len(test.asked) == len(seen)
        if not chosen:
            break
        seen += chosen
    assert test.finished and test.ability()[1] <= 0.35 and len(seen) > 3
    with pytest.raises(SubsetError, match="answers so far are of 12 models"):
        next_round(content, as_counts(answers.astype(int)))


def test_the_command_writes_a_round_and_says_when_it_ends(tmp_path, answers):
    frame = ib.load_example("benchmark").to_frame()
    frame["doc_id"] = frame["item"].str[-3:].astype(int)
    subset = ib.make_subset(ib.table_from_frame(frame), 60, method="discrimination")
    subset.save(tmp_path / "subset.json")

    export = partial(printed, "export", tmp_path / "subset.json", "--to", "lm-eval-round", "-o", tmp_path / "next.json")

    def written():
        return sorted(sum(json.loads((tmp_path / "next.json").read_text()).values(), []))

    text = export("--parallel", 15)
    assert "0 items asked" in text and "lm_eval run" in text
    ids = written()
    assert len(ids) == 15
    one = frame[(frame["model"] == "model-007")]
    one[one["doc_id"].isin(ids)].to_csv(tmp_path / "so_far.csv", index=False)
    assert "15 items asked" in export("--parallel", 15, "--answers", tmp_path / "so_far.csv")
    assert len(written()) == 15 and not set(ids) & set(written())
    assert "the test has ended" in export("--answers", tmp_path / "so_far.csv", "--stop-sd", 0.9)


def test_a_round_of_a_group_goes_on_from_logs_of_its_tasks(tmp_path):
    """The command that is printed runs the leaf tasks, whose logs do not name the group."""
    frame = ib.load_example("benchmark").to_frame().assign(benchmark="both")
    number = pd.factorize(frame["item"])[0]
    frame["doc_id"], frame["subtask"] = number % 50, np.where(number < 50, "a", "b")
    frame["item"] = frame["subtask"] + "/" + frame["doc_id"].astype(str)
    subset = ib.make_subset(ib.table_from_frame(frame), 60, method="discrimination")
    subset.save(tmp_path / "subset.json")
    export = partial(printed, "export", tmp_path / "subset.json", "--to", "lm-eval-round", "-o", tmp_path / "next.json")
    export()
    asked = [f"{task}/{k}" for task, ids in json.loads((tmp_path / "next.json").read_text()).items() for k in ids]
    so_far = frame[(frame["model"] == "model-007") & frame["item"].isin(asked)].drop(columns="benchmark")
    so_far.rename(columns={"subtask": "benchmark"}).to_csv(tmp_path / "so_far.csv", index=False)
    assert len({label[0] for label in asked}) == 2
    assert f"{len(asked)} items asked" in export("--answers", tmp_path / "so_far.csv")


def test_the_exported_task_stands_alone_and_is_what_the_package_runs(subset, answers, tmp_path):
    command = subset.export("inspect-adaptive", tmp_path / "live", task="pkg.tasks@sums", rules=ib.AdaptiveRules(0.4))
    assert command.startswith("inspect eval") and command.endswith("--max-samples 90")
    assert (tmp_path / "live" / "adaptive_test.py").read_text() == Path(inspect_adaptive.__file__).read_text()
    ast.parse((tmp_path / "live" / "task.py").read_text())
    script = (
        "import json, adaptive_test as a; t = a.LiveTest(json.load(open('items.json'))); "
        "t.record(t.choose(t.items), 1.0); import sys; print(t.ability()[0], 'numpy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, '.'); {script}"],
        cwd=tmp_path / "live", capture_output=True, text=True, check=True,
    )  # fmt: skip
    ability, loaded = done.stdout.split()
    assert float(ability) > 0.1 and loaded == "False"
    with pytest.raises(SubsetError, match="name it as task='file.py@task'"):
        subset.export("inspect-adaptive", tmp_path / "other", task="sums")
    assert not (tmp_path / "other").exists()


@pytest.mark.skipif(importlib.util.find_spec("anyio") is None, reason="anyio, which comes with Inspect, is not here")
@pytest.mark.parametrize(("window", "parallel"), [(90, 1), (7, 1), (90, 4), (7, 4)])
def test_samples_are_asked_in_the_order_of_information_whatever_the_harness_starts(
    subset, answers, tmp_path, monkeypatch, window, parallel
):
    """A harness that starts `window` samples at a time, in their order; a sample that fails is given up in time."""
    import anyio

    fake = type(sys)("inspect_ai.util")
    fake.EarlyStop = lambda **about: about
    monkeypatch.setitem(sys.modules, "inspect_ai", type(sys)("inspect_ai"))
    monkeypatch.setitem(sys.modules, "inspect_ai.util", fake)
    monkeypatch.setattr(inspect_adaptive, "QUIET_SECONDS", 0.02)
    monkeypatch.setattr(inspect_adaptive, "LOST_SECONDS", 0.2)
    content = live_content(subset.record, AdaptiveRules(stop_sd=0.4, parallel=parallel))
    (tmp_path / "items.json").write_text(json.dumps(content))
    own, stopping = answers.iloc[2], inspect_adaptive.AdaptiveStopping(tmp_path / "items.json")
    sample, score = (lambda label: type("S", (), {"id": label})), (lambda value: type("V", (), {"value": value}))
    ids, failed, running, most = ["unknown", *sorted(subset.ids)], [], [0], [0]

    async def harness():
        await stopping.start_task(None, [sample(label) for label in ids], 1)
        limit, skipped = anyio.Semaphore(window), []

        async def one(label):
            async with limit:
                if (stop := await stopping.schedule_sample(label, 1)) is not None:
                    skipped.append(stop)
                    return
                running[0] += 1
                most[0] = max(most[0], running[0])
                await anyio.sleep(0.001)
                running[0] -= 1
                if not failed:
                    failed.append(label)  # no score
                    return
                await stopping.complete_sample(
                    label, 1, {"match": type("R", (), {"score": score("CI"[not own[label]])})}
                )

        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                for label in ids:
                    group.start_soon(one, label)
        return skipped, await stopping.complete_task()

    skipped, found = anyio.run(harness)
    assert found["n_items"] + len(skipped) + len(failed) == len(ids) and failed[0] not in found["asked"]
    assert found["ability_sd"] <= 0.4 and most[0] <= parallel
    assert {stop["reason"] for stop in skipped if stop["id"] == "unknown"} == {"has no item parameters"}
    if window == 90 and parallel == 1:
        again = LiveTest(content)
        for label in found["asked"]:
            best = again.choose([each for each in again.items if each not in failed])
            assert label == best
            again.record(label, float(own[label]))


@pytest.mark.parametrize(
    ("value", "share"), [("C", 1), ("I", 0), ("P", 0.5), (1, 1), (0.25, 0.25), (True, 1), ("N", 0)]
)
def test_scores_of_inspect_are_shares(value, share):
    assert share_of(value) == share


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({"stop_sd": -1}, "stop_sd is -1"),
        ({"parallel": 0}, "parallel is 0"),
        ({"exposure": 0}, "exposure is 0"),
        ({"min_items": 9, "max_items": 5}, "min_items is 9"),
    ],
)
def test_rules_have_ranges(rules, reason):
    with pytest.raises(AnalysisError, match=reason):
        AdaptiveRules(**rules)
    with pytest.raises(ValueError, match="is not in"):
        share_of(3)
