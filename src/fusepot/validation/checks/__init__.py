"""The checks of a validation, one module for each figure or table."""
