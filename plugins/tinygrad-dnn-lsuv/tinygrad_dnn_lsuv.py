"""Layer-sequential unit-variance initialization, as a plugin for tinygrad_dnn: an initializer and a callback."""

import warnings
from typing import ClassVar

import tinygrad_dnn as td
from tinygrad_dnn import hookimpl
from tinygrad_dnn.checks import as_integer, as_number


class LSUVInitializer(td.initializers.Orthogonal):
    """Orthonormal kernels, which the callback ``lsuv`` then scales to what the data need (Mishkin and Matas, 2016).

    Without the callback they are those of "orthogonal".

    Args:
        seed: As for ``td.initializers.Initializer``.

    Example:
        >>> layer = td.layers.Dense(100, activation="relu", kernel_initializer="lsuv")
    """

    conformance: ClassVar = {
        "inputs": [(4, 3), (3, 4)],
        "claims": {"mean": 0.0, "variance": lambda fan_in, fan_out: 1 / max(fan_in, fan_out)},
    }

    def __init__(self, seed=None):
        super().__init__(gain=1.0, seed=seed)

    def get_config(self):
        """Return the arguments that make this initializer again."""
        return {"seed": self.seed}


class LSUV(td.callbacks.Callback):
    """Before the first step, scale the kernels of the initializer ``lsuv`` so that each layer's sums have variance 1.

    Layer by layer from the inputs on: what comes before is run on the inputs, the kernel is divided by the standard
    deviation of inputs @ kernel + bias, before the activation, until the variance is 1. An initializer could not do
    that: a layer is built before there are data, and before the layers in front of it have their scale. A model whose
    optimizer has made steps already is left as it is.

    Args:
        inputs: A batch of training data, a few hundred samples.
        tolerance: How far from 1 a variance may be, positive.
        max_iterations: How often a kernel is divided at most, at least 1; once is enough where the bias is 0.

    Raises:
        ValueError: An argument is out of its range; when training begins, the model is no graph of layers, or the
            sums of a layer do not vary.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).standard_normal((64, 4))
        >>> model = td.Sequential([td.layers.Dense(8, kernel_initializer="lsuv"), td.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> history = model.fit(x, x[:, :1], verbose=0, callbacks=[td.registry.callbacks.get("lsuv", inputs=x)])
    """

    conformance: ClassVar = {"arguments": {"inputs": [[0.0, 1.0], [1.0, 3.0], [2.0, 0.0]]}}

    def __init__(self, inputs, tolerance=0.01, max_iterations=10):
        self.inputs = inputs
        self.tolerance = as_number(tolerance, "LSUV: tolerance", "(0, inf)")
        self.max_iterations = as_integer(max_iterations, "LSUV: max_iterations", "[1, inf)")

    def on_train_begin(self, logs=None):
        """Scale the kernels, unless training goes on from earlier steps."""
        if int(self.model.optimizer.iterations.numpy()) > 0:
            return
        chosen = [
            each for each in self.model.layers if isinstance(getattr(each, "kernel_initializer", None), LSUVInitializer)
        ]
        if not chosen:
            warnings.warn('LSUV: no layer of the model has the initializer "lsuv": nothing is scaled.', stacklevel=2)
        for layer in chosen:
            self._scale(layer, self._arriving_at(layer))

    def _arriving_at(self, layer):
        """Return what the layer is given when the model is given ``inputs``."""
        try:
            start, end = self.model.input, layer.input
        except (AttributeError, ValueError) as error:
            raise ValueError("LSUV: the model must be a Sequential or Model(inputs, outputs).") from error
        return self.inputs if end is start else td.Model(start, end).predict(self.inputs, verbose=0)

    def _scale(self, layer, inputs):
        activation, layer.activation = layer.activation, None
        try:
            with td.no_grad():
                for _ in range(self.max_iterations):
                    deviation = float(layer(td.tensor(inputs)).numpy().std())
                    if not deviation > 0:
                        raise ValueError(f"LSUV: the sums of layer {layer.name!r} do not vary: give other inputs.")
                    if abs(deviation**2 - 1) < self.tolerance:
                        break
                    layer.kernel.assign(layer.kernel / deviation)
        finally:
            layer.activation = activation


@hookimpl
def register_initializers(register):
    """Give ``LSUVInitializer`` its name."""
    register(LSUVInitializer, name="lsuv")


@hookimpl
def register_callbacks(register):
    """Give ``LSUV`` its name."""
    register(LSUV)
