"""What a trained potential is worth."""
