"""Order, parts, silence and repetition: what the same answers look like must not matter."""

import numpy as np
import pandas as pd
from any_answers import answers, assert_same_table, few_or_many, for_all, table_of
from hypothesis import strategies as st

from irt_bench import LaplaceSettings, TwoPL, fit, read_responses, write_table
from irt_bench.responses.table import in_order

PARTS = st.tuples(st.integers(1, 4), st.integers(0, 1000), st.sampled_from([".csv", ".parquet"]))


@few_or_many(15, 500)
def test_the_order_of_rows_and_columns_changes_nothing(examples):
    @for_all(examples, answers(), st.integers(0, 1000))
    def check(frame, seed):
        shuffled = frame.sample(frac=1, random_state=seed)
        columns = np.random.default_rng(seed).permutation(shuffled.columns)
        found, expected = table_of(shuffled[columns]), table_of(frame)
        assert found.counts().fingerprint() == expected.counts().fingerprint()
        one, other = in_order(found), in_order(expected)
        for name in ("answers", "models", "items"):
            pd.testing.assert_frame_equal(getattr(one, name), getattr(other, name), check_like=True)


@few_or_many(10, 200)
def test_a_table_split_into_files_is_read_as_the_whole(examples, tmp_path_factory):
    @for_all(examples, answers(), PARTS)
    def check(frame, how):
        n_parts, seed, ending = how
        folder = tmp_path_factory.mktemp("parts")
        frame = frame.assign(benchmark="b")
        part_of = np.random.default_rng(seed).integers(0, n_parts, len(frame))
        for number, part in frame.groupby(part_of):
            path = folder / f"{number}{ending}"
            part.to_csv(path, index=False) if ending == ".csv" else part.to_parquet(path)
        whole = folder / f"whole{ending}"
        frame.to_csv(whole, index=False) if ending == ".csv" else frame.to_parquet(whole)
        parts = read_responses([path for path in sorted(folder.iterdir()) if path != whole])
        assert_same_table(in_order(parts), in_order(read_responses([whole])))


@few_or_many(10, 200)
def test_a_written_table_read_with_a_part_of_itself_is_itself(examples, tmp_path_factory):
    @for_all(examples, answers(missing=0.5))
    def check(frame):
        folder = tmp_path_factory.mktemp("twice")
        table = table_of(frame)
        write_table(table, folder / "a.parquet")
        write_table(table_of(frame.head(1 + len(frame) // 2)), folder / "b.parquet")
        both = read_responses([folder / "a.parquet", folder / "b.parquet"])
        assert both.counts().fingerprint() == table.counts().fingerprint()


@few_or_many(6, 150)
def test_a_cell_that_was_never_asked_changes_nothing(examples):
    @for_all(examples, answers(models=(5, 8), items=(6, 9), missing=0.4))
    def check(frame):
        cells = pd.MultiIndex.from_frame(frame[["model", "item"]])
        every = pd.MultiIndex.from_product([frame["model"].unique(), frame["item"].unique()], names=cells.names)
        silent = every.difference(cells).to_frame(index=False)
        padded = pd.concat([frame, silent], ignore_index=True).sample(frac=1, random_state=1)
        one, other = table_of(frame), table_of(padded)
        assert other.counts().fingerprint() == one.counts().fingerprint()
        assert len(other.answers) == len(frame)
        fits = [fit(table.counts(), TwoPL(), LaplaceSettings(draws=20, threads=1)) for table in (one, other)]
        assert fits[0].posterior.equals(fits[1].posterior)


@few_or_many(15, 300)
def test_trials_one_by_one_are_the_same_as_their_counts(examples):
    @for_all(examples, answers(), st.integers(1, 4), st.integers(0, 1000))
    def check(frame, n_trials, seed):
        rng = np.random.default_rng(seed)
        n_of = rng.integers(1, n_trials + 1, len(frame))
        one_by_one = frame.loc[frame.index.repeat(n_of)].reset_index(drop=True)
        one_by_one = one_by_one.assign(trial=np.concatenate([np.arange(n) for n in n_of]))
        one_by_one["correct"] = rng.integers(0, 2, len(one_by_one))
        cells = one_by_one.groupby(["model", "item"], as_index=False)
        merged = cells.agg(n_correct=("correct", "sum"), n_samples=("correct", "size"))
        found, expected = table_of(one_by_one).counts(), table_of(merged).counts()
        assert found.fingerprint() == expected.fingerprint()
        np.testing.assert_array_equal(found.proportions(), expected.proportions())
        assert found.trials.sum() == n_of.sum()


def test_a_fingerprint_tells_tables_that_differ_in_one_answer():
    """Negative control."""
    frame = pd.DataFrame({"model": ["a", "a", "b"], "item": ["q", "r", "q"], "correct": [1, 0, 1]})
    seen = {table_of(frame).counts().fingerprint(), table_of(frame.head(2)).counts().fingerprint()}
    seen |= {table_of(frame.assign(correct=[1, 1, 1])).counts().fingerprint()}
    assert len(seen) == 3
