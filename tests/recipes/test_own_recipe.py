"""A recipe changed from outside the package, as the documentation shows it."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from cleser.evaluation import report
from cleser.recipes import SAPAConfig
from cleser.training.loop import TrainingConfig
from tests.corpora.trees import write_corpus

PAGE = Path(__file__).parents[2] / "docs" / "own_recipe.rst"


def example():
    (block,) = re.findall(r"\.\. code-block:: python\n\n((?:   .*\n|\n)+)", PAGE.read_text("utf-8"))
    return re.sub("^   ", "", block, flags=re.MULTILINE)


@pytest.fixture
def there(tmp_path, monkeypatch):
    """A folder to run in, with two small corpora, and a short training."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLESER_CACHE", str(tmp_path / "cache"))
    short = TrainingConfig(epochs=3, batch_size=8, keep="last")
    field = SAPAConfig.__dataclass_fields__["training"]
    monkeypatch.setattr(field, "default_factory", lambda: short)
    return write_corpus(tmp_path / "a", "a", speakers=4), write_corpus(
        tmp_path / "b", "b", language="de", speakers=4, seed=1
    )


def test_sapa_with_contrast_in_place_of_triplets_is_short_and_runs(there, tmp_path):
    code = example()
    assert len([line for line in code.splitlines() if line.strip()]) < 60
    code = code.replace("emodb:DIR", there[0]).replace("ravdess:DIR", there[1])
    code = code.replace(', 3, Path("runs', ', 1, Path("runs')
    names: dict = {}
    exec(code, names)
    assert names["results"]["recipe"] == "sapa-contrast"
    run = tmp_path / "runs" / "contrast"
    lines = pd.DataFrame(map(json.loads, (run / "metrics.jsonl").read_text().splitlines()))
    assert lines["epoch"].tolist() == [0, 1, 2]
    assert "train_contrast" in lines
    assert (lines["train_contrast"].iloc[1:] > 0).all()  # after the warm-up
    assert not {"train_speaker", "train_phoneme"} & set(lines)
    assert report([run], run / "report.html").exists()
