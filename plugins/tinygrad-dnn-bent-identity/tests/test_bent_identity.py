"""Bent identity: its values, its gradients, and its use by name."""

import numpy as np
from tinygrad_dnn_bent_identity import bent_identity

import tinygrad_dnn as td


def test_bent_identity():
    x = np.array([-1e4, -2.0, 0.0, 0.75, 1e4])
    np.testing.assert_allclose(
        bent_identity(td.tensor(x)).numpy(),
        [-5000.499975, (np.sqrt(5.0) - 1.0) / 2.0 - 2.0, 0.0, 0.875, 14999.500025],
        rtol=1e-12,
    )
    td.testing.check_grads(bent_identity, [td.tensor(np.linspace(-3.0, 3.0, 8))], order=2)

    assert td.activations.get("bent_identity") is bent_identity
    dense = td.layers.Dense(4, activation="bent_identity")
    inputs = td.tensor(np.ones((2, 3), dtype=np.float32))
    outputs = dense(inputs).numpy()
    kernel, bias = dense.get_weights()
    np.testing.assert_allclose(outputs, bent_identity(inputs @ td.tensor(kernel) + td.tensor(bias)).numpy(), rtol=1e-6)
