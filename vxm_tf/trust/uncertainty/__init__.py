"""How far off a registration may be."""
