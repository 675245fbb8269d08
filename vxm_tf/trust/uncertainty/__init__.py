"""Estimates of the error of a registration."""
