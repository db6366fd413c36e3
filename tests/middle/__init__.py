"""Somebody in the middle: the product's own server, changed so that it cheats, and runs against it."""
