"""What makes each set of golden values: one module a topic, each with ``make() -> (inputs, cases)``."""
