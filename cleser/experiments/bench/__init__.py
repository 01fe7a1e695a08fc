"""A bench: recipes in several directions between corpora, run by parallel workers and resumable, as one table."""

from cleser.experiments.bench.cells import Cell as Cell
from cleser.experiments.bench.cells import backbone_of as backbone_of
from cleser.experiments.bench.cells import cells_of as cells_of
from cleser.experiments.bench.cells import experiment_of as experiment_of
from cleser.experiments.bench.cells import trials_of as trials_of
from cleser.experiments.bench.matrix import CONFIGS as CONFIGS
from cleser.experiments.bench.matrix import Direction as Direction
from cleser.experiments.bench.matrix import Matrix as Matrix
from cleser.experiments.bench.matrix import all_pairs as all_pairs
from cleser.experiments.bench.matrix import load_matrix as load_matrix
from cleser.experiments.bench.running import choose as choose
from cleser.experiments.bench.running import run_matrix as run_matrix
from cleser.experiments.bench.table import paper_layout as paper_layout
from cleser.experiments.bench.table import tabulate as tabulate
from cleser.experiments.bench.table import write_tables as write_tables
