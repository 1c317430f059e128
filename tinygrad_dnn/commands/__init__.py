"""What the commands `plugins` and `compare` do: they tell of plugins, check one, write new ones, and compare them."""
