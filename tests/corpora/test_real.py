"""The real copies, where they are, with the counts that come with them."""

import pytest

from cleser.corpora import load, probe, problems

COUNTS = {
    "emodb": (10, {"anger": 127, "neutral": 79, "happiness": 71, "sadness": 62}),
    "ravdess": (24, {"anger": 192, "happiness": 192, "sadness": 192, "neutral": 96}),
    "turev-db": (4, {"anger": 328, "calm": 328, "happiness": 328, "sadness": 328}),
}


@pytest.mark.parametrize("corpus", COUNTS)
def test_counts_per_class_and_speakers(corpora_root, corpus):
    manifest = load(f"{corpus}:{corpora_root / corpus}")
    speakers, classes = COUNTS[corpus]
    assert manifest["speaker"].nunique() == speakers
    assert manifest["emotion"].value_counts().to_dict() == classes
    assert manifest["text"].notna().all()
    assert problems(manifest) == []


def test_men_and_women(corpora_root):
    for corpus, each in (("emodb", 5), ("ravdess", 12)):
        manifest = load(f"{corpus}:{corpora_root / corpus}").drop_duplicates("speaker")
        assert manifest["gender"].value_counts().to_dict() == {"male": each, "female": each}


def test_every_header_can_be_read(corpora_root):
    for corpus, rate in (("emodb", 16_000), ("ravdess", 16_000), ("turev-db", 44_100)):
        probed = probe(load(f"{corpus}:{corpora_root / corpus}"))
        assert set(probed["samplerate"]) == {rate}
        assert problems(probed) == []
