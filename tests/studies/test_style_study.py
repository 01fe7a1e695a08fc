"""Style communities of corpora, and what is said of the languages in them."""

import pandas as pd
import pytest

pytest.importorskip("soundfile")
from cleser.cli import main
from cleser.corpora import load
from cleser.graphs import style_communities
from cleser.speech import AcousticSpeakerEncoder, embed_speakers
from cleser.studies.in_no_community import in_no_community
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
    assert study.notes == [] and "in no community" not in summary


def write_single(folder):
    """A corpus in which each speaker shows one emotion, as where ids hold it: three of them, of one person."""
    write_corpus(folder, "single", language="it", speakers=1, takes=2)
    table = pd.read_csv(folder / "manifest.csv", dtype="str")
    table["speaker"] += "-" + table["emotion"]
    table.to_csv(folder / "manifest.csv", index=False)
    return f"manifest:{folder / 'manifest.csv'}", table["emotion"].nunique()


def test_speakers_of_one_emotion_are_counted_and_the_flag_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CLESER_CACHE", str(tmp_path / "cache"))
    single, count = write_single(tmp_path / "single")
    other = write_corpus(tmp_path / "de", "de", language="de", speakers=3, takes=2)
    command = ["communities", single, other, "--out", str(tmp_path / "out"), "--permutations", "2"]
    assert main([*command, "--no-refit"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    note = (
        f"{count} of {count + 3} speakers show a single emotion and are in no community, since nothing is left once "
        f"the mean over the own emotions is removed: single (it) {count}; --speaker-offsets keep keeps it"
    )
    assert note in said and note in (tmp_path / "out" / "summary.md").read_text()
    assert "anger (nothing is left of the speakers of all languages but one)" in said
    assert "one language)" not in said
    assert main([*command, "--no-refit", "--speaker-offsets", "keep"]) == 0
    assert "a single emotion" not in capsys.readouterr().out


def test_speakers_who_are_alone_with_their_language_are_told_apart(tmp_path):
    """Nothing is left of them either, though they show several emotions: a language's mean is theirs."""
    rows = pd.DataFrame({"speaker": list("abc"), "corpus": "mine", "language": ["de", "en", "en"]})
    nodes = pd.DataFrame(
        {"speaker": list("aabbc"), "emotion": ["joy", "fear"] * 2 + ["joy"], "community": -1}
    )
    single, alone = in_no_community(nodes, rows)
    assert single.startswith("1 of 3 speakers shows a single emotion and is") and "(en) 1" in single
    assert alone.startswith(
        "2 of 3 speakers have an emotion in which they are in no community (fear"
    )
    assert alone.endswith(
        "mine (de) 1, mine (en) 1; --language-offsets keep or --speaker-offsets keep removes less"
    )
    (kept,) = in_no_community(nodes, rows, language_offsets="keep", speaker_offsets="keep")
    assert kept.startswith("3 of 3") and "--" not in kept
    assert in_no_community(nodes.assign(community=0), rows) == []


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
