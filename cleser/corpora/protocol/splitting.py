"""A cast by its protocol's split: the corpora's own parts, or folds of the target."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from cleser.corpora.folds import Fold, make_folds
from cleser.corpora.protocol.cast import ROLES, Cast
from cleser.corpora.protocol.holding_out import official_part


def by_official_parts(cast: Cast) -> Cast:
    """The cast divided by the corpora's own train, dev and test parts."""
    source = official_part("source", cast.source, "train", "dev")
    nothing = cast.protocol.target_access == "nothing"
    pool = cast.pool.iloc[:0] if nothing else official_part("target", cast.pool, "train")
    for name in cast.protocol.test:
        official_part("target", cast.target, name)
    target = official_part("target", cast.target, *cast.protocol.test)
    return replace(cast, source=source, target=target, pool=pool)


def by_folds(cast: Cast, everything: pd.DataFrame) -> Cast:
    """The cast divided by the protocol's folds of the whole target, ``everything``.

    Raises:
        ValueError: The split has no such fold, nobody is tested, or somebody in several folds.
    """
    found = make_folds(everything, cast.protocol.split)
    wanted = cast.protocol.fold
    chosen = [fold for fold in found if wanted in ("", fold.name)]
    if not chosen:
        names = ", ".join(fold.name for fold in found)
        raise ValueError(f"{cast.protocol.split} has no fold {wanted!r}, expected one of {names}")
    casts = [_within(cast, everything["utterance"], fold, alone=len(found) == 1) for fold in chosen]
    casts = [one for one in casts if len(one.target)]
    if not casts:
        raise ValueError(
            f"{cast.protocol.split} tests no utterance of {list(cast.protocol.labels)}"
        )
    if len(casts) == 1:
        return casts[0]
    tested = pd.concat([one.target for one in casts], ignore_index=True)
    again = tested["utterance"][tested["utterance"].duplicated()].unique()
    if len(again):
        raise ValueError(
            f"{cast.protocol.split}: {len(again)} utterances are tested in several folds, as {again[0]}, expected "
            "each in one: run the folds one by one (--fold NAME)"
        )
    roles: dict[str, Any] = {
        role: pd.concat([getattr(one, role) for one in casts], ignore_index=True)
        .drop_duplicates("utterance", ignore_index=True)
        .assign(split=None)
        for role in (*ROLES, "pool")
    }
    return replace(cast, **roles, several=tuple(casts))


def _within(cast: Cast, utterances: pd.Series[str], fold: Fold, *, alone: bool) -> Cast:
    """The cast of one fold; ``split`` says who is train, dev and test of what the fold divides."""
    roles = dict(zip(utterances, fold.roles, strict=True))

    def of(rows: pd.DataFrame, *parts: str, whole: bool = False) -> pd.DataFrame:
        """Rows of these parts, and, if asked, those of corpora that are not divided."""
        role = rows["utterance"].map(roles)
        kept = role.isin(parts) | (whole & ~rows["utterance"].isin(roles))
        return rows.assign(split=role)[kept].reset_index(drop=True)

    return replace(
        cast,
        protocol=cast.protocol if alone else replace(cast.protocol, fold=fold.name),
        source=of(cast.source, "train", "dev", whole=True),
        auxiliary=of(cast.auxiliary, "train", whole=True),
        target=of(cast.target, "test"),
        pool=cast.pool.iloc[:0]
        if cast.protocol.target_access == "nothing"
        else of(cast.pool, "train"),
        fold=fold,
    )
