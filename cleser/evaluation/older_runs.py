"""What runs of older versions wrote otherwise, brought to what is written now, once, where it is read."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from cleser.corpora.protocol.hashes import hash_of_uses
from cleser.corpora.protocol.uses import Uses


def completed_protocol(protocol: dict[str, Any]) -> dict[str, Any]:
    """``protocol.json`` as it would be written now, as far as an older one tells.

    Older versions wrote down what ``"auto"`` came to and did not count it in the hash. It is counted when they are
    read, so that their runs stand in the columns of new ones that used the same. Of alignments they said no more than
    that there were some, and the oldest had one hash for all and did not say what the method used of the target.
    """
    missing = {"cast": protocol["hash"], "adapts_to_tested": False, "tested_of_shared": 0.0}
    protocol = {**missing, **protocol}
    uses, settled = protocol.get("uses", {}), protocol.get("settled_normalisation")
    if uses and settled and "normalisation" not in uses and protocol["normalisation"] == "auto":
        uses = {**uses, "normalisation": settled}
        protocol["hash"] = hash_of_uses(protocol["cast"], uses)
    return {**protocol, "uses": {**asdict(Uses()), **uses}}
