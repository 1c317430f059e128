"""The conformance kit: what every activation, optimizer, layer ... must do, checked for any of them.

What its author knows and the kit cannot, an object says in an attribute ``conformance``, a dict of ``arguments`` (what
it is made with), ``inputs`` (what it is called with) and ``claims`` (what holds of it), or a list of such dicts.
"""

from tinygrad_dnn.testing.conformance import (  # noqa: F401  # each adds its checks
    activations,
    callbacks,
    common,
    descent,
    initializers,
    layers,
    losses,
    metrics,
    optimizers,
    schedulers,
    table,
    weights,
)
from tinygrad_dnn.testing.conformance.checking import CHECKS, Check
from tinygrad_dnn.testing.conformance.running import Outcome, Report, cases, check_object, expect, run
from tinygrad_dnn.testing.conformance.subjects import Subject, given

__all__ = ["CHECKS", "Check", "Outcome", "Report", "Subject", "cases", "check_object", "expect", "given", "run"]
