"""Run folders: results, comparison, tables, and a page that needs nothing but itself."""

import io
import json
import re
import shutil
from html import escape

import numpy as np
import pandas as pd
import pytest
import yaml
from rich.console import Console
from safetensors.numpy import save_file
from scipy import stats
from threadpoolctl import threadpool_info, threadpool_limits

from cleser.corpora.protocol.hashes import hash_of_uses
from cleser.evaluation import (
    Run,
    as_text,
    compare_runs,
    holm,
    report,
    show_comparison,
    show_results,
    write_results,
)
from cleser.evaluation.many_runs import frame
from cleser.evaluation.numbers_as_text import p_text, percent
from cleser.evaluation.tables import difference_cells
from tests.evaluation.simulate import CLASSES, predictions


def make_run(folder, recipe="erm", protocol="0123456789ab", neural=True, terms_of=None, **kwargs):
    folder.mkdir(parents=True)
    rows = predictions(**kwargs)
    rows.to_parquet(folder / "predictions.parquet")
    (folder / "config.yaml").write_text(
        yaml.safe_dump({"recipe": recipe, "seeds": 2, "note": "<b>&"})
    )
    sizes = {"source": 100, "auxiliary": 0, "target": 120}
    terms = {
        "hash": protocol, "source": ["a"], "auxiliary": [], "target": ["x"], "classes": CLASSES,
        "split": "speakers", "map": {"calm": "neutral"}, "dev": 0.2, "normalisation": "speaker",
        "target_access": "audio", "transductive": True, "utterances": sizes,
        "speakers": {"source": 5, "auxiliary": 0, "target": 6}, "notes": ["<script>alert(1)</script>"],
    }  # fmt: skip
    (folder / "protocol.json").write_text(json.dumps(terms | (terms_of or {})))
    if neural:
        lines = [
            {
                "seed": s,
                "epoch": e,
                "train_loss": 1 / (e + 1),
                "dev_uar": 0.5 + e / 20,
                "dev_loss": 1.0,
            }
            for s in range(2)
            for e in range(5)
        ]
        (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
        first = rows[rows["seed"] == 0]
        points = np.random.default_rng(0).standard_normal((len(first), 8)).astype("float32")
        tensors = {"embeddings": points, "source_embeddings": points[:20]}
        save_file(tensors, folder / "embeddings.safetensors")
        first[:20].to_parquet(folder / "source.parquet")
    write_results(folder, left_out=[{"path": "bad.wav", "reason": "is empty"}])
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return (
        make_run(root / "one"),
        make_run(root / "two", recipe="classical", neural=False, hit=0.8, seed=1),
        make_run(root / "three", protocol="ba9876543210", seed=2),
    )


def test_results_hold_what_is_promised(folders):
    results = json.loads((folders[0] / "results.json").read_text())
    for metric in ("uar", "macro_f1", "accuracy"):
        found = results[metric]
        assert found["mean"] == pytest.approx(np.mean(found["seeds"]))
        low, high = found["ci95"]
        assert 0 <= low < found["mean"] < high <= 1
        assert found["resampled"] == "speakers"
        assert found["covers"] == "speakers and seeds"
        assert (low + high) / 2 == pytest.approx(found["mean"])
        half = stats.t.ppf(0.975, found["dof"]) * found["error"]
        assert high - low == pytest.approx(2 * half)
    assert list(results["per_class"]) == CLASSES
    assert results["per_class"]["anger"]["support"] == 30
    assert np.sum(results["confusion"]["counts"]) == 240
    assert results["protocol"] == "0123456789ab"
    assert (results["n_utterances"], results["n_speakers"]) == (120, 6)
    assert results["left_out"] == [{"path": "bad.wav", "reason": "is empty"}]


def test_a_missing_file_is_named(folders, tmp_path):
    with pytest.raises(ValueError, match=r"found no predictions\.parquet"):
        Run(tmp_path).predictions  # noqa: B018
    with pytest.raises(ValueError, match=r"found no .*, expected the folder of a finished run"):
        report([tmp_path], tmp_path / "page.html")
    with pytest.raises(ValueError, match="no runs to report"):
        report([], tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("results.json", "results"),
        ("protocol.json", "protocol"),
        ("predictions.parquet", "predictions"),
        ("development.parquet", "development"),
    ],
)
@pytest.mark.parametrize("kept", [0, 0.5])
def test_a_file_that_was_copied_in_part_is_named(folders, tmp_path, name, read, kept):
    whole = (folders[0] / name.replace("development", "predictions")).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(
        ValueError,
        match=rf"^{tmp_path}/{name} is cut off or damaged .*: copy the run's folder anew",
    ):
        getattr(Run(tmp_path), read)


@pytest.mark.parametrize("name", ["embeddings.safetensors", "source.parquet"])
def test_a_page_names_the_file_of_its_map_that_was_copied_in_part(folders, tmp_path, name):
    run = shutil.copytree(folders[0], tmp_path / "run")
    (run / name).write_bytes((run / name).read_bytes()[:-10])
    with pytest.raises(ValueError, match=rf"^{run}/{name} is cut off or damaged"):
        report([run], tmp_path / "page.html")


def test_settings_that_are_no_yaml_are_named(tmp_path):
    (tmp_path / "config.yaml").write_text("a: [1")
    with pytest.raises(ValueError, match=r"config\.yaml is no YAML"):
        Run(tmp_path).settings  # noqa: B018


def test_protocols_do_not_share_a_column(folders):
    cells = frame(folders)
    assert list(cells.columns) == ["a → x (012345)", "a → x (ba9876)"]
    assert cells.loc["classical", "a → x (ba9876)"] == "–"
    assert list(frame(folders[:2]).columns) == ["a → x"]
    for style in ("markdown", "csv", "latex", "html"):
        assert "classical" in as_text(folders, style)
    with pytest.raises(ValueError, match="style is 'pdf'"):
        as_text(folders, "pdf")


def test_two_runs_of_one_recipe_keep_their_cells(folders, tmp_path):
    """Under the names of their folders, and where these are alike of the folders around them."""
    other = make_run(tmp_path / "other", seed=7)
    assert list(frame([folders[0], other, folders[1]]).index) == ["one", "other", "classical"]
    twin = make_run(tmp_path / "again" / "other", seed=8)
    assert list(frame([folders[0], other, twin]).index) == ["one", "other", "other (again)"]


def test_no_run_takes_the_cell_of_another(folders, tmp_path):
    """However alike their paths are: each is named by as much of its own as no other has."""
    runs = [make_run(tmp_path / name / "m" / "erm", seed=n) for n, name in enumerate("abc")]
    cells = frame(runs)
    assert list(cells.index) == ["erm", "erm (b/m)", "erm (c/m)"]
    scores = [percent(json.loads((run / "results.json").read_text())["uar"]) for run in runs]
    assert cells["a → x"].tolist() == scores


def test_the_table_for_latex_has_no_character_that_means_something_there(tmp_path):
    terms = {"source": ["a_b"], "target": ["50%"]}
    run = make_run(tmp_path / "x_y", terms_of=terms)
    text = as_text([run, make_run(tmp_path / "z#", terms_of=terms)], "latex")
    assert r"UAR \%" in text
    assert r"a\_b $\rightarrow$ 50\%" in text
    assert r"x\_y" in text
    assert r"z\#" in text
    plain = text.replace(r"$\pm$", "").replace(r"$\rightarrow$", "")
    assert not re.findall(r"(?<!\\)[_%#$]", plain)
    plain.encode("ascii")


def test_runs_that_tell_other_classes_apart_are_refused_by_name(folders, tmp_path):
    fewer = with_terms(make_run(tmp_path / "fewer", protocol="c" * 12), classes=CLASSES[:3])
    rows = pd.read_parquet(fewer / "predictions.parquet")
    rows[rows["emotion"].isin(CLASSES[:3])].to_parquet(fewer / "predictions.parquet")
    for force in (False, True):
        with pytest.raises(ValueError, match=r"anger, .*, sadness apart, .*fewer anger") as caught:
            compare_runs(folders[0], fewer, force=force)
        assert "--force" not in str(caught.value)


def with_terms(folder, **terms):
    """A run whose protocol says something else."""
    path = folder / "protocol.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | terms))
    return folder


def with_numbers(folder, noise, **kwargs):
    """A run that predicts arousal, whose target has annotators' votes."""
    with_terms(make_run(folder, **kwargs), attributes=["arousal"])
    rows = pd.read_parquet(folder / "predictions.parquet")
    truth = pd.factorize(rows["utterance"])[0] % 97 / 48 - 1
    rng = np.random.default_rng(0)
    rows["arousal"], rows["predicted_arousal"] = (
        truth,
        truth + noise * rng.standard_normal(len(rows)),
    )
    for name in CLASSES:
        rows[f"votes.{name}"] = 1.0 + 3.0 * (rows["emotion"] == name)
    rows.to_parquet(folder / "predictions.parquet")
    write_results(folder)
    return folder


def test_classes_in_another_order_are_the_same_classes(folders, tmp_path):
    turned = make_run(
        tmp_path / "turned",
        protocol="d" * 12,
        neural=False,
        hit=0.8,
        seed=1,
        terms_of={"classes": CLASSES[::-1]},
    )
    expected = compare_runs(folders[0], folders[1]).differences
    assert compare_runs(folders[0], turned, force=True).differences == expected


def with_several(folder, threshold, **kwargs):
    """A run that recognised several emotions at once, of utterances with .7 of one's votes and .1 of the others'."""
    with_terms(make_run(folder, neural=False, **kwargs))
    rows = pd.read_parquet(folder / "predictions.parquet")
    for name in CLASSES:
        votes = np.where(rows["emotion"] == name, 0.7, 0.1)
        rows[f"sigmoid_{name}"] = rows[f"p_{name}"]
        rows[f"true_{name}"], rows[f"votes.{name}"] = votes >= threshold, votes
    rows.to_parquet(folder / "predictions.parquet")
    write_results(folder)
    return folder


def test_a_metric_whose_truth_differs_is_left_out_and_named(tmp_path):
    one, other = (with_several(tmp_path / f"{n}", n, seed=int(10 * n)) for n in (0.1, 0.5))
    several = {"multi_label_f1", "average_precision", "exact_match"}
    found = compare_runs(one, other)
    assert set(found.left_out) == several
    assert {"uar", "kl", "soft_accuracy"} <= set(found.differences)
    said = " ".join(shown(show_comparison(found)).split())
    assert "exact_match is left out: the emotions by share of votes (--vote-threshold)" in said
    rows = pd.read_parquet(other / "predictions.parquet")
    rows.assign(**{"votes.anger": 0.2}).to_parquet(other / "predictions.parquet")
    assert set(compare_runs(one, other).left_out) == {*several, "kl", "soft_accuracy"}
    # Of half of the utterances nobody knows votes: the others were tested all the same.
    half = rows["utterance"].str.endswith(("0", "1"))
    blank = {f"votes.{name}": rows[f"votes.{name}"].mask(half) for name in CLASSES}
    rows.assign(**blank).to_parquet(other / "predictions.parquet")
    found = compare_runs(one, other)
    assert set(found.left_out) == {*several, "kl", "soft_accuracy"}
    assert "the annotators' votes differ in 48 utterances" in found.left_out["kl"]
    fewer = rows.drop(columns=[f"votes.{name}" for name in CLASSES])
    fewer.to_parquet(other / "predictions.parquet")
    assert set(compare_runs(one, other).left_out) == several


def test_attributes_are_the_same_but_for_rounding(tmp_path):
    """As those of a table on another scale."""
    one, other = (with_numbers(tmp_path / str(n), n / 4, neural=False, seed=n) for n in (1, 2))
    rows = pd.read_parquet(other / "predictions.parquet")
    rows.loc[rows["utterance"] == "x/0-anger-0", "arousal"] = np.nan
    for folder, shift in ((one, 0.0), (other, 1e-9)):
        rows.assign(arousal=rows["arousal"] + shift).to_parquet(folder / "predictions.parquet")
    assert "ccc" in compare_runs(one, other).differences
    rows.assign(arousal=rows["arousal"].fillna(0.0)).to_parquet(other / "predictions.parquet")
    found = compare_runs(one, other).left_out
    assert set(found) == {"ccc", "ccc_arousal", "rmse_arousal"}
    assert "the truths of arousal differ in 1 utterance between" in found["ccc"]


def test_runs_of_other_attributes_are_compared_on_those_of_both(tmp_path):
    """The mean over attributes is one of others."""
    one, other = (with_numbers(tmp_path / str(n), n / 4, neural=False, seed=n) for n in (1, 2))
    rows = pd.read_parquet(other / "predictions.parquet")
    more = rows.assign(valence=rows["arousal"], predicted_valence=rows["predicted_arousal"])
    more.to_parquet(other / "predictions.parquet")
    with_terms(other, attributes=["arousal", "valence"])
    write_results(other)
    found = compare_runs(one, other)
    assert found.left_out == {"ccc": "A predicts arousal, B arousal, valence"}
    assert "ccc_arousal" in found.differences


def test_runs_with_other_truths_are_not_compared(folders, tmp_path):
    other = make_run(tmp_path / "other", neural=False, seed=1)
    rows = pd.read_parquet(other / "predictions.parquet")
    swapped = rows["utterance"].map(
        {"x/0-anger-0": "x/0-sadness-0", "x/0-sadness-0": "x/0-anger-0"}
    )
    rows.assign(utterance=swapped.fillna(rows["utterance"])).to_parquet(
        other / "predictions.parquet"
    )
    with pytest.raises(ValueError, match="the emotions differ in 2 utterances between"):
        compare_runs(folders[0], other, force=True)


def test_a_comparison_has_points_for_shares_and_decimals_for_all_else(tmp_path):
    runs = [with_numbers(tmp_path / str(n), n / 4, neural=False, seed=n) for n in (1, 2)]
    found = compare_runs(*runs)
    lines = [line for line in shown(show_comparison(found)).splitlines() if "│" in line]
    cells = {
        row[0]: row[1:] for row in ([c.strip() for c in x.strip("│").split("│")] for x in lines)
    }
    one, two = (json.loads((run / "results.json").read_text()) for run in runs)
    assert set(cells) >= {"uar", "kl", "soft_accuracy", "ccc", "ccc_arousal", "rmse_arousal"}
    for name, row in cells.items():
        means = (one[name]["mean"], two[name]["mean"], found.differences[name].difference)
        share = name in ("uar", "macro_f1", "accuracy")
        said = [f"{100 * m:.1f}" if share else f"{m:.3f}" for m in means[:2]]
        assert [row[0].split()[0], row[1].split()[0]] == said
        assert [cell.endswith(" %") for cell in row[:2]] == [share] * 2
        assert row[2] == (f"{100 * means[2]:+.1f}" if share else f"{means[2]:+.3f}")


def test_the_page_has_a_card_for_each_metric_and_the_test_sets_of_attributes(tmp_path):
    folder = with_numbers(tmp_path / "run", 0.3, neural=False)
    results = json.loads((folder / "results.json").read_text())
    text = report([folder], tmp_path / "page.html").read_text("utf-8")
    cards = dict(re.findall(r'class="card"><span class="sub">(.*?)</span>\s*<b>(.*?)</b>', text))
    assert cards == {
        "UAR": f"{100 * results['uar']['mean']:.1f} %",
        "macro-F1": f"{100 * results['macro_f1']['mean']:.1f} %",
        "accuracy": f"{100 * results['accuracy']['mean']:.1f} %",
        "mean CCC": f"{results['ccc']['mean']:.3f}",
        "KL from the votes": f"{results['kl']['mean']:.3f}",
        "soft accuracy": f"{results['soft_accuracy']['mean']:.3f}",
    }
    with_terms(folder, classes=[], split="official")
    rows = pd.read_parquet(folder / "predictions.parquet")
    first = rows["speaker"].str[-1].astype(int) % 2 == 0
    rows.assign(split=first.map({True: "test1", False: "test2"})).to_parquet(
        folder / "predictions.parquet"
    )
    sets = write_results(folder)["test_sets"]
    text = report([folder], tmp_path / "page.html").read_text("utf-8")
    table = text.split("Test sets</h3>")[1].split("</table>")[0]
    found = re.findall(r"<td>(\w+)</td><td[^>]*>([-\d.]+)", table)
    assert found == [(name, f"{of['ccc']['mean']:.3f}") for name, of in sets.items()]


def test_dollars_in_names_are_no_formula(tmp_path):
    """Matplotlib reads what stands between two of them as one, and stops where it is none."""
    folder = make_run(tmp_path / "run")
    for name in ("predictions", "source"):
        rows = pd.read_parquet(folder / f"{name}.parquet")
        rows["speaker"] = "$" + rows["speaker"] + r"_\frac$"
        rows.to_parquet(folder / f"{name}.parquet")
    odd = {name: f"${name}^$" for name in CLASSES}
    rows = pd.read_parquet(folder / "predictions.parquet").rename(
        columns={f"p_{name}": f"p_{new}" for name, new in odd.items()}
    )
    rows[["emotion", "predicted"]] = rows[["emotion", "predicted"]].replace(odd)
    rows.to_parquet(folder / "predictions.parquet")
    with_terms(folder, classes=[*odd.values()])
    write_results(folder)
    assert "<svg" in report([folder], tmp_path / "page.html").read_text("utf-8")


def test_comparisons_need_like_terms_and_utterances(folders, tmp_path):
    found = compare_runs(folders[0], folders[1])
    assert found.differences["uar"].difference > 0
    with pytest.raises(ValueError, match="different protocols"):
        compare_runs(folders[0], folders[2])
    assert compare_runs(folders[0], folders[2], force=True).differences["uar"].groups == 6
    fewer = make_run(tmp_path / "fewer", takes=4)
    with pytest.raises(ValueError, match="24 utterances were tested in only one"):
        compare_runs(folders[0], fewer)


def test_seeds_that_tested_others_are_not_compared(folders, tmp_path):
    """An oracle tests other speakers with each seed: over all seeds every utterance, but never those of a method."""
    oracle = shutil.copytree(folders[0], tmp_path / "oracle")
    tested = pd.read_parquet(oracle / "predictions.parquet")
    speakers = sorted(tested["speaker"].unique())
    first = tested["speaker"].isin(speakers[: len(speakers) // 2])
    kept = tested[first == (tested["seed"] == 0)]
    assert set(kept["utterance"]) == set(tested["utterance"])
    kept.to_parquet(oracle / "predictions.parquet")
    with pytest.raises(ValueError, match="tested in only one"):
        compare_runs(folders[0], oracle)
    assert compare_runs(oracle, oracle).differences["uar"].difference == 0


def shown(*parts):
    console = Console(width=200, record=True, file=io.StringIO())
    for part in parts:
        console.print(part)
    return console.export_text()


def test_a_single_speaker_has_no_interval_and_the_majority_an_accuracy(folders):
    results = json.loads((folders[0] / "results.json").read_text())
    counts = {name: values["support"] for name, values in results["per_class"].items()}
    share = 100 * max(counts.values()) / sum(counts.values())
    assert re.search(rf"of always answering \w+ +│ {share:.1f} %", shown(show_results(results)))
    results["uar"] |= {"clusters": 1, "ci95": [None, None]}
    assert "no intervals: all tested utterances are of one speaker" in shown(show_results(results))


def test_speakers_known_of_some_alone_make_intervals_too_narrow(folders):
    results = json.loads((folders[0] / "results.json").read_text())
    assert "too narrow" not in shown(show_results(results))
    results["unknown_speakers"] = 40
    results["uar"]["clusters"] += 40  # six speakers are known
    assert "intervals cover 6 speakers and 2 seeds" in shown(show_results(results))
    said = (
        "(40 utterances without a speaker count as one each: intervals are too narrow if speakers"
    )
    assert said in shown(show_results(results)).replace("\n", " ")


def test_a_difference_counts_those_who_are_known_and_the_others_apart(tmp_path):
    one, other = (make_run(tmp_path / str(n), neural=False, seed=n) for n in (1, 2))
    for folder in (one, other):
        rows = pd.read_parquet(folder / "predictions.parquet")
        rows["speaker"] = rows["speaker"].where(rows["speaker"] == "x/0")
        rows.to_parquet(folder / "predictions.parquet")
        write_results(folder)
    said = " ".join(shown(show_comparison(compare_runs(one, other))).split())
    assert "paired over 1 speaker and 100 utterances without a speaker, each by itself;" in said


@pytest.mark.parametrize(
    ("accuracy", "uar", "said"),
    [
        (
            0.4,
            0.6,
            "40.0 % is less than the 70.0 % of always answering fear; UAR, 60.0 %, is above",
        ),
        (0.4, 0.5, "UAR, 50.0 %, is no better than chance (50.0 %)"),
        (0.7, 0.5, None),
    ],
)
def test_fewer_right_than_by_always_answering_one_class_is_said(accuracy, uar, said, folders):
    results = json.loads((folders[0] / "results.json").read_text())
    results["accuracy"]["mean"], results["uar"]["mean"] = accuracy, uar
    found = dict.fromkeys(("recall", "precision", "f1"), 0.5)
    supports = {"fear": 70, "anger": 30, "joy": 0}
    results["per_class"] = {name: {**found, "support": n} for name, n in supports.items()}
    text = shown(show_results(results)).replace("\n", " ")
    assert said in text if said else "accuracy:" not in text


def test_what_a_terminal_shows(folders):
    results = json.loads((folders[0] / "results.json").read_text())
    text = shown(show_results(results), show_comparison(compare_runs(folders[0], folders[1])))
    assert "120 utterances; intervals cover 6 speakers and 2 seeds; 1 recording left out" in text
    assert "paired over 6 speakers; covers seeds too (2 of A, 2 of B)" in text
    assert "too few for p < .05" not in text


def test_p_values_of_a_comparison_stand_beside_holms(folders):
    found = compare_runs(folders[0], folders[1])
    rows = [line for line in shown(show_comparison(found)).splitlines() if "│" in line]
    expected = holm([d.p for d in found.differences.values()])
    for row, (name, difference), p in zip(rows, found.differences.items(), expected, strict=True):
        cells = [cell.strip() for cell in row.strip("│").split("│")]
        assert cells[0] == name
        assert cells[-2:] == [p_text(difference.p), p_text(p)]


def test_few_speakers_are_said(tmp_path):
    a, b = (make_run(tmp_path / str(s), speakers=4, seed=s) for s in range(2))
    text = shown(show_comparison(compare_runs(a, b)))
    assert "4 speakers are too few for p < .05: 0.125" in text
    assert "0.125 is the least p" in text


def test_one_seed_is_said_everywhere(tmp_path):
    once = make_run(tmp_path / "one", seeds=1, neural=False)
    often = make_run(tmp_path / "two", seed=1, neural=False)
    results = json.loads((once / "results.json").read_text())
    assert results["uar"]["covers"] == "speakers"
    said = "seeds are not covered"
    assert said in percent(results["uar"])
    assert said in shown(show_results(results))
    assert f"{said} (A has 1, B 2)" in shown(show_comparison(compare_runs(once, often)))
    assert said in report([once], tmp_path / "page.html").read_text()
    results = json.loads((often / "results.json").read_text())
    assert said not in percent(results["uar"]) + shown(show_results(results))
    del results["uar"]["covers"]  # written by an older version, which resampled speakers alone
    assert said in percent(results["uar"])


def test_the_page_compares_runs_under_one_protocol(folders, tmp_path):
    """With the first; p corrected for the number of rows, and a reason where two cannot be compared."""
    third = make_run(tmp_path / "third", seed=5, hit=0.5, neural=False)
    fewer = make_run(tmp_path / "fewer", seed=6, takes=4, neural=False)
    text = report([*folders, third, fewer], tmp_path / "page.html").read_text()
    rows = re.findall(r"<tr><td>([\w-]+) \((\w+)\)</td><td>erm \(one\)</td>", text)
    assert rows == [("classical", "two"), ("erm", "third"), ("erm", "fewer")]
    found = [compare_runs(folders[0], run).differences["uar"] for run in (folders[1], third)]
    for difference, p in zip(found, holm([d.p for d in found]), strict=True):
        cells = "".join(
            f'<td class="n">{escape(c)}</td>' for c in (*difference_cells(difference), p_text(p))
        )
        assert cells in text
    assert "24 utterances were tested in only one of" in text
    assert "Differences" not in report(folders[1:], tmp_path / "page.html").read_text()


def oracle(folder, **kwargs):
    """A run whose seeds test other speakers: the even ones, then the odd."""
    make_run(folder, **kwargs)
    rows = pd.read_parquet(folder / "predictions.parquet")
    even = rows["speaker"].str[-1].astype(int) % 2 == 0
    rows[even == (rows["seed"] == 0)].to_parquet(folder / "predictions.parquet")
    write_results(folder)
    return folder


def test_an_oracle_has_intervals_and_differences(tmp_path):
    runs = [
        oracle(tmp_path / str(s), seed=s, hit=h, neural=False) for s, h in enumerate((0.4, 0.8))
    ]
    for folder in runs:
        results = json.loads((folder / "results.json").read_text())
        for metric in ("uar", "macro_f1", "accuracy"):
            low, high = results[metric]["ci95"]
            assert 0 <= low < results[metric]["mean"] < high <= 1
    found = compare_runs(*runs).differences["uar"]
    assert (found.by_seed, found.groups, found.seeds) == (True, 6, (2, 2))
    assert found.low < found.difference < found.high
    assert "2 seeds, one by one: each tests other speakers" in shown(
        show_comparison(compare_runs(*runs))
    )
    assert "svg" in report(runs, tmp_path / "page.html").read_text()


def test_one_seed_has_no_spread_and_unknown_speakers_are_said(tmp_path):
    folder = make_run(tmp_path / "run", seeds=1, known=False, neural=False)
    results = json.loads((folder / "results.json").read_text())
    assert results["uar"]["sd"] is None
    assert results["uar"]["resampled"] == "utterances"
    assert "no speakers are known" in report([folder], folder / "report.html").read_text()


def test_embeddings_of_few_points_are_drawn(tmp_path):
    from cleser.evaluation.plots import plot_map

    who = pd.DataFrame(
        {"emotion": ["anger"] * 3, "language": ["de"] * 3, "speaker": ["1", "2", None]}
    )
    assert plot_map(np.eye(3), who).axes


ADAPTED = {
    "cast": "0123456789ab",
    "uses": {"training": True, "prior": "uniform", "alignments": False},
    "adapts_to_tested": True,
}


def test_the_map_is_projected_by_one_thread(monkeypatch):
    """Its steps are so short that threads mostly wait for each other."""
    from sklearn.manifold import TSNE

    from cleser.evaluation.plots import plot_map

    seen = []
    fit = TSNE.fit_transform

    def noted(self, points):
        seen.extend(pool["num_threads"] for pool in threadpool_info())
        return fit(self, points)

    monkeypatch.setattr(TSNE, "fit_transform", noted)
    who = pd.DataFrame({"emotion": ["a", "b"] * 16, "language": "en", "speaker": "s"})
    with threadpool_limits(2):
        before = [pool["num_threads"] for pool in threadpool_info()]
        plot_map(np.random.default_rng(0).normal(size=(32, 4)), who)
        assert [pool["num_threads"] for pool in threadpool_info()] == before
    assert set(seen) == {1}


def test_what_the_target_was_used_for_has_a_column_of_its_own(tmp_path):
    plain = make_run(tmp_path / "erm", neural=False)
    adapted = make_run(tmp_path / "sapa", "sapa", protocol="f" * 12, terms_of=ADAPTED, neural=False)
    for folder in (plain, adapted):
        write_results(folder)
    cells = frame([plain, adapted])
    assert list(cells) == [
        "a → x",
        "a → x: adapted to the tested utterances, prior uniform",
    ]
    page = report([plain, adapted], tmp_path / "report.html").read_text()
    assert "adapted to the tested utterances, prior uniform" in page


def test_what_auto_came_to_tells_columns_apart_also_in_older_runs(tmp_path):
    """Older runs say it beside a hash that does not cover it."""
    uses = {"training": False, "prior": "none", "alignments": False, "sentences": "none"}
    common = {"cast": "0123456789ab", "normalisation": "auto"}
    runs = [
        make_run(
            tmp_path / name, protocol="f" * 12, neural=False,
            terms_of={**common, "uses": uses, "settled_normalisation": name},
        )
        for name in ("corpus", "shrunk")
    ]  # fmt: skip
    new = {**uses, "normalisation": "corpus"}
    runs.append(
        make_run(
            tmp_path / "new", protocol=hash_of_uses(common["cast"], new), neural=False,
            terms_of={**common, "uses": new, "settled_normalisation": "corpus"},
        )
    )  # fmt: skip
    cells = frame(runs)
    assert list(cells) == [
        "a → x: normalised by corpus (chosen by auto)",
        "a → x: normalised by speaker, shrunk towards the corpus (chosen by auto)",
    ]
    assert (cells.iloc[:, 0] != "–").tolist() == [True, False, True]
    said = shown(show_comparison(compare_runs(*runs[:2])))
    assert "A used: normalised by corpus" in " ".join(said.split())


def test_methods_under_one_protocol_are_compared_and_their_uses_named(tmp_path):
    plain = make_run(tmp_path / "erm")
    adapted = make_run(tmp_path / "sapa", recipe="sapa", protocol="f" * 12, terms_of=ADAPTED)
    for folder in (plain, adapted):
        write_results(folder)
    console = Console(record=True, width=200)
    console.print(show_comparison(compare_runs(plain, adapted)))
    assert "A used: nothing; B: adapted to the tested utterances" in console.export_text()
    other = make_run(tmp_path / "other", protocol="e" * 12)
    write_results(other)
    with pytest.raises(ValueError, match="different protocols"):
        compare_runs(plain, other)


def test_official_test_sets_are_reported_apart(tmp_path):
    run = make_run(tmp_path / "run", terms_of={"split": "official"})
    rows = pd.read_parquet(run / "predictions.parquet")
    first = rows["utterance"].isin(sorted(rows["utterance"].unique())[::2])
    rows.assign(split=first.map({True: "test1", False: "test2"})).to_parquet(
        run / "predictions.parquet"
    )
    results = write_results(run)
    assert set(results["test_sets"]) == {"test1", "test2"}
    of_first = rows[first]
    recalls = [
        (of["emotion"] == of["predicted"]).groupby(of["emotion"]).mean().mean()
        for _, of in of_first.groupby("seed")
    ]
    assert results["test_sets"]["test1"]["uar"]["mean"] == pytest.approx(
        sum(recalls) / len(recalls)
    )
    console = Console(record=True, width=200)
    console.print(show_results(results))
    assert "UAR of test2" in console.export_text()
