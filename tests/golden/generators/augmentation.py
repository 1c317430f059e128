"""Images shifted, turned, zoomed, resized, cropped and recoloured by Keras's layers, their draws fixed.

A pair of equal numbers as a factor leaves nothing to chance. The contrast, whose pair cannot be equal, is given to the
layer's own method for it. For a number as a factor, the interval that Keras draws from is recorded.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

FILLS = ("reflect", "wrap", "nearest", "constant")
INTERPOLATIONS = ("bilinear", "nearest")
# Generic angles, shifts and ratios: none but shift_half reads an image half-way between two pixels, where a rounding
# error decides which is the nearest; what shift_half reads is exact, so that the convention for halves does.
MOVES: dict[str, tuple[str, dict[str, Any]]] = {
    "shift": ("RandomTranslation", {"height_factor": (0.31, 0.31), "width_factor": (-0.23, -0.23)}),
    "shift_far": ("RandomTranslation", {"height_factor": (-0.83, -0.83), "width_factor": (0.77, 0.77)}),
    "shift_whole": ("RandomTranslation", {"height_factor": (0.5, 0.5), "width_factor": (-0.2, -0.2)}),
    "shift_half": ("RandomTranslation", {"height_factor": (0.25, 0.25), "width_factor": (-0.5, -0.5)}),
    "turn": ("RandomRotation", {"factor": (0.07, 0.07)}),
    "turn_back": ("RandomRotation", {"factor": (-0.31, -0.31)}),
    "zoom_in": ("RandomZoom", {"height_factor": (-0.37, -0.37)}),
    "zoom_out": ("RandomZoom", {"height_factor": (0.83, 0.83)}),
    "zoom_apart": ("RandomZoom", {"height_factor": (0.41, 0.41), "width_factor": (-0.29, -0.29)}),
}
SIZES: dict[str, tuple[str, dict[str, Any]]] = {
    "center_crop": ("CenterCrop", {"height": 3, "width": 4}),
    "center_crop_other": ("CenterCrop", {"height": 6, "width": 1}),
    "resize_up": ("Resizing", {"height": 13, "width": 8}),
    "resize_down": ("Resizing", {"height": 4, "width": 2}),
    "resize_mixed": ("Resizing", {"height": 3, "width": 11}),
    "resize_same": ("Resizing", {"height": 6, "width": 5}),
    "resize_nearest_up": ("Resizing", {"height": 13, "width": 8, "interpolation": "nearest"}),
    "resize_nearest_down": ("Resizing", {"height": 4, "width": 2, "interpolation": "nearest"}),
    "resize_antialias": ("Resizing", {"height": 4, "width": 2, "antialias": True}),
    "resize_antialias_mixed": ("Resizing", {"height": 9, "width": 3, "antialias": True}),
    "resize_crop_tall": ("Resizing", {"height": 8, "width": 3, "crop_to_aspect_ratio": True}),
    "resize_crop_wide": ("Resizing", {"height": 2, "width": 7, "crop_to_aspect_ratio": True}),
    "resize_pad_tall": ("Resizing", {"height": 8, "width": 3, "pad_to_aspect_ratio": True, "fill_value": 77.0}),
    "resize_pad_wide": ("Resizing", {"height": 2, "width": 7, "pad_to_aspect_ratio": True}),
}
BRIGHTNESS: dict[str, dict[str, Any]] = {
    "brighter": {"factor": (0.3, 0.3)},
    "darker": {"factor": (-0.45, -0.45)},
    "brighter_range": {"factor": (0.25, 0.25), "value_range": (100.0, 200.0)},
}
CONTRASTS = [0.0, 0.6, 1.7]
FACTORS: dict[str, Any] = {"number": 0.3, "negative": -0.3, "pair": (-0.1, 0.4), "pair_descending": (0.4, -0.1)}


def make() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Three images of 6 x 5 pixels with two channels, of floats between 0 and 255 and of bytes."""
    rng = np.random.default_rng(20240511)
    images = rng.uniform(0, 255, (3, 6, 5, 2)).astype(np.float32)
    bytes_ = rng.integers(0, 256, (3, 6, 5, 2)).astype(np.uint8)
    cases: dict[str, dict[str, Any]] = {}

    def add(name: str, layer: str, config: dict[str, Any], x: np.ndarray = images) -> None:
        out = np.asarray(getattr(keras.layers, layer)(**config)(x, training=True))
        kind = "bytes" if x.dtype == np.uint8 else "images"
        cases[name] = {"layer": layer, "config": config, "inputs": kind, "out": out}

    for move, (layer, config) in MOVES.items():
        for fill in FILLS:
            for interpolation in INTERPOLATIONS:
                options = {"fill_mode": fill, "interpolation": interpolation}
                add(f"{move}_{fill}_{interpolation}", layer, {**config, **options})
        options = {"fill_mode": "constant", "fill_value": 50.0}
        add(f"{move}_fill_value", layer, {**config, **options})
        add(f"{move}_bytes", layer, config, bytes_)
    for name, (layer, config) in SIZES.items():
        add(name, layer, config)
        add(f"{name}_bytes", layer, config, bytes_)
    for name, config in BRIGHTNESS.items():
        add(name, "RandomBrightness", config)
    layer = keras.layers.RandomContrast(1.0, value_range=(20, 230))
    factors = np.array(CONTRASTS, np.float32).reshape(3, 1, 1, 1)
    cases["contrast"] = {
        "layer": "RandomContrast",
        "config": {"factor": 1.0, "value_range": (20.0, 230.0)},
        "inputs": "images",
        "contrasts": factors,
        "out": np.asarray(layer.transform_images(images, {"contrast_factor": factors})),
    }
    for name, factor in FACTORS.items():
        translation = keras.layers.RandomTranslation(factor, 0.0)
        zoom = keras.layers.RandomZoom(factor)
        cases[f"bounds_{name}"] = {
            "factor": factor,
            "RandomRotation": keras.layers.RandomRotation(factor).factor,
            "RandomBrightness": keras.layers.RandomBrightness(factor).factor,
            "RandomTranslation": (translation.height_lower, translation.height_upper),
            "RandomZoom": (zoom.height_lower, zoom.height_upper),
        }
    return {"images": images, "bytes": bytes_}, cases
