"""Bent identity: its values by name, and what is asked of every activation."""

import numpy as np
from tinygrad_dnn_bent_identity import bent_identity

import tinygrad_dnn as td


def test_bent_identity():
    x = np.array([-1e4, -2.0, 0.0, 0.75, 1e4])
    expected = [-5000.499975, (np.sqrt(5.0) - 1.0) / 2.0 - 2.0, 0.0, 0.875, 14999.500025]
    np.testing.assert_allclose(td.activations.get("bent_identity")(td.tensor(x)).numpy(), expected, rtol=1e-12)
    td.testing.check_activation(bent_identity)
