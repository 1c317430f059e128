"""Comparing what is registered: the same network, data, budget, tuning and seeds for each candidate, and who is better.

`tinygrad-dnn compare` is a thin shell around ``compare``. Each candidate has its learning rate tuned by the same number
of short trainings; then it trains once for each of several seeds, the same for all, and is tested on samples that
nothing was chosen by.
"""

from tinygrad_dnn.comparing.budgets import Budget
from tinygrad_dnn.comparing.candidates import Candidate, everything, split
from tinygrad_dnn.comparing.comparison import Comparison, compare
from tinygrad_dnn.comparing.drawing import draw
from tinygrad_dnn.comparing.networks import Network
from tinygrad_dnn.comparing.statistics import Difference, Interval, Standing, interval, standings, t_quantile

__all__ = [
    "Budget", "Candidate", "Comparison", "Difference", "Interval", "Network", "Standing", "compare", "draw",
    "everything", "interval", "split", "standings", "t_quantile",
]  # fmt: skip
