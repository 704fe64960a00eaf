"""What runs left, as numbers with errors."""
