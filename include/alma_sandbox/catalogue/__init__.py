"""The catalogue: records computed from seed and number, with the changes that calls made laid over them."""
