"""Drivers: the outside world, behind declared effects and labels."""
