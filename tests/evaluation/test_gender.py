"""The gap between genders, and the difference of two groups of speakers behind it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cleser.evaluation import gender_gap, group_difference, uar
from cleser.evaluation.numbers_as_text import share_text
from cleser.evaluation.tables import gender_rows
from tests.evaluation.simulate import CLASSES, predictions
from tests.evaluation.test_intervals import components, run


def groups(a, b, **kwargs):
    one, two = run(a, **kwargs), run(b, **kwargs)
    return one, replace(two, names=[f"other {name}" for name in two.names])


def test_one_seed_and_like_speakers_are_welchs_test():
    rng = np.random.default_rng(0)
    a, b = 0.5 + 0.05 * rng.standard_normal((2, 8)) * [[1], [3]]
    found = group_difference(*groups(a, b), uar)
    peer = stats.ttest_ind(b, a, equal_var=False)
    assert found.estimate == pytest.approx(b.mean() - a.mean())
    assert found.estimate / found.error == pytest.approx(peer.statistic)
    assert found.dof == pytest.approx(peer.df)
    ends = peer.confidence_interval()
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high))
    assert found.covers == "speakers"


def test_groups_of_other_sizes_add_their_variances():
    rng = np.random.default_rng(1)
    a, b = (0.5 + 0.1 * rng.standard_normal(n) for n in (3, 11))
    found = group_difference(*groups(a, b), uar)
    assert found.error == pytest.approx(np.sqrt(a.var(ddof=1) / 3 + b.var(ddof=1) / 11))
    assert 2 <= found.dof <= 12


def test_seeds_add_what_they_do_to_the_difference():
    """A seed that is good for both groups alike adds nothing to their difference; one that favours a group does."""
    rng = np.random.default_rng(2)
    a = 0.5 + 0.05 * rng.standard_normal(6) + 0.01 * rng.standard_normal((4, 6))
    b = 0.5 + 0.05 * rng.standard_normal(6) + 0.01 * rng.standard_normal((4, 6))
    seeds = np.array([-0.2, -0.05, 0.05, 0.2])[:, None]
    both = group_difference(*groups(a + seeds, b + seeds), uar)
    one = group_difference(*groups(a, b + seeds), uar)
    rest = [components(x)[2] / x.size for x in (a, b)]
    speakers = [components(x)[0] / x.size for x in (a, b)]
    training = (b.mean(1) - a.mean(1)).var(ddof=1) / 4
    variance = sum(map(max, speakers, rest)) + max(0, training - sum(rest))
    assert both.error == pytest.approx(np.sqrt(variance))
    assert one.error > 2 * both.error
    assert both.covers == "speakers and seeds"


def test_groups_must_be_apart_and_of_the_same_seeds():
    a, b = groups([[0.5, 0.6]], [[0.5, 0.7]])
    with pytest.raises(ValueError, match="are in both groups"):
        group_difference(a, a, uar)
    with pytest.raises(ValueError, match="expected the same"):
        group_difference(a, groups([[0.1, 0.2]] * 2, [[0.5, 0.7]] * 2)[1], uar)
    alone = group_difference(groups([[0.5]], [[0.5, 0.7]])[0], b, uar)
    assert np.isnan([alone.low, alone.high]).all()


def test_a_group_of_few_who_do_not_differ_has_no_difference_to_others():
    rng = np.random.default_rng(3)
    few, others = np.full((1, 2), 0.7), 0.6 + 0.1 * rng.standard_normal((1, 8))
    for a, b in ((few, others), (others, few), (few, few)):
        found = group_difference(*groups(a, b), uar)
        assert np.isnan([found.low, found.high]).all()
        assert found.estimate == pytest.approx(b.mean() - a.mean())
    many = group_difference(*groups(np.full((1, 6), 0.7), others), uar)
    assert many.low < many.estimate < many.high


def test_two_women_of_one_score_have_no_interval():
    found = gender_gap(by_gender(2, 3, hit=1.0), CLASSES)
    women = found["groups"]["female"]["uar"]
    assert (women["mean"], women["ci95"]) == (1, [None, None])
    assert share_text({**women, "sd": None}) == ("100.0 %", "–")
    assert found["difference"]["ci95"] == [None, None]


def by_gender(female=3, male=3, **kwargs):
    rows = predictions(speakers=female + male, **kwargs)
    number = rows["speaker"].str[-1].astype(int)
    return rows.assign(gender=number.lt(female).map({True: "female", False: "male"}))


def test_a_planted_gap_is_found_with_its_sign():
    rows = by_gender(6, 4, hit=1.0)
    men = rows["gender"] == "male"
    rows.loc[men & (rows["emotion"] == "anger"), "predicted"] = "sadness"
    found = gender_gap(rows, CLASSES)
    assert found["groups"]["female"]["uar"]["mean"] == 1
    assert found["groups"]["male"]["uar"]["mean"] == pytest.approx(0.75)
    assert found["difference"]["mean"] == pytest.approx(0.25)
    assert (found["groups"]["male"]["speakers"], found["groups"]["male"]["utterances"]) == (4, 80)
    assert found["notes"] == ["4 male speakers: too few to speak of male voices in general"]


def test_how_often_there_is_a_gap_where_there_is_none():
    """At most 5 % of 60 worlds without a gap, but for 2.6 standard errors."""
    missed = 0
    for seed in range(60):
        ends = gender_gap(by_gender(4, 4, seed=seed, takes=3), CLASSES)["difference"]["ci95"]
        missed += not ends[0] <= 0 <= ends[1]
    assert missed <= 60 * 0.05 + 2.6 * np.sqrt(60 * 0.05 * 0.95)


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda rows: rows.drop(columns="gender"), "the gender of no speaker is known"),
        (lambda rows: rows.assign(gender=None), "the gender of no speaker is known"),
        (lambda rows: rows.assign(gender="female"), "no male speaker is known"),
        (
            lambda rows: rows.assign(gender=rows["gender"].where(rows["speaker"] != "x/0")),
            "20 utterances are of unknown gender and left out",
        ),
        (
            lambda rows: rows[(rows["gender"] == "female") | (rows["emotion"] != "anger")],
            "without anger, which not both genders show",
        ),
        (
            lambda rows: rows.assign(
                gender=rows["gender"].where(rows["utterance"] != "x/0-anger-0", "male")
            ),
            "1 speaker has utterances of both genders and is left out",
        ),
        (
            lambda rows: rows.assign(speaker=rows["speaker"].where(rows["speaker"] != "x/0")),
            "20 female utterances without a speaker count as one each: intervals are too narrow",
        ),
        (
            lambda rows: rows[(rows["gender"] == "female") | (rows["seed"] == 0)],
            "some seeds tested one gender alone",
        ),
    ],
)  # fmt: skip
def test_what_is_missing_is_said(change, note):
    found = gender_gap(change(by_gender()), CLASSES)
    assert any(note in said for said in found["notes"])


def test_people_are_counted_as_they_are_known():
    rows = by_gender(1, 3)
    rows["speaker"] = rows["speaker"].where(rows["gender"] == "female")
    labels = [row[0] for row in gender_rows({"gender": gender_gap(rows, CLASSES)})]
    assert labels[:2] == ["UAR of 1 female speaker", "UAR of 60 male utterances"]


def test_classes_of_one_gender_alone_count_for_neither():
    """Else a gap between classes would pass for one between genders."""
    rows = by_gender(hit=1.0)
    rows = rows[(rows["gender"] == "female") | (rows["emotion"] != "anger")]
    rows.loc[rows["emotion"] == "anger", "predicted"] = "sadness"
    assert gender_gap(rows, CLASSES)["difference"]["mean"] == 0


def test_unknown_speakers_are_said():
    rows = by_gender().assign(speaker=pd.Series([None] * 240, dtype="str"))
    assert any("intervals count utterances" in note for note in gender_gap(rows, CLASSES)["notes"])
