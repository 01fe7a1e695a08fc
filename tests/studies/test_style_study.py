"""Style communities of corpora, and what is said of the languages in them."""

import pandas as pd
import pytest

pytest.importorskip("soundfile")
from cleser.corpora import load
from cleser.graphs import style_communities
from cleser.speech import AcousticSpeakerEncoder, embed_speakers
from cleser.studies.styles import study_styles, verdict
from tests.corpora.trees import write_corpus


def test_a_study_is_what_its_parts_find(tmp_path, monkeypatch):
    monkeypatch.setenv("CLESER_CACHE", str(tmp_path / "cache"))
    specs = [
        write_corpus(tmp_path / name, name, language=name, speakers=3, takes=2, seed=seed)
        for seed, name in enumerate(("de", "en"))
    ]
    rows = pd.concat([load(spec) for spec in specs], ignore_index=True)
    rows.loc[0, "path"] = str(tmp_path / "nowhere.wav")
    embedded = embed_speakers(rows, AcousticSpeakerEncoder())
    study = study_styles(rows, embedded, permutations=3, refit=False)
    assert [row["path"] for row in study.left_out] == [str(tmp_path / "nowhere.wav")]
    assert study.utterances["utterance"].tolist() == rows["utterance"].tolist()[1:]
    found = style_communities(
        embedded.values,
        speakers=rows["speaker"][1:],
        emotions=rows["emotion"][1:],
        languages=rows["language"][1:],
    )
    pd.testing.assert_frame_equal(study.communities.nodes, found.nodes)
    pd.testing.assert_frame_equal(study.mixing, found.mixing(permutations=3))
    labels = found.labels(study.utterances["speaker"], study.utterances["emotion"])
    assert study.utterances["community"].tolist() == labels.tolist()
    study.write(tmp_path / "out", {"seed": 0}, unlabelled=7)
    summary = (tmp_path / "out" / "summary.md").read_text()
    assert "| seed | 0 |" in summary
    assert "1 recordings left out. 7 more utterances have no emotion or no speaker." in summary
    assert verdict(study.mixing) in summary


def test_theverdict_names_the_emotions_in_which_languages_keep_apart():
    mixing = pd.DataFrame(
        {
            "emotion": ["anger", "fear", "all"],
            "entropy_p": [0.2, 0.05, 0.01],
            "assortativity_p": [0.3, float("nan"), 0.2],
            "untested": ["", "", ""],
        }
    )
    assert verdict(mixing) == (
        "Languages keep apart more than by chance (p ≤ 0.05) by communities in fear (all: p = 0.01); "
        "by edges in no emotion (all: p = 0.2)."
    )


def test_theverdict_says_what_is_not_tested_and_why():
    nothing = [float("nan")] * 2
    mixing = pd.DataFrame(
        {
            "emotion": ["fear", "all"],
            "entropy_p": nothing,
            "assortativity_p": nothing,
            "untested": ["one language"] * 2,
        }
    )
    said = verdict(mixing)
    assert "(all: not tested)" in said
    assert said.endswith("Not tested: fear (one language).")
