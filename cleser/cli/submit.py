"""``cleser submit``: write the file that a challenge asks for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from tyro.conf import Positional


def submit(
    run: Positional[Path],
    *,
    format: Literal["msp-categorical", "msp-attributes", "biic"],
    out: Path,
    corpus: str | None = None,
    split: str | None = None,
) -> int:
    """Write the file that a challenge asks for: FileName and EmoClass, or EmoAct, EmoVal and EmoDom.

    The exit status is 1 if a recording got no label, for example because it is silent or cannot be read.

    Args:
        run: The folder of a finished run.
        format: msp-categorical and biic are FileName,EmoClass; msp-attributes is FileName,EmoAct,EmoVal,EmoDom, each
            from 1 to 7.
        out: The CSV file.
        corpus: Corpus to recognise, such as msp-podcast:DIR; by default the utterances that the run has tested.
        split: Recognise only this official split of the corpus, such as test3.
    """
    from cleser.experiments.prediction.submission import submission
    from cleser.files import write_text

    table, missing = submission(run, format, corpus=corpus, split=split)
    for row in missing.to_dict("records"):
        print(f"no label: {row['path']}: {row['reason']}", file=sys.stderr)
    write_text(out, table.to_csv(index=False))
    print(f"{out}: {len(table)} utterances")
    return 1 if len(missing) else 0
