"""A kind without built-ins, for the tests of the registry and the plugin host."""

from tinygrad_dnn.hookspecs import hookimpl


@hookimpl
def register_metrics(register):
    pass
