"""The terms of a run in words: what it learned from, what it recognised, and what it saw of the target before.

They are those of ``protocol.json`` as :attr:`cleser.evaluation.Run.protocol` gives them, also of older runs.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from cleser.corpora.protocol import Protocol
from cleser.corpora.protocol.normalisations import describe_normalisation


def in_words(protocol: dict[str, Any]) -> dict[str, str]:
    """``protocol.json`` as names and phrases, for the report."""
    counts, speakers = protocol["utterances"], protocol["speakers"]

    def side(role: str) -> str:
        names = ", ".join(protocol[role])
        return f"{names}: {counts[role]} utterances of {speakers[role] or 'unknown'} speakers"

    alignments = protocol["uses"]["alignments"]  # true, and no more, of runs of old versions
    renamed = ", ".join(f"{old} counts as {new}" for old, new in protocol["map"].items())
    terms = {
        "Source": side("source"),
        "Auxiliary": side("auxiliary") if protocol["auxiliary"] else "none",
        "Target": side("target"),
        "Classes": (", ".join(protocol["classes"]) or "none")
        + (f" ({renamed})" if renamed else ""),
        **({"Attributes": ", ".join(protocol["attributes"])} if protocol.get("attributes") else {}),
        "Division": _division(protocol),
        "Normalisation": _statistics(protocol),
        "Training may see of the target": ACCESS[protocol["target_access"]],
        "The method uses of it": ", ".join(uses_of(protocol)) or "nothing but its normalisation",
        **({"Alignments": alignments} if isinstance(alignments, str) else {}),
        "Transductive": "yes" if protocol["transductive"] else "no",
        "All terms": _by_name(protocol),
        "Hash": protocol["hash"],
    }
    return terms | {f"Audit {i}": note for i, note in enumerate(protocol.get("notes", []), 1)}


def _by_name(protocol: dict[str, Any]) -> str:
    """Every term with its value, as flags and settings name them: ``split=speakers; seed=0``."""
    names = [f.name for f in fields(Protocol) if f.name in protocol]
    return "; ".join(f"{name}={_plain(protocol[name])}" for name in names)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        value = [f"{name}={of}" for name, of in value.items()]
    text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return text or "none"


def _division(protocol: dict[str, Any]) -> str:
    """The split, its folds, who of them is selected on, and whether voices that are tested were learned from."""
    folds = protocol.get("folds", [])
    said = [protocol["split"]]
    if folds:
        tested = sorted(fold["test"] for fold in folds)
        sizes = f"{tested[0]} to {tested[-1]}" if len(tested) > 1 else f"{tested[0]}"
        name = f"fold {protocol['fold']}" if protocol["fold"] else f"{len(folds)} folds"
        said.append(f"{name} of {sizes} tested utterances")
    if folds and folds[0]["dev"]:
        said.append("selected on its dev part")
    else:
        said.append(f"{100 * protocol['dev']:.0f} % of source speakers to select on")
    return "; ".join([", ".join(said), *_shared(protocol)])


def _shared(protocol: dict[str, Any]) -> list[str]:
    """A note if voices that are tested were learned from; else none."""
    share = 100 * protocol["tested_of_shared"]
    return [f"{share:.0f} % of the tested utterances are of speakers who were learned from"] * bool(
        share
    )


# What training may see of the target.
ACCESS = {
    "nothing": "nothing before the test",
    "audio": "its audio, without labels",
    "labels": "audio and labels of other speakers (an oracle: an upper bound, not a result)",
}


def normalised_by(protocol: dict[str, Any]) -> str:
    """Whose statistics features are standardised by, in words.

    >>> normalised_by({"normalisation": "auto", "settled_normalisation": "shrunk"})
    'by speaker, shrunk towards the corpus (chosen by auto)'
    >>> normalised_by({"normalisation": "corpus", "uses": {"normalisation": ""}})
    'by corpus'
    """
    asked = protocol["normalisation"]
    found = protocol.get("settled_normalisation") or protocol["uses"]["normalisation"] or asked
    if found == "auto":  # of a run of an old version
        return "by speaker or by corpus, as auto chose"
    said = describe_normalisation(found)
    return f"{said} (chosen by auto)" if asked == "auto" else said


def _statistics(protocol: dict[str, Any]) -> str:
    uses = protocol["uses"]
    said = normalised_by(protocol)
    if protocol["target_access"] == "nothing" or protocol["normalisation"] == "utterance":
        return f"{said}, without statistics of the target"
    if uses["alignments"] and protocol.get("lexical_normalisation"):
        said += ", and what is said taken out by phoneme,"
    if uses["sentences"] != "none":
        said += f", and what is said taken out by sentence (known by {uses['sentences']}),"
    return f"{said} with unlabelled statistics of the target (transductive)"


def uses_of(protocol: dict[str, Any]) -> list[str]:
    """What a method made of the target's unlabelled recordings, in phrases; empty where it made nothing of them.

    >>> uses = {"training": True, "prior": "uniform", "alignments": False}
    >>> uses_of({"uses": uses, "adapts_to_tested": True, "tested_of_shared": 0.0})
    ['adapted to the tested utterances', 'prior uniform']
    """
    uses, found = protocol["uses"], _shared(protocol)
    if protocol["adapts_to_tested"]:
        found.append("adapted to the tested utterances")
    elif uses["training"] and protocol["target_access"] == "audio":
        found.append("adapted to other utterances of the target")
    if uses["prior"] != "none":
        prior = uses["prior"]
        found.append(f"prior {prior if isinstance(prior, str) else 'given'}")
    if uses["alignments"]:
        found.append("alignments")
    return found


def details_of(protocol: dict[str, Any]) -> list[str]:
    """Which alignments were used, and what the target was normalised by in the end, in phrases.

    >>> uses = {"alignments": False, "sentences": "sound", "normalisation": "corpus"}
    >>> details_of({"normalisation": "auto", "uses": uses})
    ['normalised by corpus (chosen by auto)', 'sentences by sound']
    """
    alignments, sentences = protocol["uses"]["alignments"], protocol["uses"]["sentences"]
    return [
        # Of whom, runs of old versions do not say.
        *([f"alignments with {alignments}"] if isinstance(alignments, str) else []),
        f"normalised {normalised_by(protocol)}",
        *([f"sentences by {sentences}"] if sentences != "none" else []),
    ]


# Entries of protocol.json that follow from its other entries.
_DERIVED = {
    "hash",
    "cast",
    "rows",
    "notes",
    "transductive",
    "adapts_to_tested",
    "tested_of_shared",
    "folds",
    "settled_normalisation",
}


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Names of the terms in which two protocols differ, but for those that follow from others."""
    names = (one.keys() | other.keys()) - _DERIVED
    return sorted(name for name in names if one.get(name) != other.get(name))
