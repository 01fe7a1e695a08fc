r"""Transfer validation: settings chosen by recognising each labelled corpus from the others.

Scores on development speakers of the training corpora say little about a language that the network has not seen. But
without any label of the target one can measure whether settings transfer between the labelled corpora: each of them is
left out in turn and recognised from the others (or, for what will be learned from a single corpus, from each of them by
itself, with the mean as its score),

.. math:: s(\theta) = \frac{1}{|\mathcal{C}|} \sum_{c \in \mathcal{C}}
          \mathrm{UAR}_c\big(\mathrm{fit}_\theta(\mathcal{C} \setminus c)\big) \qquad (1)

The left-out corpus takes the role of the target: the protocol decides how its audio is used, and its labels serve
only for the score. I. Gulrajani, D. Lopez-Paz, *In Search of Lost Domain Generalization*, ICLR 2021, call
this leave-one-domain-out cross-validation. With two or three corpora, scores of similar settings differ mostly by
chance. The best score is therefore not always taken. The grid begins with the usual settings, and the choice is the
first setting in its order that is below the greatest s by no more than the standard error of the difference,

.. math:: \theta^* = \min \Big\{ \theta : \bar d_\theta \le \frac{\mathrm{sd}(d_\theta)}{\sqrt{|\mathcal{C}|}} \Big\},
          \qquad d_{\theta c} = \mathrm{UAR}_c(\arg\max s) - \mathrm{UAR}_c(\theta) \qquad (2)

In the same way L. Breiman, J. Friedman, R. Olshen, C. Stone, *Classification and Regression Trees*, 1984, choose the
simplest tree.
"""

from cleser.experiments.selection.choice import Choice as Choice
from cleser.experiments.selection.corpus_names import names_of as names_of
from cleser.experiments.selection.corpus_names import own_name as own_name
from cleser.experiments.selection.grid import GRIDS as GRIDS
from cleser.experiments.selection.grid import Choices as Choices
from cleser.experiments.selection.grid import grid_values as grid_values
from cleser.experiments.selection.grid import read_grid as read_grid
from cleser.experiments.selection.table import Selection as Selection
from cleser.experiments.selection.table import chosen_already as chosen_already
from cleser.experiments.selection.trials import NoTransferError as NoTransferError
from cleser.experiments.selection.trials import select_by_transfer as select_by_transfer
