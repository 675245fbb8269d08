"""A verdict on a registration without labels."""
