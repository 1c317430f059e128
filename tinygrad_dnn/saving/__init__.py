"""What is written to files and read from them: tensors, configurations, and nothing that could run."""

from tinygrad_dnn.saving import state, text, values
from tinygrad_dnn.saving.files import FileError, TensorInfo, read_header, read_tensors, replace, write_tensors

__all__ = [
    "FileError", "TensorInfo", "read_header", "read_tensors", "replace", "state", "text", "values", "write_tensors",
]
