import numpy as np

from irt_bench.report.figures.study_figures import forest_rows
from irt_bench.report.page.folders import read_folders
from irt_bench.report.page.variance_sections import pooled_rows, subset_section


def test_references_are_no_ways_and_give_the_band(results):
    assert pooled_rows(results())["reference"].sum() == 4
    band = forest_rows(results(), "simulated")
    assert set(band["label"]) == {"anchors", "subtask"}
    np.testing.assert_allclose(band["random_q05"], 0.8)  # of the random subsets' own ratio
    np.testing.assert_allclose(band.loc[band["label"] == "subtask", "ratio"], 1.1)  # against random, not the full one


def test_a_study_without_differences_states_it_with_its_power_and_control(write_study, results):
    parts = read_folders([write_study(results())])
    section = subset_section(parts["study"], None)
    text = " ".join(section.sentences)
    assert "no difference shown for any of 4" in text
    assert "cut to 0.70" in text and "0 of 18" in text
    assert section.commands == ["irt-bench subset"]
    assert section.blocks[0].drawing is not None


def test_a_cut_is_named(write_study, results):
    parts = read_folders([write_study(results(verdict="cuts", low=0.95))])
    text = " ".join(subset_section(parts["study"], None).sentences)
    assert "4 cut seed noise" in text
    assert "anchors" in text and "times that of random subsets" in text


def test_a_cut_is_not_told_without_those_of_the_negative_control(write_study, results):
    found = {"items": {"compared": 9, "cuts": 1}}
    parts = read_folders([write_study(results(verdict="cuts", low=0.95), control=found)])
    first = subset_section(parts["study"], None).sentences[0]
    assert "4 cut" in first and "1 of 9 methods is reported to cut" in first and "due to chance" in first


def test_without_a_study_its_command_is_reported():
    section = subset_section(None, None)
    assert not section.sentences and not section.blocks
    assert section.commands[0] == "irt-bench study"
