"""What the command `tinygrad-dnn plugins` does: it tells of installed plugins, checks one, and writes new ones."""
