"""What ``fit``, ``evaluate`` and ``predict`` are given, checked and cut into batches of Tensors."""

from tinygrad_dnn.data.batches import ArrayBatches as ArrayBatches
from tinygrad_dnn.data.batches import IterableBatches as IterableBatches
from tinygrad_dnn.data.given import Batch as Batch
from tinygrad_dnn.data.given import as_arrays as as_arrays
from tinygrad_dnn.data.given import check_finite as check_finite
from tinygrad_dnn.data.given import checked_arrays as checked_arrays
from tinygrad_dnn.data.given import is_arrays as is_arrays
from tinygrad_dnn.data.given import is_batch as is_batch
from tinygrad_dnn.data.given import unpack_x_y_sample_weight as unpack_x_y_sample_weight
from tinygrad_dnn.data.indexed import IndexedBatches as IndexedBatches
from tinygrad_dnn.data.indexed import is_indexed as is_indexed
from tinygrad_dnn.data.residence import at_hand as at_hand
from tinygrad_dnn.data.residence import resident as resident
from tinygrad_dnn.data.residence import resident_limit as resident_limit
from tinygrad_dnn.data.residence import set_resident_limit as set_resident_limit
from tinygrad_dnn.data.weighing import class_weights as class_weights
from tinygrad_dnn.data.weighing import split_validation as split_validation
