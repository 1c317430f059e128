"""Deliberately broken objects, one for each check: it fails that check and no other."""
