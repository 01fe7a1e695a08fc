"""A term of a protocol is a field: flag, help, saved settings, hash and report follow from it."""

import json
import re
import shlex
from dataclasses import fields, replace

import pytest
import yaml

from cleser.cli import main
from cleser.cli.run import asked_for
from cleser.corpora.protocol import Protocol
from cleser.evaluation.terms import in_words
from tests.corpora.trees import write_corpus

# Every term with another value than usual, and the flags that ask for it. Only with folds is there a fold to choose.
OTHERS = {
    "source": (("c:1", "d:2"), "--source c:1 d:2"),
    "target": (("c:1", "d:2"), "--target c:1 d:2"),
    "auxiliary": (("c:1", "d:2"), "--auxiliary c:1 d:2"),
    "labels": (("anger", "sadness"), "--labels anger sadness"),
    "split": ("kfold:3", "--split kfold:3"),
    "seed": (7, "--split-seed 7"),
    "map": ({"calm": "neutral", "joy": "happiness"}, "--map calm=neutral joy=happiness"),
    "dev": (0.3, "--dev 0.3"),
    "normalisation": ("corpus", "--normalisation corpus"),
    "lexical_normalisation": (False, "--no-lexical-normalisation"),
    "target_access": ("labels", "--target-access labels"),
    "test": (("test1", "test2"), "--test test1 test2"),
    "adapt": ("disjoint", "--adapt disjoint"),
    "pool": ("labels", "--pool labels"),
    "prior": ({"anger": 0.25, "sadness": 0.75}, "--prior '{anger: 0.25, sadness: 0.75}'"),
    "fold": ("2", "--fold 2"),
    "shared_speakers": (True, "--shared-speakers"),
    "task": ("both", "--task both"),
    "attributes": (("arousal", "valence"), "--attributes arousal valence"),
}
# Other terms without which these say nothing.
BESIDE = {"fold": {"split": "kfold:2"}, "attributes": {"task": "both"}}
TERMS = pytest.mark.parametrize("name", OTHERS)


def with_other(name, protocol):
    """Two protocols that differ in one term."""
    usual = replace(protocol, **BESIDE.get(name, {}))
    return usual, replace(usual, **{name: OTHERS[name][0]})


@pytest.fixture(scope="module")
def cast(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpora")
    specs = [write_corpus(folder / name, name, speakers=3) for name in "ab"]
    return Protocol(specs[:1], specs[1:]).load()


def test_every_term_is_looked_at():
    assert list(OTHERS) == [f.name for f in fields(Protocol)]


@TERMS
def test_a_term_is_a_flag_and_comes_back_from_saved_settings(name, tmp_path):
    _, wanted = with_other(name, Protocol(["a:1"], ["b:2"]))
    beside = [word for term, value in BESIDE.get(name, {}).items() for word in (f"--{term}", value)]
    usual = {"source": "--source a:1", "target": "--target b:2"}
    flags = " ".join((usual | {name: OTHERS[name][1]}).values())
    words = [*shlex.split(flags), "--out", str(tmp_path)]
    asked = asked_for("run", ["erm", *beside, *words])
    experiment = asked.experiment
    assert experiment.protocol == asked.arguments.terms.protocol() == wanted
    assert type(experiment.protocol) is Protocol
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(experiment.settings()))
    again = asked_for("run", ["erm", "--config", str(path), "--out", str(tmp_path)])
    assert again.experiment.protocol == wanted


def test_the_help_of_a_flag_is_what_the_field_says(capsys):
    with pytest.raises(SystemExit):
        main(["run", "erm", "--help"])
    said = re.sub(r"[│\s]+", " ", capsys.readouterr().out)
    arguments = Protocol.__doc__.split("Args:")[1].split("Raises:")[0]
    meant = re.split(r"\n {8}(\w+): ", arguments)[1:]
    assert meant[::2] == list(OTHERS)
    for name, text in zip(meant[::2], meant[1::2], strict=True):
        flag = OTHERS[name][1].split()[0]
        assert re.search(rf"{flag}\b.{{,60}}? {re.escape(' '.join(text.split()))}", said)


@TERMS
def test_a_term_is_in_the_hash_and_in_the_terms_of_the_report(name, cast):
    usual, other = (
        p.load() if p.by_folds else replace(cast, protocol=p)
        for p in with_other(name, cast.protocol)
    )
    if name in ("source", "target", "auxiliary"):  # of corpora counts who is in them
        rows = getattr(other, name)
        other = replace(other, **{name: cast.source.iloc[:6] if rows.empty else rows.iloc[1:]})
    one, two = (json.loads(json.dumps(c.describe())) for c in (usual, other))
    assert one["hash"] != two["hash"]
    assert {**in_words(one), "Hash": ""} != {**in_words(two), "Hash": ""}


def test_terms_without_effect_leave_the_hash_as_it_is(cast):
    ineffective = replace(cast.protocol, attributes=("arousal",))
    assert replace(cast, protocol=ineffective).hash == cast.hash
