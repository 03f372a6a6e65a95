import json
import zipfile
from pathlib import Path

import pytest

from irt_bench import read_responses
from irt_bench.errors import ReadError, ResponsesError, ResponsesWarning
from irt_bench.responses.formats.inspect_ai import EvalArchive


def summaries(path: Path) -> tuple[str, list[dict]]:
    with EvalArchive(path) as archive:
        return archive.json("header.json")["eval"]["model"], archive.json("summaries.json")


def sample(id: object = "q", epoch: int = 1, value: object = "C", **changes: object) -> dict:
    return {"id": id, "epoch": epoch, "scores": {"match": {"value": value}}, **changes}


def write_log(path: Path, samples: list[dict], *, status: str = "success", **evaluation: object) -> Path:
    header = {"version": 2, "status": status, "eval": {"task": "pkg/toy", "model": "org/m", **evaluation}}
    if path.suffix == ".json":
        path.write_text(json.dumps({**header, "samples": samples}))
        return path
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps(header))
        archive.writestr("summaries.json", json.dumps(samples))
    return path


def test_real_logs_read_to_their_scores_with_epochs_as_trials(shared_fixtures):
    folder = shared_fixtures / "inspect"
    table = read_responses([folder], metric="choice")
    expected = {}
    for path in folder.glob("*toy-mc*.eval"):
        model, samples = summaries(path)
        for line in samples:
            right, asked = expected.get((model, line["id"]), (0, 0))
            expected[model, line["id"]] = (right + (line["scores"]["choice"]["value"] == "C"), asked + 1)
    counts = table.select("toy_mc").counts()
    found = {
        (model, item): (int(counts.correct[m, i]), int(counts.trials[m, i]))
        for m, model in enumerate(counts.models.index)
        for i, item in enumerate(counts.items.index)
        if counts.trials[m, i]
    }
    assert found == expected
    assert len(expected) == 60 and {asked for _, asked in expected.values()} == {3}
    assert sorted(counts.models["step"].dropna()) == [1000, 2000, 3000]


def test_partial_credit_is_a_score_measure(shared_fixtures):
    table = read_responses([shared_fixtures / "inspect"], metric="partial").select("toy_mc")
    total = sum(
        line["scores"]["partial"]["value"]
        for path in (shared_fixtures / "inspect").glob("*toy-mc*.eval")
        for line in summaries(path)[1]
    )
    assert table.measure == "score"
    assert table.counts().correct.sum() == pytest.approx(total)


def test_several_scorers_need_a_choice_that_is_listed(shared_fixtures):
    with pytest.raises(ReadError, match="has several scorers: choice, partial; choose one: metric='NAME'"):
        read_responses([shared_fixtures / "inspect"])
    with pytest.raises(ReadError, match="scorer 'chioce' is not known. Did you mean 'choice'"):
        read_responses([shared_fixtures / "inspect"], metric="chioce")


def test_a_json_log_reads_like_the_archive_it_was_made_from(shared_fixtures):
    (as_json,) = (shared_fixtures / "inspect_json").glob("*.json")
    (as_archive,) = (shared_fixtures / "inspect").glob(f"{as_json.stem}.eval")
    first, second = (read_responses([path]).counts() for path in (as_json, as_archive))
    assert first.fingerprint() == second.fingerprint()
    assert first.n_items == 20


def test_subset_runs_hold_the_items_they_ran(shared_fixtures):
    paths = sorted((shared_fixtures / "inspect_subset").glob("*toy-mc*.eval"))
    table = read_responses([paths[0]], metric="choice")
    assert (
        set(table.answers["item"])
        == {line["id"] for line in summaries(paths[0])[1]}
        == {
            "toy-001",
            "toy-004",
            "toy-019",
        }
    )
    assert (table.counts().trials == 2).all()


@pytest.mark.parametrize("suffix", [".eval", ".json"])
def test_values_are_mapped_as_inspect_maps_them(tmp_path, suffix):
    values = ["C", "I", "N", "yes", "No", "TRUE", "false", True, 0, "1", 1.0]
    log = write_log(tmp_path / f"log{suffix}", [sample(n, value=value) for n, value in enumerate(values)])
    table = read_responses([log])
    assert table.counts().correct[0].tolist() == [1, 0, 0, 1, 0, 1, 0, 1, 0, 1, 1]
    assert table.benchmarks == ["toy"] and list(table.models.index) == ["org/m"]


def test_partial_values_make_all_answers_scores(tmp_path):
    log = write_log(tmp_path / "a.eval", [sample("a"), sample("b", value="P"), sample("c", value="I")])
    assert read_responses([log]).counts().correct[0].tolist() == [1.0, 0.5, 0.0]


def test_unknown_values_are_missing_and_reported(tmp_path):
    log = write_log(tmp_path / "a.eval", [sample("a"), sample("b", value="maybe"), sample("c", value="maybe")])
    with pytest.warns(ResponsesWarning, match=r"2 score values are not known.*'maybe' \(2\)"):
        table = read_responses([log])
    assert table.counts().trials[0].tolist() == [1, 0, 0]
    assert [(finding.name, finding.count) for finding in table.findings] == [("unknown_scores", 2), ("ungraded", 2)]


def test_errors_and_missing_scores_are_missing_not_wrong(tmp_path):
    samples = [sample("a"), sample("b", value="I", error="timeout"), sample("c", scores=None), sample("d", scores={})]
    counts = read_responses([write_log(tmp_path / "a.eval", samples)]).counts()
    assert counts.trials[0].tolist() == [1, 0, 0, 0]
    assert list(counts.items.index) == ["a", "b", "c", "d"]


def test_a_scorer_with_several_values_is_chosen_by_scorer_and_key(tmp_path):
    log = write_log(tmp_path / "a.eval", [sample("a", value={"f": 1, "g": 0}), sample("b", value={"f": 0, "g": 0})])
    with pytest.raises(ReadError, match="several scorers: match/f, match/g"):
        read_responses([log])
    assert read_responses([log], metric="match/f").counts().correct[0].tolist() == [1, 0]


def test_a_scorer_that_gives_lists_is_refused(tmp_path):
    with pytest.raises(ReadError, match="scorer 'match' gives lists"):
        read_responses([write_log(tmp_path / "a.eval", [sample(value=[1, 0])])])


@pytest.mark.parametrize("where", [{"model_generate_config": {"seed": 7}}, {"metadata": {"seed": 7}}])
def test_logs_that_differ_in_their_seed_are_kept_apart(tmp_path, where):
    other = json.loads(json.dumps(where).replace("7", "8"))
    write_log(tmp_path / "a.eval", [sample(value="C")], **where)
    write_log(tmp_path / "b.eval", [sample(value="I")], **other)
    table = read_responses([tmp_path])
    assert list(table.models.index) == ["org/m[seed=7]", "org/m[seed=8]"]
    assert table.counts().correct[:, 0].tolist() == [1, 0]


def test_logs_that_differ_in_nothing_contradict_each_other(tmp_path):
    write_log(tmp_path / "a.eval", [sample(value="C")])
    write_log(tmp_path / "b.eval", [sample(value="I")])
    with pytest.raises(ResponsesError, match="more than once with different values"):
        read_responses([tmp_path])


def test_steps_may_be_numbers_or_names(tmp_path):
    write_log(tmp_path / "a.eval", [sample()], metadata={"step": 5})
    write_log(tmp_path / "b.eval", [sample()], metadata={"step": "step10"})
    assert read_responses([tmp_path]).models["step"].tolist() == [5, 10]


def test_a_log_cut_short_is_read_from_its_journal_and_reported(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.eval", "w") as archive:
        archive.writestr("_journal/start.json", json.dumps({"version": 2, "eval": {"task": "toy", "model": "m"}}))
        archive.writestr("_journal/summaries/1.json", json.dumps([sample("a")]))
        archive.writestr("_journal/summaries/2.json", json.dumps([sample("b", value="I")]))
    table = read_responses([tmp_path / "a.eval"])
    assert table.counts().correct[0].tolist() == [1, 0]
    assert [finding.name for finding in table.findings] == ["partial_log"]


def test_a_log_without_scores_is_refused_if_it_is_all_there_is(tmp_path):
    with pytest.raises(ReadError, match="none of its 1 samples has a score"):
        read_responses([write_log(tmp_path / "a.eval", [sample(scores=None)])])


def test_a_file_that_is_no_log_is_refused(tmp_path):
    (tmp_path / "a.eval").write_text("no zip")
    with pytest.raises(ReadError, match=r"a\.eval cannot be read as an Inspect log"):
        read_responses([tmp_path / "a.eval"])
    with pytest.raises(ReadError, match="does not name its task and model"):
        read_responses([write_log(tmp_path / "b.json", [], task="")])


def test_letter_grades_are_not_taken_for_correct_and_incorrect(tmp_path):
    samples = [sample(id=f"q{n}", value=grade) for n, grade in enumerate("ABCCD")] + [sample(id="q5", value=1)]
    with pytest.warns(ResponsesWarning, match="5 score values are not known"):
        counts = read_responses([write_log(tmp_path / "a.json", samples)]).counts()
    assert counts.trials[0].tolist() == [0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize(("right", "wrong"), [("C", "I"), ("pass", "fail"), ("yes", "no"), ("true", "false")])
def test_words_for_right_and_wrong_are_read(tmp_path, right, wrong):
    samples = [sample(id="q0", value=right), sample(id="q1", value=wrong), sample(id="q2", value="N/A")]
    counts = read_responses([write_log(tmp_path / "a.json", samples)]).counts()
    assert counts.correct.tolist() == [[1, 0, 0]] and counts.trials.tolist() == [[1, 1, 0]]


def test_invalidated_samples_are_missing_and_said(tmp_path):
    samples = [sample(id="q0"), sample(id="q1", invalidation={"author": "x", "reason": "leak"})]
    table = read_responses([write_log(tmp_path / "a.json", samples)])
    assert table.counts().trials.tolist() == [[1, 0]]
    assert "1 of its samples are invalidated" in next(f.message for f in table.findings if f.name == "invalidated")


def test_the_newest_of_two_logs_of_one_task_and_model_is_taken(tmp_path):
    write_log(tmp_path / "b.json", [sample(value="I"), sample(value="I", epoch=2)], created="2025-01-01T00:00:00+00:00")
    write_log(tmp_path / "a.json", [sample(value="C")], created="2025-02-01T00:00:00+00:00")
    with pytest.warns(ResponsesWarning, match="2 runs; of each item the newest answer is taken, 2 earlier ones"):
        counts = read_responses([tmp_path]).counts()
    assert counts.correct.tolist() == [[1]] and counts.trials.tolist() == [[1]]
    both = read_responses([tmp_path], all_runs=True).counts()
    assert both.correct.tolist() == [[1]] and both.trials.tolist() == [[3]]


def test_first_words_of_the_input_describe_the_item(tmp_path):
    samples = [sample(id="q0", input="What is 2+2?"), sample(id="q1", input=[{"role": "user", "content": "And 3?"}])]
    table = read_responses([write_log(tmp_path / "a.json", samples)])
    assert table.items["question"].tolist() == ["What is 2+2?", "And 3?"]
