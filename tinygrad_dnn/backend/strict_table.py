"""What the strict double knows CuPy 14 to have under NumPy's names, and which arguments of each are common to both."""

from __future__ import annotations

UFUNCS = frozenset(
    """
    abs absolute add arccos arccosh arcsin arcsinh arctan arctan2 arctanh bitwise_and bitwise_not bitwise_or
    bitwise_xor cbrt ceil copysign cos cosh degrees divide equal exp exp2 expm1 fabs floor floor_divide fmax fmin fmod
    greater greater_equal heaviside hypot invert isfinite isinf isnan left_shift less less_equal log log10 log1p log2
    logaddexp logaddexp2 logical_and logical_not logical_or logical_xor maximum minimum mod multiply negative nextafter
    not_equal positive pow power radians reciprocal remainder right_shift rint sign signbit sin sinh sqrt square
    subtract tan tanh true_divide trunc
    """.split()
)

# "A" is an array, "S" a sequence of arrays; then the other arguments, those before "/" by place and those after "*" by
# keyword only. Where CuPy has an argument under another name or in another place, only what is common is left.
SIGNATURES = {
    # new arrays
    "arange": "start stop step dtype",
    "eye": "N M k dtype order",
    "full": "shape fill_value dtype order",
    "full_like": "A fill_value dtype order",
    "identity": "n dtype",
    "ones": "shape dtype order",
    "ones_like": "A dtype order",
    "zeros": "shape dtype order",
    "zeros_like": "A dtype order",
    # the same elements
    "ascontiguousarray": "A dtype",
    "asfortranarray": "A dtype",
    "broadcast_to": "A shape",
    "copy": "A order",
    "expand_dims": "A axis",
    "flip": "A axis",
    "moveaxis": "A source destination",
    "ravel": "A order",
    "reshape": "A newshape / order",
    "squeeze": "A axis",
    "swapaxes": "A axis1 axis2",
    "transpose": "A axes",
    # joined, cut, repeated
    "array_split": "A indices_or_sections axis",
    "concatenate": "S axis out * dtype casting",
    "repeat": "A repeats axis",
    "roll": "A shift axis",
    "split": "A indices_or_sections axis",
    "stack": "S axis out * dtype casting",
    "tile": "A reps",
    "tril": "A k",
    "triu": "A k",
    # reductions
    "all": "A axis out keepdims",
    "amax": "A axis out keepdims",
    "amin": "A axis out keepdims",
    "any": "A axis out keepdims",
    "argmax": "A axis * out keepdims",
    "argmin": "A axis * out keepdims",
    "count_nonzero": "A axis",
    "max": "A axis out keepdims",
    "mean": "A axis dtype out keepdims",
    "min": "A axis out keepdims",
    "prod": "A axis dtype out keepdims",
    "std": "A axis dtype out ddof keepdims",
    "sum": "A axis dtype out keepdims",
    "trace": "A offset axis1 axis2 dtype out",
    "var": "A axis dtype out ddof keepdims",
    # the rest
    "allclose": "A A rtol atol equal_nan",
    "array_equal": "A A equal_nan",
    "cumprod": "A axis dtype out",
    "cumsum": "A axis dtype out",
    "isclose": "A A rtol atol equal_nan",
}

# What CuPy gives in a layout that it promises, which must not vary.
FIXED_LAYOUT = frozenset(
    """
    arange ascontiguousarray asfortranarray array_split broadcast_to copy expand_dims eye flip full full_like identity
    moveaxis ones ones_like ravel reshape split squeeze swapaxes transpose zeros zeros_like
    """.split()
)

CONSTANTS = frozenset(
    """
    bool_ broadcast_shapes can_cast dtype e finfo float16 float32 float64 iinfo inf int16 int32 int64 int8 issubdtype
    nan newaxis pi promote_types uint16 uint32 uint64 uint8
    """.split()
)
