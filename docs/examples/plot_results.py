"""
Results of runs
===============

What ``cleser run``, ``cleser compare`` and ``cleser report`` do, from Python: two methods run on the same small synthetic
corpora, and their results are compared.
"""

# %%
# Two runs
# --------
# A method by its name has settings (``config``) and runs an experiment into a folder, here logistic regression and a
# support-vector machine on statistics of whole utterances.

from dataclasses import asdict
from pathlib import Path
from tempfile import mkdtemp

from rich.console import Console

from cleser.corpora import Protocol
from cleser.evaluation import (
    Comparison,
    Run,
    as_text,
    compare_runs,
    report,
    runs_below,
    show_comparison,
    show_results,
    site,
    summarise,
    table,
    write_results,
)
from cleser.experiments.experiment import Experiment
from cleser.recipes import METHODS, ClassicalConfig
from cleser.speech import AcousticBackbone

protocol = Protocol(
    source=("synthetic:en?speakers=6&sentences=2",), target=("synthetic:zh?speakers=6&sentences=2",)
)
runs = Path(mkdtemp())
for classifier in ("linear", "svm"):
    config = ClassicalConfig(classifier=classifier, c=1.0)
    experiment = Experiment("classical", asdict(config), protocol, seeds=2, out=runs / classifier)
    METHODS["classical"].run(experiment, config, AcousticBackbone())

# %%
# Read a run
# ----------
# A :class:`~cleser.evaluation.Run` reads the parts of its folder as they are asked for. ``results.json`` follows from the
# predictions; :func:`~cleser.evaluation.write_results` writes it again, as after a change of the predictions' table.

folders = runs_below(runs)
run = Run(folders[0])
print(run.folder.name, "has", run.predictions.shape[0], "predictions of", run.protocol["classes"])
summary = summarise(run.clusters, run.protocol["classes"])
assert summary["uar"] == write_results(run.folder)["uar"] == run.results["uar"]
print(summary["uar"])

# %%
# Tables
# ------
# The same for a person, in a terminal or as Markdown, CSV, LaTeX or HTML:

console = Console(width=100)
console.print(show_results(run.results))
console.print(table(folders))
print(as_text(folders, "markdown"))

# %%
# Compare
# -------
# A paired test over speakers and seeds on the utterances that both runs tested:

comparison: Comparison = compare_runs(*folders)
console.print(show_comparison(comparison))
print(comparison.differences["uar"])

# %%
# A page
# ------
# One page about the runs, and a small site with an index for those of several directions:

print(report(folders, runs / "report.html").stat().st_size // 1024, "KB")
print(site(folders, runs / "site").name)
