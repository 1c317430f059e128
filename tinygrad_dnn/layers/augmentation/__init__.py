"""Layers of images: augmentation, which changes them at random in training, and changes of their size."""

from __future__ import annotations

from tinygrad_dnn.layers.augmentation.affine import RandomFlip, RandomRotation, RandomTranslation, RandomZoom
from tinygrad_dnn.layers.augmentation.colour import RandomBrightness, RandomContrast
from tinygrad_dnn.layers.augmentation.resizing import CenterCrop, RandomCrop, Resizing

__all__ = [
    "CenterCrop",
    "RandomBrightness",
    "RandomContrast",
    "RandomCrop",
    "RandomFlip",
    "RandomRotation",
    "RandomTranslation",
    "RandomZoom",
    "Resizing",
]
