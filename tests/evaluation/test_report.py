"""Run folders: results, comparison, tables, and a page that needs nothing but itself."""

import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import yaml
from safetensors.numpy import save_file

from cleser.evaluation import (
    Run,
    as_text,
    compare_runs,
    report,
    show_comparison,
    show_results,
    write_results,
)
from cleser.evaluation.tables import frame
from tests.evaluation.simulate import CLASSES, predictions


def make_run(folder, recipe="baseline", protocol="0123456789ab", neural=True, **kwargs):
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
    (folder / "protocol.json").write_text(json.dumps(terms))
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
    write_results(folder, left_out=[{"path": "bad.wav", "reason": "is empty"}], resamples=500)
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


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.links = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in ("src", "href", "xlink:href") and v]


@pytest.mark.parametrize("count", [1, 3])
def test_the_page_needs_nothing_but_itself(folders, tmp_path, count):
    page = _Page()
    text = report(folders[:count], tmp_path / "page.html").read_text()
    page.feed(text)
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert page.tags.count("svg") >= 2 * count
    assert "&lt;script&gt;" in text
    assert "transductive" in text
    assert "calm counts as neutral" in text
    assert re.search(r"bad\.wav", text)


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
    other = make_run(tmp_path / "other", seed=7)
    assert len(frame([folders[0], other])) == 2


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


def test_what_a_terminal_shows(folders):
    from rich.console import Console

    console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    console.print(show_results(json.loads((folders[0] / "results.json").read_text())))
    console.print(show_comparison(compare_runs(folders[0], folders[1])))
    text = console.export_text()
    assert "bootstrap over 6 speakers" in text
    assert "1 recordings left out" in text
    assert "all swaps" in text


def test_one_seed_has_no_spread_and_unknown_speakers_are_said(tmp_path):
    folder = make_run(tmp_path / "run", seeds=1, known=False)
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
