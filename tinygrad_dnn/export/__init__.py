"""Export: models as files that other programs run."""

from tinygrad_dnn.export.exporting import onnx

__all__ = ["onnx"]
