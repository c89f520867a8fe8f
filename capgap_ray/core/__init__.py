"""Pure functions on records: no Ray, torch, disk, clock or network."""
