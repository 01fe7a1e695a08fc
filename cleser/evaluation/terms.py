"""The terms of a run in words: what it learned from, what it recognised, and what it saw of the target before."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from cleser.corpora.protocol import Protocol
from cleser.corpora.protocol.hashes import hash_of_uses
from cleser.corpora.protocol.normalisations import describe_normalisation


def in_words(protocol: dict[str, Any]) -> dict[str, str]:
    """``protocol.json`` as names and phrases, for the report."""
    counts, speakers = protocol["utterances"], protocol["speakers"]

    def side(role: str) -> str:
        names = ", ".join(protocol[role])
        return f"{names}: {counts[role]} utterances of {speakers[role] or 'unknown'} speakers"

    alignments = _uses(protocol).get("alignments")  # true, and no more, of runs of old versions
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
    share = 100 * protocol.get("tested_of_shared", 0.0)
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
    >>> normalised_by({"normalisation": "corpus"})
    'by corpus'
    """
    asked = protocol["normalisation"]
    found = protocol.get("settled_normalisation") or _uses(protocol).get("normalisation") or asked
    if found == "auto":  # of a run of an old version
        return "by speaker or by corpus, as auto chose"
    said = describe_normalisation(found)
    return f"{said} (chosen by auto)" if asked == "auto" else said


def _statistics(protocol: dict[str, Any]) -> str:
    uses = _uses(protocol)
    said = normalised_by(protocol)
    if protocol["target_access"] == "nothing" or protocol["normalisation"] == "utterance":
        return f"{said}, without statistics of the target"
    if uses.get("alignments") and protocol.get("lexical_normalisation"):
        said += ", and what is said taken out by phoneme,"
    if uses.get("sentences", "none") != "none":
        said += f", and what is said taken out by sentence (known by {uses['sentences']}),"
    return f"{said} with unlabelled statistics of the target (transductive)"


def uses_of(protocol: dict[str, Any]) -> list[str]:
    """What a method made of the target's unlabelled recordings, in phrases; empty where it made nothing of them.

    >>> uses_of({"uses": {"training": True, "prior": "uniform", "alignments": False}, "adapts_to_tested": True})
    ['adapted to the tested utterances', 'prior uniform']
    """
    uses = _uses(protocol)
    found = _shared(protocol)
    if protocol.get("adapts_to_tested"):
        found.append("adapted to the tested utterances")
    elif uses.get("training") and protocol.get("target_access") == "audio":
        found.append("adapted to other utterances of the target")
    if uses.get("prior", "none") != "none":
        prior = uses["prior"]
        found.append(f"prior {prior if isinstance(prior, str) else 'given'}")
    if uses.get("alignments"):
        found.append("alignments")
    return found


def details_of(protocol: dict[str, Any]) -> list[str]:
    """Which alignments were used, and what the target was normalised by in the end, in phrases.

    >>> details_of({"normalisation": "auto", "uses": {"sentences": "sound", "normalisation": "corpus"}})
    ['normalised by corpus (chosen by auto)', 'sentences by sound']
    """
    uses = _uses(protocol)
    alignments, sentences = uses.get("alignments", False), uses.get("sentences", "none")
    return [
        # Of whom, runs of old versions do not say.
        *([f"alignments with {alignments}"] if isinstance(alignments, str) else []),
        f"normalised {normalised_by(protocol)}",
        *([f"sentences by {sentences}"] if sentences != "none" else []),
    ]


def _uses(protocol: dict[str, Any]) -> dict[str, Any]:
    """What the method uses of the target; runs of old versions do not say it."""
    found: dict[str, Any] = protocol.get("uses", {})
    return found


def completed_protocol(protocol: dict[str, Any]) -> dict[str, Any]:
    """``protocol.json`` as it would be written now, as far as an older one tells.

    Older versions wrote down what ``"auto"`` came to and did not count it in the hash. It is counted when they are
    read, so that their runs stand in the columns of new ones that used the same.
    """
    protocol = {"cast": protocol["hash"], **protocol}  # the oldest have one hash for all
    uses, settled = protocol.get("uses"), protocol.get("settled_normalisation")
    if not uses or not settled or "normalisation" in uses or protocol["normalisation"] != "auto":
        return protocol
    uses = {**uses, "normalisation": settled}
    return {**protocol, "uses": uses, "hash": hash_of_uses(protocol["cast"], uses)}


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
