"""Every layer of the package in models of its own, with data to try them on."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_dnn as td

VECTOR, SEQUENCE, IMAGE = (6,), (4, 6), (7, 6, 4)
# By registered name: the shape of a sample, or of several, and the arguments of layers to try.
LAYERS: dict[str, list[tuple[Any, dict[str, Any]]]] = {
    "activation": [(VECTOR, {"activation": "tanh"})],
    "add": [([VECTOR, VECTOR, VECTOR], {})],
    "alphadropout": [(VECTOR, {"rate": 0.3})],
    "average": [([VECTOR, VECTOR], {})],
    "averagepooling2d": [
        (IMAGE, {}),
        (IMAGE, {"pool_size": (3, 2), "strides": (2, 1), "padding": "same"}),
        (IMAGE, {"dtype": "float64"}),
    ],
    "batchnormalization": [
        (VECTOR, {}), (SEQUENCE, {"axis": 1, "scale": False}), (IMAGE, {"center": False, "trainable": False}),
    ],
    "centercrop": [(IMAGE, {"height": 4, "width": 3})],
    "concatenate": [([VECTOR, (2,)], {}), ([SEQUENCE, (3, 6)], {"axis": 1})],
    "conv2d": [
        (IMAGE, {"filters": 3, "kernel_size": 2}),
        (IMAGE, {"filters": 3, "kernel_size": (3, 2), "strides": 2, "padding": "same", "activation": "relu"}),
        (IMAGE, {"filters": 2, "kernel_size": 2, "dilation_rate": (2, 1), "use_bias": False}),
    ],
    "dense": [(VECTOR, {"units": 3, "activation": "elu"}), (SEQUENCE, {"units": 2, "use_bias": False})],
    "dropout": [(VECTOR, {"rate": 0.3})],
    "elu": [(VECTOR, {"alpha": 0.5})],
    "flatten": [(IMAGE, {}), (VECTOR, {})],
    "gaussiandropout": [(VECTOR, {"rate": 0.3})],
    "gaussiannoise": [(VECTOR, {"stddev": 0.3})],
    "globalaveragepooling2d": [(IMAGE, {}), (IMAGE, {"keepdims": True})],
    "inputlayer": [(VECTOR, {"shape": VECTOR})],
    "lambda": [(VECTOR, {"function": lambda x: td.log1p(td.abs(x)) * x})],
    "layernormalization": [(VECTOR, {}), (IMAGE, {"axis": (1, 3), "center": False})],
    "leakyrelu": [(VECTOR, {})],
    "maximum": [([VECTOR, VECTOR], {})],
    "maxpooling2d": [
        (IMAGE, {}),
        (IMAGE, {"pool_size": (3, 2), "strides": (2, 1), "padding": "same"}),
        (IMAGE, {"dtype": "float64"}),
    ],
    "minimum": [([VECTOR, VECTOR], {})],
    "multiply": [([VECTOR, VECTOR], {})],
    "normalization": [
        (VECTOR, {"mean": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "variance": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]}),
        (SEQUENCE, {"axis": None, "mean": 0.5, "variance": 2.0, "invert": True}),
    ],
    "operation": [(VECTOR, {"operation": "exp"}), (VECTOR, {"operation": "power", "arguments": [None, 3.0]})],
    "permute": [(SEQUENCE, {"dims": (2, 1)})],
    "prelu": [(VECTOR, {}), (IMAGE, {"shared_axes": [1, 2]})],
    "randombrightness": [(IMAGE, {"factor": 0.3})],
    "randomcontrast": [(IMAGE, {"factor": 0.3})],
    "randomcrop": [(IMAGE, {"height": 4, "width": 3})],
    "randomflip": [(IMAGE, {})],
    "randomrotation": [(IMAGE, {"factor": 0.3})],
    "randomtranslation": [(IMAGE, {"height_factor": 0.3, "width_factor": 0.2})],
    "randomzoom": [(IMAGE, {"height_factor": 0.3})],
    "relu": [(VECTOR, {}), (VECTOR, {"max_value": 0.5, "negative_slope": 0.25, "threshold": 0.125})],
    "repeatvector": [(VECTOR, {"n": 3})],
    "rescaling": [(VECTOR, {"scale": 0.5, "offset": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]})],
    "reshape": [(SEQUENCE, {"target_shape": (3, -1, 2)})],
    "resizing": [
        (IMAGE, {"height": 5, "width": 9}),
        (IMAGE, {"height": 5, "width": 9, "interpolation": "nearest"}),
        (IMAGE, {"height": 3, "width": 3, "antialias": True, "crop_to_aspect_ratio": True}),
        (IMAGE, {"height": 8, "width": 3, "pad_to_aspect_ratio": True, "fill_value": 2.0}),
    ],
    "rrelu": [(VECTOR, {})],
    "softmax": [(VECTOR, {}), (SEQUENCE, {"axis": 1})],
    "spatialdropout1d": [(SEQUENCE, {"rate": 0.3})],
    "spatialdropout2d": [(IMAGE, {"rate": 0.3})],
    "subtract": [([VECTOR, VECTOR], {})],
    "zeropadding2d": [(IMAGE, {"padding": ((1, 0), (2, 3))})],
}  # fmt: skip
CASES = [(name, number) for name, cases in LAYERS.items() for number in range(len(cases))]


def of_layer(name: str, number: int) -> td.Model:
    """Return a model of one layer, its weights drawn at random."""
    shape, arguments = LAYERS[name][number]
    layer = td.layers.get(name, **arguments)
    dtype = arguments.get("dtype", "float32")
    shapes = shape if isinstance(shape, list) else [shape]
    inputs = [td.Input(shape=each, name=f"x{i}", dtype=dtype) for i, each in enumerate(shapes)]
    if name == "inputlayer":
        return td.Model(layer.output, layer.output, name="only_inputlayer")
    outputs = layer(inputs if isinstance(shape, list) else inputs[0])
    return with_weights(td.Model(inputs, outputs, name=f"only_{name}"))


def with_weights(model: td.Model, seed: int = 0) -> td.Model:
    """Draw all weights, variances among them, so that none is what it began with."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if weight.dtype.kind == "f" and weight.name not in ("mean", "variance"):
            drawn = rng.normal(size=weight.shape)
            weight.assign((np.abs(drawn) + 0.5 if weight.name == "moving_variance" else drawn).astype(weight.dtype))
    return model


def data(model: td.Model, samples: int, seed: int = 1) -> list[np.ndarray]:
    """Return an array for each input."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(samples, *x.shape[1:])).astype(x.dtype) for x in model.inputs]
